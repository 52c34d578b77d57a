package publisher

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// origin returns the inode, and the ctime in nanoseconds since 1970.
func origin(fi fs.FileInfo) (inode uint64, ctime int64) {
	if s, ok := fi.Sys().(*syscall.Stat_t); ok {
		return s.Ino, s.Ctim.Nano()
	}
	return 0, 0
}

// folderIdentity identifies a folder; alive is false when it was removed and is
// only still open.
func folderIdentity(fi fs.FileInfo) (id identity, alive bool) {
	if s, ok := fi.Sys().(*syscall.Stat_t); ok {
		return identity{uint64(s.Dev), s.Ino}, s.Nlink > 0
	}
	return identity{}, true
}

// mountOf identifies the mount that an open file was reached by, unlike the
// device number also after the same disk was mounted again; 0 where the kernel
// does not tell (before Linux 5.8).
func mountOf(f *os.File) uint64 { return mountID(int(f.Fd()), "", unix.AT_EMPTY_PATH) }

// mountAt is mountOf for the folder at a path, and takes no file descriptor.
func mountAt(dir string) uint64 { return mountID(unix.AT_FDCWD, dir, 0) }

func mountID(at int, path string, flags int) uint64 {
	var st unix.Statx_t
	if err := unix.Statx(at, path, flags, unix.STATX_MNT_ID, &st); err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return 0
	}
	return st.Mnt_id
}
