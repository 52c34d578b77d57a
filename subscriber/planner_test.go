package subscriber

import (
	"slices"
	"testing"

	"waptsync/bus"
	"waptsync/index"
)

// named makes entries of files that delivery gives their contents: "path seq".
func named(files map[string]uint64, optional ...string) (entries []index.Entry) {
	for p, seq := range files {
		d := delivery(seq, bus.KindFile, p)
		entries = append(entries, index.Entry{
			Path: p, Size: 1, SHA256: d.Event.Content.Digest, HasSHA256: true, Optional: slices.Contains(optional, p),
		})
	}
	return entries
}

func TestPlannerFollowsWhatIndexesName(t *testing.T) {
	type world struct {
		w *window
		c *catalog
	}
	onDisk := func(files map[string]uint64) func(string) found {
		return func(p string) found {
			seq, ok := files[p]
			if !ok {
				return found{}
			}
			return found{kind: bus.KindFile, content: delivery(seq, bus.KindFile, p).Event.Content, size: 1, sure: true}
		}
	}
	disk := map[string]uint64{"a": 1, "b": 2, "Packages": 3, "d/x": 4}
	visible := func(s world, entries []index.Entry) *listing {
		l := newListing("Packages", entries)
		s.c.add(l, onDisk(disk))
		s.c.visible["Packages"] = l
		return l
	}
	// staged offers an index with what it names.
	staged := func(s world, seq uint64, path string, incomplete bool, entries []index.Entry) {
		d := delivery(seq, bus.KindFile, path)
		d.Event.Incomplete = incomplete
		it := admitReady(s.w, d)
		it.listing = newListing(path, entries)
		it.listing.item = it
		s.c.add(it.listing, onDisk(disk))
	}
	old := func() []index.Entry { return named(map[string]uint64{"a": 1, "b": 2}) }
	for _, c := range []struct {
		name  string
		do    func(s world)
		takes []string
	}{
		{"a named file is not replaced alone", func(s world) {
			visible(s, old())
			admitReady(s.w, delivery(10, bus.KindFile, "a"))
			admitReady(s.w, delivery(11, bus.KindFile, "c"))
		}, []string{"c"}},
		{"nor deleted", func(s world) {
			visible(s, old())
			admitReady(s.w, delivery(10, bus.KindDeleted, "a"))
		}, nil},
		{"nor the folder above it", func(s world) {
			visible(s, named(map[string]uint64{"d/x": 4}))
			admitReady(s.w, delivery(10, bus.KindDeleted, "d"))
		}, nil},
		{"nor made a folder", func(s world) {
			visible(s, old())
			admitReady(s.w, delivery(10, bus.KindDir, "a"))
		}, nil},
		{"what it names otherwise than the disk has it is free", func(s world) {
			visible(s, named(map[string]uint64{"a": 7}))
			admitReady(s.w, delivery(10, bus.KindFile, "a"))
		}, []string{"a"}},
		{"an incomplete index guards nothing", func(s world) {
			visible(s, old()).incomplete = true
			admitReady(s.w, delivery(10, bus.KindDeleted, "a"))
		}, []string{"a"}},
		{"files, their index and deletions go together", func(s world) {
			visible(s, old())
			admitReady(s.w, delivery(10, bus.KindFile, "a"))
			admitReady(s.w, delivery(11, bus.KindDeleted, "b"))
			staged(s, 12, "Packages", false, named(map[string]uint64{"a": 10}))
		}, []string{"a", "Packages", "b"}},
		{"and wait together", func(s world) {
			visible(s, old())
			admitReady(s.w, delivery(10, bus.KindFile, "a"))
			admitReady(s.w, delivery(11, bus.KindDeleted, "b"))
			s.w.admit(delivery(12, bus.KindFile, "c"))
			staged(s, 13, "Packages", false, named(map[string]uint64{"a": 10, "c": 12}))
		}, nil},
		{"an index whose file is on disk need not wait for others", func(s world) {
			visible(s, old())
			s.w.admit(delivery(10, bus.KindFile, "slow"))
			staged(s, 13, "Packages", false, old())
		}, []string{"Packages"}},
		{"an index goes before a later version of its file", func(s world) {
			visible(s, old())
			staged(s, 12, "Packages", false, named(map[string]uint64{"a": 1}))
			admitReady(s.w, delivery(13, bus.KindFile, "a"))
		}, []string{"Packages"}},
		{"an index that misses its file is no help for others", func(s world) {
			visible(s, old())
			admitReady(s.w, delivery(10, bus.KindFile, "a"))
			staged(s, 12, "Packages", false, named(map[string]uint64{"a": 10, "never": 9}))
		}, nil},
		{"an incomplete index does not wait for what nobody brings", func(s world) {
			visible(s, old())
			staged(s, 12, "Packages", true, named(map[string]uint64{"a": 1, "never": 9}))
		}, []string{"Packages"}},
		{"but for what is on its way", func(s world) {
			visible(s, old())
			s.w.admit(delivery(10, bus.KindFile, "soon"))
			staged(s, 12, "Packages", true, named(map[string]uint64{"a": 1, "soon": 10}))
		}, nil},
		{"an optional name need not be there", func(s world) {
			staged(s, 12, "Release", false, named(map[string]uint64{"Packages.gz": 9}, "Packages.gz"))
		}, []string{"Release"}},
		{"but is waited for when it comes", func(s world) {
			s.w.admit(delivery(9, bus.KindFile, "Packages.gz"))
			staged(s, 12, "Release", false, named(map[string]uint64{"Packages.gz": 9}, "Packages.gz"))
		}, nil},
		{"a chain of indexes goes at once", func(s world) {
			visible(s, old())
			staged(s, 12, "Packages", false, named(map[string]uint64{"a": 1}))
			staged(s, 13, "Release", false, named(map[string]uint64{"Packages": 12}, "Packages"))
		}, []string{"Packages", "Release"}},
		{"or not at all", func(s world) {
			visible(s, old())
			staged(s, 12, "Packages", false, named(map[string]uint64{"never": 1}))
			staged(s, 13, "Release", false, named(map[string]uint64{"Packages": 12}, "Packages"))
		}, nil},
		{"what guards an index holds it back alone", func(s world) {
			r := newListing("Release", named(map[string]uint64{"Packages": 3}, "Packages"))
			s.c.add(r, onDisk(disk))
			s.c.visible["Release"] = r
			staged(s, 12, "Packages", false, named(map[string]uint64{"a": 1}))
		}, nil},
		{"an index that goes frees what it named", func(s world) {
			visible(s, old())
			admitReady(s.w, delivery(10, bus.KindDeleted, "Packages"))
			admitReady(s.w, delivery(11, bus.KindDeleted, "a"))
		}, []string{"Packages", "a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := world{newWindow(testRule(t)), newCatalog()}
			c.do(s)
			ops, _ := s.w.take(s.c)
			if got := paths(ops); !slices.Equal(got, c.takes) {
				t.Errorf("takes %q, want %q", got, c.takes)
			}
		})
	}
}
