package objects

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// firstData returns the first offset from off on at which r is no hole: one beyond
// any file where all the rest is, and off itself where that cannot be told. It moves
// r's offset.
func firstData(r io.ReaderAt, off int64) int64 {
	f, ok := r.(*os.File)
	if !ok {
		return off
	}
	data, err := f.Seek(off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return math.MaxInt64
	case err != nil:
		return off
	}
	return data
}
