package subscriber

import (
	"context"
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// reserve allocates room for runs of a file, so that a full disk is noticed before
// the bytes travel. It returns false where the file system cannot.
func reserve(f *os.File, runs []span) (bool, error) {
	for _, run := range runs {
		err := retryEINTR(func() error { return unix.Fallocate(int(f.Fd()), 0, run.offset, run.length) })
		if cannot(err) {
			return false, nil
		}
		if err != nil {
			return true, pathError("reserve", f.Name(), err)
		}
	}
	return len(runs) > 0, nil
}

// cannot says that the file system does not know a call.
func cannot(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)
}

// punch makes a hole of a run of a file: it reads as zeroes, and takes no room. It
// returns false where the file system cannot.
func punch(f *os.File, offset, length int64) (bool, error) {
	err := retryEINTR(func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	})
	if cannot(err) {
		return false, nil
	}
	return err == nil, pathError("punch a hole into", f.Name(), err)
}

// allocated is how many bytes of room a file takes.
func allocated(f *os.File) int64 {
	var st unix.Stat_t
	if err := retryEINTR(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
		return math.MaxInt64
	}
	return st.Blocks * 512
}

// dataRun returns the first run of a file's bytes from at on, up to size, that is no
// hole; it is empty behind the last one. It moves the file's offset.
func dataRun(f *os.File, at, size int64) (from, to int64) {
	from, err := f.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size
	}
	if err != nil {
		return at, size
	}
	to, err = f.Seek(from, unix.SEEK_HOLE)
	if err != nil {
		to = size
	}
	return min(from, size), min(to, size)
}

// startWriteback asks the kernel to begin writing a range, so that the sync at
// the end of a large file finds little left to do. A hint: errors are the
// sync's to report.
func startWriteback(f *os.File, offset, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}

// cloneFile makes dst a copy of src of size bytes: shared extents where the
// file system has them, a copy within the kernel elsewhere.
func cloneFile(ctx context.Context, dst, src *os.File, size int64) error {
	if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err == nil {
		return nil
	}
	return copyFile(ctx, dst, src, size)
}
