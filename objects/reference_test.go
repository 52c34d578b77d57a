package objects

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"
)

// random returns n bytes that are the same on every machine and in every
// version of Go: ChaCha8 is specified.
func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// referenceSizes cuts b by the definition, one object and one place at a time,
// with each hash computed anew. ends are where objects end in any case.
func referenceSizes(b []byte, p Params, ends ...int) (sizes []uint32) {
	if len(b) > 0 && int64(len(b)) <= p.single() {
		return []uint32{uint32(len(b))}
	}
	bitsOf := func(avg uint32) (n int) {
		for ; avg > 1; avg /= 2 {
			n++
		}
		return n
	}
	start := 0
	for _, stop := range append(ends, len(b)) {
		for start < stop {
			end := start + int(p.Min)
			for ; end < stop && end < start+int(p.Max); end++ {
				n := bitsOf(p.Avg) + 2
				if end >= start+int(p.Avg) {
					n -= 4
				}
				var h uint64
				for i, x := range b[end-64 : end] {
					h += gear[x] << (63 - i)
				}
				if h>>(64-n) == 0 {
					break
				}
			}
			end = min(end, stop)
			sizes = append(sizes, uint32(end-start))
			start = end
		}
	}
	return sizes
}

// referenceManifest is what Describe must return for b cut into sizes.
func referenceManifest(b []byte, p Params, sizes []uint32) *Manifest {
	m := &Manifest{Params: p, Size: int64(len(b)), Digest: sha256.Sum256(b), MD5: md5.Sum(b), HasMD5: true}
	for _, n := range sizes {
		m.Objects = append(m.Objects, Object{ID: sha256.Sum256(b[:n]), Size: n})
		b = b[n:]
	}
	return m
}

// describe is Describe of b that must not fail.
func describe(t testing.TB, b []byte, p Params) *Manifest {
	t.Helper()
	m, err := Describe(context.Background(), bytes.NewReader(b), int64(len(b)), p, DescribeOptions{MD5: true})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// reused is the share of b's bytes in objects that a has too.
func reused(a, b *Manifest) float64 {
	var have Sources
	have.Add("a", a)
	var n int64
	for _, o := range b.Objects {
		if _, _, _, ok := have.Find(o.ID); ok {
			n += int64(o.Size)
		}
	}
	return float64(n) / float64(b.Size)
}

// dripReader gives at most n bytes at a time, now and then none, without
// saying why, as io.ReaderAt forbids and some network file systems do.
type dripReader struct {
	r     io.ReaderAt
	n     int
	calls int
}

func (d *dripReader) ReadAt(b []byte, off int64) (int, error) {
	if d.calls++; d.calls%5 == 0 {
		return 0, nil
	}
	if len(b) > d.n {
		b = b[:d.n]
	}
	n, err := d.r.ReadAt(b, off)
	if n > 0 {
		err = nil
	}
	return n, err
}
