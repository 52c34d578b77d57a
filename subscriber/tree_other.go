//go:build !linux

package subscriber

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"runtime"
	"time"

	"waptsync/bus"
)

// folder is a directory of the tree, reached by its path through the root each
// time. Its methods take single names.
type folder struct {
	root *os.Root
	path string
}

func openTop(root *os.Root) (*folder, error) { return &folder{root: root, path: "."}, nil }

func (f *folder) close() {}

func (f *folder) at(name string) string { return path.Join(f.path, name) }

func (f *folder) child(name string) (*folder, error) {
	st, err := f.lstat(name)
	if err != nil {
		return nil, err
	}
	if st.kind != bus.KindDir {
		return nil, errNotDir
	}
	return &folder{root: f.root, path: f.at(name)}, nil
}

// lstat sees nothing where Windows would take the name for another one, so that
// the deletion of such a name deletes nothing.
func (f *folder) lstat(name string) (stat, error) {
	if runtime.GOOS == "windows" && oddOnWindows(name) != "" {
		return stat{}, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	fi, err := f.root.Lstat(f.at(name))
	if err != nil {
		return stat{}, err
	}
	return statOf(fi), nil
}

// statOf leaves owner, ctime and inode out: size and mtime alone tell changes here.
func statOf(fi fs.FileInfo) stat {
	return stat{
		kind:  kindOf(fi.Mode()),
		mode:  uint32(fi.Mode().Perm()),
		uid:   -1,
		gid:   -1,
		size:  fi.Size(),
		mtime: fi.ModTime().UnixNano(),
	}
}

func statFile(file *os.File) (stat, error) {
	fi, err := file.Stat()
	if err != nil {
		return stat{}, err
	}
	return statOf(fi), nil
}

func (f *folder) openFile(name string) (*os.File, error) {
	st, err := f.lstat(name)
	if err != nil {
		return nil, err
	}
	if st.kind != bus.KindFile {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("is no regular file")}
	}
	return f.root.Open(f.at(name))
}

func (f *folder) openStaged(name string) (*os.File, error) {
	return f.root.OpenFile(f.at(name), os.O_RDWR|os.O_CREATE, 0o600)
}

func (f *folder) writeFile(name string, data []byte, a attributes) error {
	file, err := f.root.OpenFile(f.at(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(a.mode))
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = f.chmod(name, a.mode)
	}
	if err == nil && (a.uid >= 0 || a.gid >= 0) {
		err = f.chown(name, a.uid, a.gid)
	}
	if err != nil {
		return err
	}
	return f.setMTime(name, a.mtime)
}

func (f *folder) setMTime(name string, mtime int64) error {
	if st, err := f.lstat(name); err == nil && st.kind == bus.KindSymlink {
		return nil
	}
	t := time.Unix(0, mtime)
	return f.root.Chtimes(f.at(name), t, t)
}

func (f *folder) chmod(name string, mode uint32) error {
	return f.root.Chmod(f.at(name), fs.FileMode(mode))
}

func (f *folder) chown(name string, uid, gid int) error {
	return f.root.Lchown(f.at(name), uid, gid)
}

func (f *folder) mkdir(name string, mode uint32) error {
	if err := f.root.Mkdir(f.at(name), fs.FileMode(mode)); err != nil {
		return err
	}
	return f.chmod(name, mode)
}

func (f *folder) rename(name string, to *folder, newName string) error {
	return f.root.Rename(f.at(name), to.at(newName))
}

func (f *folder) unlink(name string) error { return f.root.Remove(f.at(name)) }

func (f *folder) rmdir(name string) error { return f.root.Remove(f.at(name)) }

func (f *folder) symlink(target, name string) error { return f.root.Symlink(target, f.at(name)) }

func (f *folder) readlink(name string) (string, error) { return f.root.Readlink(f.at(name)) }

func (f *folder) entries() (*os.File, error) { return f.root.Open(f.path) }

// sync does what the system allows: some refuse to sync a directory.
func (f *folder) sync() error {
	dir, err := f.root.Open(f.path)
	if err != nil {
		return err
	}
	_ = dir.Sync()
	return dir.Close()
}

// syncAll has no counterpart here; callers sync file by file.
func (f *folder) syncAll() error { return errors.ErrUnsupported }

func (f *folder) free() (int64, bool) { return 0, false }

// renaming is a rename that is prepared.
type renaming struct {
	name, newName string
	to            *folder
}

func newRenaming(name string, to *folder, newName string) (renaming, error) {
	return renaming{name: name, newName: newName, to: to}, nil
}

func (f *folder) renameNow(r *renaming) error { return f.rename(r.name, r.to, r.newName) }
