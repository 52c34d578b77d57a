package bus

import (
	"encoding/binary"
	"errors"
)

var (
	errShort        = errors.New("ends too early")
	errNotCanonical = errors.New("number is not in its shortest form")
	errTooLong      = errors.New("longer than allowed")
)

// decoder takes fields off the front of b. After the first failure err is set
// and every further read gives zero values, so callers check once at the end.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errShort)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	switch {
	case n == 0:
		d.fail(errShort)
		return 0
	case n < 0:
		d.fail(errTooLong)
		return 0
	case n > 1 && d.b[n-1] == 0:
		// Two encodings of one number would let two events differ as bytes
		// and not as values.
		d.fail(errNotCanonical)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// varint reads a zigzag number, as binary.AppendVarint writes it.
func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// bounded reads a number that must not be above limit.
func (d *decoder) bounded(limit uint64) uint64 {
	v := d.uvarint()
	if v > limit {
		d.fail(errTooLong)
		return 0
	}
	return v
}

// take returns the next n bytes without copying them.
func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail(errShort)
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) fill(dst []byte) { copy(dst, d.take(len(dst))) }

// bytes reads a length of at most limit and that many bytes, without copying them.
func (d *decoder) bytes(limit int) []byte {
	return d.take(int(d.bounded(uint64(limit))))
}

func appendBytes[T string | []byte](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}
