package subscriber

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"waptsync/bus"
	"waptsync/objects"
)

// tally counts the bytes of manifests that come, and may spoil them.
type tally struct {
	Bus
	spoil func(piece []byte)

	mu    sync.Mutex
	came  int64
	bases []int // of each manifest asked for
}

func (b *tally) Fetch(ctx context.Context, share string, items []bus.Item, sink func(bus.Piece) error) ([]error, error) {
	b.mu.Lock()
	for _, it := range items {
		if it.Manifest {
			b.bases = append(b.bases, len(it.Known)/len(objects.ID{}))
		}
	}
	b.mu.Unlock()
	return b.Bus.Fetch(ctx, share, items, func(p bus.Piece) error {
		if items[p.Item].Manifest {
			b.mu.Lock()
			b.came += int64(len(p.Data))
			b.mu.Unlock()
			if b.spoil != nil {
				b.spoil(p.Data)
			}
		}
		return sink(p)
	})
}

// since gives what was counted, and begins anew.
func (b *tally) since() (came int64, bases []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	came, bases = b.came, b.bases
	b.came, b.bases = 0, nil
	return came, bases
}

// Contents are the same in each run, and so are their cuts.
func TestNextVersionsManifestComesAsADelta(t *testing.T) {
	const size = 6 << 20
	old := seeded(1, size)
	next := slices.Concat(seeded(2, 12_345), old[:size/2], seeded(3, size/10), old[size/2:])
	other := seeded(4, size)
	for _, c := range []struct {
		name, old, next string
		between         func(m *testMain, r *testRemote, counted *tally)
		most            int64 // share of the whole manifest, in percent
		bases           []int
	}{
		{name: "of a package", old: "tis-app_1_x.wapt", next: "tis-app_2_x.wapt", most: 15, bases: []int{1}},
		{name: "under the same name", old: "disk.img", next: "disk.img", most: 15, bases: []int{1}},
		{
			name: "beside another version", old: "tis-app_1_x.wapt", next: "tis-app_2_x.wapt", most: 15, bases: []int{2},
			between: func(m *testMain, r *testRemote, _ *tally) { m.put("tis-app_0_x.wapt", other) },
		},
		{
			name: "beside a copy of it", old: "tis-app_1_x.wapt", next: "tis-app_2_x.wapt", most: 15, bases: []int{1},
			between: func(m *testMain, r *testRemote, _ *tally) { m.put("tis-app_1_y.wapt", old) },
		},
		{name: "where the remote knows nothing", old: "tis-app_1_x.wapt", next: "another_2_x.wapt", most: 100, bases: []int{0}},
		{
			name: "that the main does not know", old: "tis-app_1_x.wapt", next: "tis-app_2_x.wapt", most: 100, bases: []int{1},
			between: func(m *testMain, r *testRemote, _ *tally) { m.files.forgetManifests() },
		},
		{
			name: "that comes spoilt", old: "tis-app_1_x.wapt", next: "tis-app_2_x.wapt", most: 115, bases: []int{1, 0},
			between: func(m *testMain, r *testRemote, counted *tally) {
				counted.spoil = func(piece []byte) {
					if objects.IsDelta(piece) {
						piece[len(piece)-20]++ // of an object's ID, or of where a run is
					}
				}
			},
		},
		{
			name: "of a file changed by hand", old: "disk.img", next: "disk.img", most: 15, bases: []int{1},
			between: func(m *testMain, r *testRemote, _ *tally) {
				must(t, os.WriteFile(r.path("disk.img"), seeded(5, len(next)), 0o644))
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := startMain(t)
			m.put(c.old, old)
			r := newRemote(t, m, "colmar")
			counted := &tally{Bus: r.faults.Bus}
			r.faults.Bus = counted
			r.start()
			r.reached()
			if c.between != nil {
				c.between(m, r, counted)
				r.reached()
			}
			counted.since()
			m.write(c.next, next)
			if c.next != c.old {
				must(t, os.Remove(filepath.Join(m.dir, c.old)))
			}
			m.publish(c.next, c.old)
			r.reached()
			r.same()
			came, bases := counted.since()
			_, whole := m.files.describe(t, c.next)
			if most := int64(len(whole)) * c.most / 100; came > most {
				t.Errorf("%d bytes of manifests came for one of %d, more than %d", came, len(whole), most)
			}
			if !slices.Equal(bases, c.bases) {
				t.Errorf("asked with %v bases instead of %v", bases, c.bases)
			}
		})
	}
}

func TestManifestsAreNamedAsFarAsItPays(t *testing.T) {
	stored := func(number byte, n int) relative {
		return relative{content: bus.Content{Manifest: objects.ID{number}}, stored: &objects.Manifest{Objects: make([]objects.Object, n)}}
	}
	for _, c := range []struct {
		name    string
		objects uint32
		rels    []relative
		want    []byte
	}{
		{"nothing is stored", 100, []relative{{}, {content: bus.Content{Manifest: objects.ID{1}}}}, nil},
		{"all that is stored", 100, []relative{{}, stored(1, 90), stored(2, 5000)}, []byte{1, 2}},
		{"one that several have once", 100, []relative{stored(1, 90), stored(1, 90), stored(2, 90)}, []byte{1, 2}},
		{"few for few objects", 17, []relative{stored(1, 90), stored(2, 90), stored(3, 90)}, []byte{1, 2}},
		{"none for fewer", 7, []relative{stored(1, 90)}, nil},
		{"no more than are allowed", 1000, []relative{stored(1, 9), stored(2, 9), stored(3, 9), stored(4, 9), stored(5, 9)}, []byte{1, 2, 3, 4}},
		{"no more objects than are allowed", 1000, []relative{stored(1, 9000), stored(2, 9000), stored(3, 7384), stored(4, 1)}, []byte{1, 3}},
		{"none of too many", objects.MaxDeltaObjects + 1, []relative{stored(1, 9)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids, bases := basesFor(&bus.Content{Objects: c.objects}, c.rels)
			var got []byte
			for _, id := range ids {
				got = append(got, id[0])
			}
			if !bytes.Equal(got, c.want) || len(bases) != len(ids) {
				t.Errorf("got %v with %d manifests, want %v", got, len(bases), c.want)
			}
		})
	}
}
