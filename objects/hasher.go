package objects

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"sync"
)

// Hasher names bytes that come in pieces. Use [Sum] for bytes that are whole:
// it is cheaper. A Hasher is for one goroutine at a time.
type Hasher struct {
	h   hash.Hash
	sum ID // here and not on the stack, where it would escape at each Sum
}

var hashers = sync.Pool{New: func() any { return &Hasher{h: sha256.New()} }}

// NewHasher returns a Hasher that has seen nothing, a released one if there is any.
func NewHasher() *Hasher {
	h := hashers.Get().(*Hasher)
	h.h.Reset()
	return h
}

// Write takes more bytes. It never fails.
func (h *Hasher) Write(b []byte) (int, error) { return h.h.Write(b) }

// AddRange adds size bytes of r from off on. It returns ErrSizeChanged when
// there are fewer, the context's error between two blocks of 256 KiB, or what
// reading returned, wrapped.
func (h *Hasher) AddRange(ctx context.Context, r io.ReaderAt, off, size int64) error {
	b := blocks.Get().(*block)
	defer blocks.Put(b)
	return h.addRange(ctx, r, off, size, b)
}

// addRange is AddRange through b.
func (h *Hasher) addRange(ctx context.Context, r io.ReaderAt, off, size int64, b *block) error {
	for end := off + size; off < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		data := b.buf[:min(blockSize, end-off)]
		if _, err := readAt(r, data, off); err != nil {
			return err
		}
		h.Write(data)
		off += int64(len(data))
	}
	return nil
}

// AddZeroes adds n zeroes.
func (h *Hasher) AddZeroes(n int64) {
	for n > 0 {
		k := min(n, int64(len(zeroBlock)))
		h.Write(zeroBlock[:k])
		n -= k
	}
}

// Sum returns the ID of all bytes written since the last Reset, and changes nothing.
func (h *Hasher) Sum() ID {
	h.h.Sum(h.sum[:0])
	return h.sum
}

// Reset forgets all bytes written.
func (h *Hasher) Reset() { h.h.Reset() }

// Release gives h back for a later [NewHasher]. It must not be used afterwards.
func (h *Hasher) Release() { hashers.Put(h) }
