package subscriber

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"waptsync/bus"
)

func TestWithoutTakesOwnRunsOutOfMissingOnes(t *testing.T) {
	f, g := new(os.File), new(os.File)
	run := func(f *os.File, offset, length, at int64) ownRun { return ownRun{span{offset, length}, f, at} }
	for _, c := range []struct {
		name    string
		own     []ownRun
		missing []span
		ordered []ownRun
		rest    []span
	}{
		{"nothing found", []ownRun{run(f, 0, 5, 0)}, []span{{5, 5}}, []ownRun{run(f, 0, 5, 0)}, []span{{5, 5}}},
		{"behind the run before", []ownRun{run(f, 0, 5, 0), run(f, 5, 2, 5)}, []span{{5, 5}},
			[]ownRun{run(f, 0, 7, 0)}, []span{{7, 3}}},
		{"before the run behind", []ownRun{run(f, 10, 5, 30), run(f, 8, 2, 28)}, []span{{5, 5}},
			[]ownRun{run(f, 8, 7, 28)}, []span{{5, 3}}},
		{"in the middle", []ownRun{run(f, 7, 1, 50)}, []span{{5, 5}}, []ownRun{run(f, 7, 1, 50)}, []span{{5, 2}, {8, 2}}},
		{"all of several", []ownRun{run(f, 0, 5, 0), run(f, 5, 5, 5), run(f, 10, 5, 10), run(f, 15, 5, 15)}, []span{{5, 5}, {15, 5}},
			[]ownRun{run(f, 0, 20, 0)}, nil},
		{"two that overlap", []ownRun{run(f, 5, 3, 0), run(g, 7, 3, 40)}, []span{{5, 5}},
			[]ownRun{run(f, 5, 3, 0), run(g, 8, 2, 41)}, nil},
		{"one within another", []ownRun{run(f, 5, 4, 0), run(g, 6, 2, 40)}, []span{{5, 5}},
			[]ownRun{run(f, 5, 4, 0)}, []span{{9, 1}}},
		{"between missing runs", []ownRun{run(f, 8, 1, 8), run(f, 20, 4, 20)}, []span{{5, 5}, {24, 6}},
			[]ownRun{run(f, 8, 1, 8), run(f, 20, 4, 20)}, []span{{5, 3}, {9, 1}, {24, 6}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ordered, rest := without(c.own, c.missing)
			if !slices.Equal(ordered, c.ordered) || !slices.Equal(rest, c.rest) {
				t.Errorf("got %v and %v, want %v and %v", ordered, rest, c.ordered, c.rest)
			}
		})
	}
}

// Of a file in which little changed only the changed blocks come, wherever they
// are in it; of an object at the end that is not worth a question, all of it.
func TestFewBytesComeForFewChanges(t *testing.T) {
	old := random(3 << 20)
	patched := bytes.Clone(old)
	for _, at := range []int{0, 500_000, 500_900, 2 << 20, len(old) - 1} {
		patched[at]++
	}
	for _, c := range []struct {
		name   string
		next   []byte
		blocks int64
	}{
		{"in place", patched, 5},
		{"something in front", append(random(300), old...), 2},
		{"something behind", append(bytes.Clone(old), random(300)...), 2},
		{"something less", append(bytes.Clone(old[:1<<20]), old[1<<20+7_000:]...), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := startMain(t)
			m.put("disk.img", old)
			r := newRemote(t, m, "colmar")
			r.start()
			r.reached()
			before := r.r.Report().Received
			m.put("disk.img", c.next)
			r.reached()
			r.same()
			most := (c.blocks-1)*bus.KnownBlock + leastGuess
			if got := r.r.Report().Received - before; got > most {
				t.Errorf("%d bytes came, more than %d", got, most)
			}
		})
	}
}
