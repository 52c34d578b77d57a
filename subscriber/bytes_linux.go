package subscriber

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserve allocates size bytes to a fresh file, so that a full disk is noticed
// before the bytes travel. Where the file system cannot, it only sets the size.
func reserve(f *os.File, size int64) error {
	err := retryEINTR(func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return f.Truncate(size)
	}
	return pathError("reserve", f.Name(), err)
}

// startWriteback asks the kernel to begin writing a range, so that the sync at
// the end of a large file finds little left to do. A hint: errors are the
// sync's to report.
func startWriteback(f *os.File, offset, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}

// cloneFile makes dst a copy of src of size bytes: shared extents where the
// file system has them, a copy within the kernel elsewhere. Both stand at their
// beginning.
func cloneFile(ctx context.Context, dst, src *os.File, size int64) error {
	if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err == nil {
		return nil
	}
	return copyFile(ctx, dst, src, size)
}
