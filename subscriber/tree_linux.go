package subscriber

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"waptsync/bus"
)

// folder is an open directory. Its methods take single names, never paths, and
// follow no symbolic link: one system call each. Only names in the stage, where
// nobody else may write, are of a bay and a name in it.
type folder struct{ dir *os.File }

func openTop(root *os.Root) (*folder, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	return &folder{dir: f}, nil
}

func (f *folder) close() { f.dir.Close() }

func (f *folder) fd() int { return int(f.dir.Fd()) }

func retryEINTR(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func (f *folder) openat(name string, flags int, perm uint32) (int, error) {
	fd := -1
	err := retryEINTR(func() (err error) {
		fd, err = unix.Openat(f.fd(), name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, perm)
		return err
	})
	return fd, pathError("open", name, err)
}

func (f *folder) child(name string) (*folder, error) {
	fd, err := f.openat(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			return nil, errNotDir
		}
		return nil, err
	}
	return &folder{dir: os.NewFile(uintptr(fd), name)}, nil
}

func (f *folder) lstat(name string) (stat, error) {
	var st unix.Stat_t
	err := retryEINTR(func() error { return unix.Fstatat(f.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return stat{}, pathError("lstat", name, err)
	}
	return statOf(&st), nil
}

func statOf(st *unix.Stat_t) stat {
	s := stat{
		mode:  st.Mode & 0o777,
		uid:   int(st.Uid),
		gid:   int(st.Gid),
		size:  st.Size,
		mtime: unix.TimespecToNsec(st.Mtim),
		ctime: unix.TimespecToNsec(st.Ctim),
		inode: st.Ino,
		dev:   uint64(st.Dev), //nolint:unconvert // 32 bits wide on some architectures
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s.kind = bus.KindFile
	case unix.S_IFDIR:
		s.kind = bus.KindDir
	case unix.S_IFLNK:
		s.kind = bus.KindSymlink
	}
	return s
}

// statFile is lstat of an open file.
func statFile(file *os.File) (stat, error) {
	var st unix.Stat_t
	if err := retryEINTR(func() error { return unix.Fstat(int(file.Fd()), &st) }); err != nil {
		return stat{}, pathError("stat", file.Name(), err)
	}
	return statOf(&st), nil
}

// openFile opens a regular file for reading; O_NONBLOCK keeps a named pipe from
// stopping the caller.
func (f *folder) openFile(name string) (*os.File, error) {
	fd, err := f.openat(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	if st, err := statFile(file); err != nil || st.kind != bus.KindFile {
		file.Close()
		if err == nil {
			err = pathError("open", name, errors.New("is no regular file"))
		}
		return nil, err
	}
	return file, nil
}

// openStaged opens a file for reading and writing and makes it if it is missing.
func (f *folder) openStaged(name string) (*os.File, error) {
	fd, err := f.openat(name, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// writeFile makes a new file of data with all its attributes.
func (f *folder) writeFile(name string, data []byte, a attributes) error {
	fd, err := f.openat(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, a.mode)
	if err != nil {
		return err
	}
	err = writeOpen(fd, data, a)
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	return pathError("write", name, err)
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		default:
			data = data[n:]
		}
	}
	return nil
}

func (f *folder) setMTime(name string, mtime int64) error {
	ts := []unix.Timespec{unix.NsecToTimespec(mtime), unix.NsecToTimespec(mtime)}
	return pathError("set time of", name, unix.UtimesNanoAt(f.fd(), name, ts, unix.AT_SYMLINK_NOFOLLOW))
}

func (f *folder) chmod(name string, mode uint32) error {
	err := unix.Fchmodat(f.fd(), name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.EOPNOTSUPP) {
		// Before Linux 6.6 there is no call that does not follow. A descriptor
		// made by O_PATH names the thing itself; os/file does the same.
		err = f.chmodByProc(name, mode)
	}
	return pathError("chmod", name, err)
}

func (f *folder) chmodByProc(name string, mode uint32) error {
	fd, err := f.openat(name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

func (f *folder) chown(name string, uid, gid int) error {
	return pathError("chown", name, unix.Fchownat(f.fd(), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW))
}

func (f *folder) mkdir(name string, mode uint32) error {
	if err := unix.Mkdirat(f.fd(), name, mode); err != nil {
		return pathError("mkdir", name, err)
	}
	return f.chmod(name, mode) // the umask may have taken bits
}

func (f *folder) rename(name string, to *folder, newName string) error {
	err := retryEINTR(func() error { return unix.Renameat(f.fd(), name, to.fd(), newName) })
	return pathError("rename", newName, err)
}

// renaming is a rename with all prepared that could take time.
type renaming struct {
	from, to *byte
	folder   *folder
	names    [2]string
}

func newRenaming(name string, to *folder, newName string) (r renaming, err error) {
	r.folder, r.names = to, [2]string{name, newName}
	if r.from, err = unix.BytePtrFromString(name); err != nil {
		return r, pathError("rename", name, err)
	}
	if r.to, err = unix.BytePtrFromString(newName); err != nil {
		return r, pathError("rename", newName, err)
	}
	return r, nil
}

// renameNow is rename without telling Go's scheduler, which would give the
// processor to other goroutines between two calls.
func (f *folder) renameNow(r *renaming) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RENAMEAT2,
		f.dir.Fd(), uintptr(unsafe.Pointer(r.from)), r.folder.dir.Fd(), uintptr(unsafe.Pointer(r.to)), 0, 0)
	if errno == 0 {
		return nil
	}
	return f.rename(r.names[0], r.folder, r.names[1])
}

func (f *folder) unlink(name string) error {
	return pathError("remove", name, retryEINTR(func() error { return unix.Unlinkat(f.fd(), name, 0) }))
}

func (f *folder) rmdir(name string) error {
	return pathError("remove", name, retryEINTR(func() error { return unix.Unlinkat(f.fd(), name, unix.AT_REMOVEDIR) }))
}

func (f *folder) symlink(target, name string) error {
	return pathError("symlink", name, unix.Symlinkat(target, f.fd(), name))
}

func (f *folder) readlink(name string) (string, error) {
	buf := make([]byte, 4097) // one more than PATH_MAX, so a full buffer cannot be taken for a target
	n, err := unix.Readlinkat(f.fd(), name, buf)
	if err != nil {
		return "", pathError("readlink", name, err)
	}
	return string(buf[:n]), nil
}

// entries returns a fresh reader of the folder's names.
func (f *folder) entries() (*os.File, error) {
	fd, err := f.openat(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.dir.Name()), nil
}

// sync makes the folder's own entries durable.
func (f *folder) sync() error { return f.dir.Sync() }

// syncAll makes all that was written to the folder's file system durable, in
// one system call; from Linux 5.8 on it reports what could not be written.
func (f *folder) syncAll() error {
	return pathError("syncfs", f.dir.Name(), unix.Syncfs(f.fd()))
}

// free returns the bytes that the file system has for this process.
func (f *folder) free() (int64, bool) {
	var st unix.Statfs_t
	if err := retryEINTR(func() error { return unix.Fstatfs(f.fd(), &st) }); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true //nolint:unconvert // widths differ by architecture
}
