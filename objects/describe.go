package objects

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"io"
)

var (
	// ErrSizeChanged is returned when a content turns out to be shorter or
	// longer than its size was said to be.
	ErrSizeChanged = errors.New("content has another size than expected")
	// ErrTooManyObjects is returned when a content is cut into more than
	// [MaxObjects] objects.
	ErrTooManyObjects = fmt.Errorf("content has more than %d objects", MaxObjects)
)

// parallelFrom is the size in bytes from which a second core is worth the
// hand-over to it.
const parallelFrom = 2 * blockSize

// DescribeOptions says what [Describe] does besides cutting and naming.
type DescribeOptions struct {
	// MD5 asks for the MD5 of the whole content.
	MD5 bool
	// Emit, if not nil, is called for each object in order, never twice at a
	// time, from the caller's goroutine. data is valid during the call only. An
	// error ends Describe, which returns it wrapped.
	Emit func(o Object, data []byte) error
}

// Describe reads the size bytes of r once, in order, and returns their
// manifest when cut by p. With p.Zip it looks at a zip container's directory
// before, and at its local headers on the way.
//
// It holds about 1 MiB whatever the size, and when o.Emit is set one object
// more. Large contents are hashed by up to three more goroutines, which are
// gone when Describe returns. It returns ErrSizeChanged, ErrTooManyObjects,
// the context's error between two blocks of 256 KiB, or what r or Emit
// returned, wrapped. r must give the same bytes throughout; whether it did is
// for the caller to find out.
func Describe(ctx context.Context, r io.ReaderAt, size int64, p Params, o DescribeOptions) (*Manifest, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, fmt.Errorf("content size %d is negative", size)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := &Manifest{Params: p, Size: size, HasMD5: o.MD5}
	var err error
	switch {
	case size <= p.single():
		err = describeSingle(r, m, o)
	case size < parallelFrom:
		err = describeInline(ctx, r, m, o)
	default:
		err = describeParallel(ctx, r, m, o)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// describeSingle describes a content of at most one object.
func describeSingle(r io.ReaderAt, m *Manifest, o DescribeOptions) error {
	buf := smallBuffers.Get().(*smallBuffer)
	defer smallBuffers.Put(buf)
	n, err := readAt(r, buf[:m.Size+1], 0)
	switch {
	case err == nil:
		return ErrSizeChanged // there was one byte more
	case !errors.Is(err, ErrSizeChanged) || int64(n) < m.Size:
		return err
	}
	data := buf[:n]
	m.Digest = Sum(data)
	if o.MD5 {
		m.MD5 = md5.Sum(data)
	}
	if n == 0 {
		return nil
	}
	m.Objects = []Object{{ID: m.Digest, Size: uint32(n)}}
	if o.Emit == nil {
		return nil
	}
	return emitted(0, o.Emit(m.Objects[0], data))
}

// describeInline describes a content block by block in this goroutine.
func describeInline(ctx context.Context, r io.ReaderAt, m *Manifest, o DescribeOptions) error {
	src, err := newReader(r, m.Size, m.Params)
	if err != nil {
		return err
	}
	b := blocks.Get().(*block)
	defer blocks.Put(b)
	out := newAssembler(m, o.Emit)
	defer out.close()
	whole := NewHasher()
	defer whole.Release()
	var sum5 hash.Hash
	if o.MD5 {
		sum5 = md5.New()
	}
	for src.more() {
		if err := src.read(ctx, b); err != nil {
			return err
		}
		if err := out.take(b); err != nil {
			return err
		}
		if sum5 != nil {
			sum5.Write(b.data)
		}
		if int64(len(b.data)) < m.Size || len(b.parts) > 1 {
			whole.Write(b.data)
		}
	}
	if len(m.Objects) == 1 {
		m.Digest = m.Objects[0].ID
	} else {
		m.Digest = whole.Sum()
	}
	if sum5 != nil {
		sum5.Sum(m.MD5[:0])
	}
	return nil
}

// assembler names the objects of the blocks it is given and lists them in a manifest.
type assembler struct {
	m    *Manifest
	emit func(o Object, data []byte) error

	// Of an object that began in an earlier block:
	begun *Hasher
	size  int    // bytes so far
	zero  bool   // so far they are all zeroes, which begun has not seen
	bytes []byte // the bytes themselves, if somebody wants them

	zeroes Object // the last object that was all zeroes: in a hole they are alike
}

func newAssembler(m *Manifest, emit func(Object, []byte) error) *assembler {
	expected := min(m.Size/int64(m.Params.Avg)+1, MaxObjects)
	m.Objects = make([]Object, 0, expected)
	return &assembler{m: m, emit: emit, begun: NewHasher()}
}

func (a *assembler) close() { a.begun.Release() }

func (a *assembler) take(b *block) error {
	data := b.data
	for _, p := range b.parts {
		piece := data[:p.size]
		data = data[p.size:]
		zero := (a.size == 0 || a.zero) && IsZero(piece)
		if p.end && a.size == 0 {
			var id ID
			if zero {
				id = a.zeroID(len(piece))
			} else {
				id = Sum(piece)
			}
			if err := a.add(Object{ID: id, Size: uint32(len(piece))}, piece); err != nil {
				return err
			}
			continue
		}
		if a.zero && !zero {
			a.begun.AddZeroes(int64(a.size))
		}
		if a.zero = zero; !zero {
			a.begun.Write(piece)
		}
		a.size += len(piece)
		if a.emit != nil {
			a.bytes = append(a.bytes, piece...)
		}
		if !p.end {
			continue
		}
		var id ID
		if a.zero {
			id = a.zeroID(a.size)
		} else {
			id = a.begun.Sum()
			a.begun.Reset()
		}
		if err := a.add(Object{ID: id, Size: uint32(a.size)}, a.bytes); err != nil {
			return err
		}
		a.size, a.zero, a.bytes = 0, false, a.bytes[:0]
	}
	return nil
}

// zeroID names an object of so many zeroes.
func (a *assembler) zeroID(size int) ID {
	if a.zeroes.Size != uint32(size) {
		a.zeroes = Object{ID: SumZeroes(int64(size)), Size: uint32(size)}
	}
	return a.zeroes.ID
}

func (a *assembler) add(o Object, data []byte) error {
	if len(a.m.Objects) == MaxObjects {
		return ErrTooManyObjects
	}
	a.m.Objects = append(a.m.Objects, o)
	if a.emit == nil {
		return nil
	}
	return emitted(len(a.m.Objects)-1, a.emit(o, data))
}

func emitted(i int, err error) error {
	if err != nil {
		return fmt.Errorf("handing out object %d: %w", i, err)
	}
	return nil
}
