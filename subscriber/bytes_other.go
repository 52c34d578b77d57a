//go:build !linux

package subscriber

import (
	"io"
	"os"
)

// reserve sets the size; whether the disk holds it shows when writing.
func reserve(f *os.File, size int64) error { return f.Truncate(size) }

// startWriteback has no counterpart here.
func startWriteback(*os.File, int64, int64) {}

// cloneFile makes dst a copy of the first size bytes of src.
func cloneFile(dst, src *os.File, size int64) error {
	n, err := io.Copy(dst, io.NewSectionReader(src, 0, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}
