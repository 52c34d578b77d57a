package objects

import (
	"bytes"
	"fmt"
	"testing"
)

func TestEveryObjectIsFoundWhereItIs(t *testing.T) {
	var s Sources
	contents := map[string][]byte{}
	var manifests []*Manifest
	for i, size := range []int{0, 5_000, 300_000, 2_000_000} {
		name := fmt.Sprint("file", i)
		contents[name] = random(byte(i), size)
		m := describe(t, contents[name], Params{Min: 256, Avg: 1024, Max: 4096})
		manifests = append(manifests, m)
		s.Add(name, m)
	}
	for _, m := range manifests {
		for _, o := range m.Objects {
			name, off, size, ok := s.Find(o.ID)
			if !ok || size != o.Size || Sum(contents[name][off:off+int64(size)]) != o.ID {
				t.Fatalf("object %v is said to be at %d of %q: %v", o.ID, off, name, ok)
			}
		}
	}
	if _, _, _, ok := s.Find(Sum([]byte("nowhere"))); ok {
		t.Error("an object is found that is nowhere")
	}
}

func TestTheFirstSourceOfAnObjectStays(t *testing.T) {
	var s Sources
	if _, _, _, ok := s.Find(Sum(nil)); ok {
		t.Error("the empty Sources find something")
	}
	m := describe(t, []byte("same"), ParamsFor(4, false))
	s.Add("old", m)
	s.Add("new", m)
	if name, off, size, ok := s.Find(m.Digest); name != "old" || off != 0 || size != 4 || !ok {
		t.Errorf("found in %q at %d", name, off)
	}
}

func TestObjectsWithTheSameBeginningOfIDAreNotMistaken(t *testing.T) {
	var s Sources
	m := describe(t, []byte("x"), ParamsFor(1, false))
	s.Add("x", m)
	twin := m.Digest
	twin[31] ^= 1
	if _, _, _, ok := s.Find(twin); ok {
		t.Error("another object is found in its place")
	}
}

func TestHasherAgreesWithSumAndAllocatesNothing(t *testing.T) {
	b := random(1, 100_000)
	h := NewHasher()
	defer h.Release()
	h.Write([]byte("other"))
	h.Reset()
	for piece := range bytes.SplitSeq(b, []byte{0}) {
		h.Write(piece)
		h.Write([]byte{0})
	}
	if got, want := h.Sum(), Sum(append(b, 0)); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if n := testing.AllocsPerRun(100, func() {
		h := NewHasher()
		h.Write(b)
		h.Sum()
		h.Release()
	}); n > 0.5 {
		t.Errorf("%v allocations", n)
	}
}
