package bus

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"
)

// packFrom is the length in bytes from which the items of a request are
// compressed: paths of host packages become half as long.
const packFrom = 512

var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is one of the package's own
	}
	return w
}}

// pack compresses items; ok is false where that is of no use.
func pack(items []byte) (packed []byte, ok bool) {
	if len(items) < packFrom {
		return nil, false
	}
	var b bytes.Buffer
	w := packers.Get().(*flate.Writer)
	defer packers.Put(w)
	w.Reset(&b)
	_, err := w.Write(items)
	if err = errors.Join(err, w.Close()); err != nil { // never: a Buffer takes all
		return nil, false
	}
	return b.Bytes(), b.Len() < len(items)
}

var unpackers = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// unpack is the inverse of pack, for at most limit bytes.
func unpack(packed []byte, limit int) ([]byte, error) {
	from := bytes.NewReader(packed)
	r := unpackers.Get().(io.ReadCloser)
	defer unpackers.Put(r)
	if err := r.(flate.Resetter).Reset(from, nil); err != nil {
		return nil, err
	}
	items, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpacking: %w", err)
	case len(items) > limit:
		return nil, errTooLong
	case from.Len() > 0:
		return nil, fmt.Errorf("unpacking: %d bytes behind the end", from.Len())
	}
	return items, nil
}
