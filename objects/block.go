package objects

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// blockSize is how much of a content is read at once: enough that a read costs
// little next to hashing, little enough to stay in a core's cache.
const blockSize = 256 << 10

// block is a stretch of a content with the ends of objects found in it.
type block struct {
	buf   [blockSize]byte
	data  []byte // the part of buf that holds content
	parts []part // what data is made of, in order
	refs  atomic.Int32
}

// part is a stretch of a block that belongs to one object.
type part struct {
	size int
	end  bool // the object ends here
}

var blocks = sync.Pool{New: func() any { return new(block) }}

// smallBuffers hold a content of SingleMax bytes and one more, which tells
// whether there is more than expected.
var smallBuffers = sync.Pool{New: func() any { return new(smallBuffer) }}

type smallBuffer [SingleMax + 1]byte

// readAt fills b from off on, with no error if it did. It returns
// ErrSizeChanged when the content ends before; n bytes were read in any case.
// It goes on where r gave less than asked for, as some file systems do.
func readAt(r io.ReaderAt, b []byte, off int64) (n int, err error) {
	for idle := 0; n < len(b); {
		k, err := r.ReadAt(b[n:], off+int64(n))
		n += k
		switch {
		case n == len(b):
			return n, nil
		case errors.Is(err, io.EOF):
			return n, ErrSizeChanged
		case err != nil:
			return n, fmt.Errorf("reading at offset %d: %w", off+int64(n), err)
		case k > 0:
			idle = 0
		default:
			if idle++; idle == 100 {
				return n, fmt.Errorf("reading at offset %d: %w", off+int64(n), io.ErrNoProgress)
			}
		}
	}
	return n, nil
}

// checkEnd returns ErrSizeChanged when r has a byte at size.
func checkEnd(r io.ReaderAt, size int64) error {
	b := smallBuffers.Get().(*smallBuffer)
	defer smallBuffers.Put(b)
	n, err := readAt(r, b[:1], size)
	if n == 1 {
		return ErrSizeChanged
	}
	if errors.Is(err, ErrSizeChanged) {
		return nil
	}
	return err
}
