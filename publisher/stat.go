package publisher

import (
	"io/fs"

	"waptsync/bus"
)

// stat is what lstat says of a path, as far as events and change detection
// care. Times are nanoseconds since 1970.
type stat struct {
	kind  bus.Kind // 0 for what is no file, directory or symbolic link
	mode  uint32   // permission bits
	size  int64
	mtime int64
	ctime int64
	inode uint64
}

func statOf(fi fs.FileInfo) stat {
	st := stat{
		mode:  uint32(fi.Mode().Perm()),
		size:  fi.Size(),
		mtime: fi.ModTime().UnixNano(),
	}
	st.inode, st.ctime = origin(fi)
	switch fi.Mode().Type() {
	case 0:
		st.kind = bus.KindFile
	case fs.ModeDir:
		st.kind = bus.KindDir
	case fs.ModeSymlink:
		st.kind = bus.KindSymlink
	}
	return st
}

// body identifies a file's bytes across a rename, which changes the ctime.
type body struct {
	inode uint64
	size  int64
	mtime int64
}

func (st stat) body() body { return body{st.inode, st.size, st.mtime} }

// identity tells one folder from another put in its place.
type identity struct{ dev, inode uint64 }
