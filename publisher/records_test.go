package publisher

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever the order, reading ahead gives what is there.
func TestReadAheadReadsEachRecord(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(r *records, n int) (refs []ref, content [][]byte) {
		for range n {
			b := make([]byte, 1+random.IntN(200))
			if random.IntN(100) == 0 {
				b = make([]byte, maxRecord)
			}
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			refs, content = append(refs, r.add(b)), append(content, b)
		}
		return refs, content
	}
	for _, c := range []struct {
		name, dir string
		order     func(refs []int)
	}{
		{"as written", t.TempDir(), func([]int) {}},
		{"backwards", t.TempDir(), slices.Reverse[[]int]},
		{"anyhow", t.TempDir(), func(o []int) { random.Shuffle(len(o), func(i, j int) { o[i], o[j] = o[j], o[i] }) }},
		{"in memory", "", func([]int) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a readAhead
			read := func(r *records, refs []ref, content [][]byte) {
				order := make([]int, len(refs))
				for i := range order {
					order[i] = i
				}
				c.order(order)
				for _, i := range order {
					if got, err := a.get(r, refs[i]); err != nil || !bytes.Equal(got, content[i]) {
						t.Fatalf("record %d of %d: %d bytes, want %d (%v)", i, len(refs), len(got), len(content[i]), err)
					}
				}
			}
			r := newRecords(c.dir)
			defer func() { r.close() }()
			refs, content := fill(r, 5_000)
			read(r, refs, content)
			more, moreContent := fill(r, 2_000)
			refs, content = append(refs, more...), append(content, moreContent...)
			read(r, refs, content)
			// Records are moved to a new file.
			old := r
			r = old.next(c.dir)
			old.close()
			read(r, nil, nil)
			refs, content = fill(r, 3_000)
			read(r, refs, content)
		})
	}
}
