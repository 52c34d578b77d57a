package publisher

import (
	"io/fs"
	"syscall"
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
