package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ErrDigest is returned when bytes do not hash to the digest they should.
var ErrDigest = errors.New("content has another digest than expected")

// Check tells which objects of m stand where they belong in r, a file that an
// interrupted transfer left behind. It hashes the objects for which want says
// so (all of them when want is nil), in order, and calls found for each that is
// right. That r is too short or too long is no error.
//
// Where r is an [*os.File] with holes and the system tells where they are,
// objects that lie in one as a whole are taken as never written, and neither read
// nor hashed; its Seek offset is then moved. Other holes are hashed as the zeroes
// they read as: an object that is right may have some.
func Check(ctx context.Context, r io.ReaderAt, m *Manifest, want func(i int) bool, found func(i int)) error {
	b := blocks.Get().(*block)
	defer blocks.Put(b)
	h := NewHasher()
	defer h.Release()
	var off, data int64 // from off to data there is nothing but a hole
	for i, o := range m.Objects {
		start := off
		off += int64(o.Size)
		if want != nil && !want(i) {
			continue
		}
		if data <= start {
			data = firstData(r, start)
		}
		if off <= data {
			continue
		}
		id, err := sumRange(ctx, r, start, int64(o.Size), h, b)
		if err != nil && !errors.Is(err, ErrSizeChanged) {
			return fmt.Errorf("checking object %d: %w", i, err)
		}
		if err == nil && id == o.ID {
			found(i)
		}
	}
	return nil
}

// Verify reads the size bytes of r once, in order, and returns ErrDigest when
// they do not hash to digest, ErrSizeChanged when there are fewer or more, the
// context's error between two blocks of 256 KiB, or what reading returned,
// wrapped.
func Verify(ctx context.Context, r io.ReaderAt, size int64, digest ID) error {
	if size < 0 {
		return ErrSizeChanged
	}
	b := blocks.Get().(*block)
	defer blocks.Put(b)
	h := NewHasher()
	defer h.Release()
	id, err := sumRange(ctx, r, 0, size, h, b)
	if err == nil {
		err = checkEnd(r, size)
	}
	if err != nil {
		return err
	}
	if id != digest {
		return fmt.Errorf("%w: %v instead of %v", ErrDigest, id, digest)
	}
	return nil
}

// sumRange hashes size bytes of r from off on, with h and through b.
func sumRange(ctx context.Context, r io.ReaderAt, off, size int64, h *Hasher, b *block) (ID, error) {
	if err := ctx.Err(); err != nil {
		return ID{}, err
	}
	if size <= blockSize {
		data := b.buf[:size]
		if _, err := readAt(r, data, off); err != nil {
			return ID{}, err
		}
		return Sum(data), nil
	}
	h.Reset()
	if err := h.addRange(ctx, r, off, size, b); err != nil {
		return ID{}, err
	}
	return h.Sum(), nil
}
