package subscriber

import (
	"errors"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directAlign is what offsets, lengths and memory of direct writes are multiples
// of (open(2), O_DIRECT): the largest logical block that disks have.
const directAlign = 4096

// directFile writes past the page cache: the bytes are on their way to the disk
// when the call returns, and were not copied. Several goroutines may use it.
type directFile struct {
	file *os.File
	off  atomic.Bool
}

// openDirect opens a staged file a second time, for direct writes. It returns
// nil where the file system has none.
func (f *folder) openDirect(name string) *directFile {
	fd, err := f.openat(name, unix.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	return &directFile{file: os.NewFile(uintptr(fd), name)}
}

// writeAt returns false when the file system refuses such writes after all; then
// nothing was written that must not be written again.
func (d *directFile) writeAt(b []byte, offset int64) (bool, error) {
	if d.off.Load() {
		return false, nil
	}
	_, err := d.file.WriteAt(b, offset)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		d.off.Store(true)
		return false, nil
	}
	return true, err
}

func (d *directFile) close() {
	if d != nil {
		d.file.Close()
	}
}

// alignedBlock returns a block whose memory begins at a multiple of directAlign.
func alignedBlock() *block {
	room := make([]byte, blockSize+directAlign)
	skip := -uintptr(unsafe.Pointer(&room[0])) % directAlign
	return (*block)(room[skip:])
}

// topDir is EXT4_TOPDIR_FL, "T" of chattr(1).
const topDir = 0x20000

// spread has the file system place what is made in the folder, each folder on its
// own, where there is room, as ext4 does for the folders at its top. It returns
// false where that is not to be had.
func (f *folder) spread() bool {
	flags, err := unix.IoctlGetUint32(f.fd(), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return false
	}
	if flags&topDir != 0 {
		return true
	}
	return unix.IoctlSetPointerInt(f.fd(), unix.FS_IOC_SETFLAGS, int(flags|topDir)) == nil
}
