package objects

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// firstHole returns the offset of the first hole of r that does not end before
// off, the end of the file counting as one: off itself in a hole or behind the
// end. It is beyond any file when that cannot be told. It moves r's offset.
func firstHole(r io.ReaderAt, off int64) int64 {
	f, ok := r.(*os.File)
	if !ok {
		return math.MaxInt64
	}
	hole, err := f.Seek(off, unix.SEEK_HOLE)
	switch {
	case errors.Is(err, unix.ENXIO):
		return off
	case err != nil:
		return math.MaxInt64
	}
	return hole
}
