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
