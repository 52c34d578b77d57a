package publisher

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"waptsync/bus"
	"waptsync/objects"
)

// randomEntry is what an event might say of a path.
func randomEntry(r *rand.Rand, kind bus.Kind) entry {
	e := entry{kind: kind, mode: uint16(r.IntN(0o10000)), mtime: r.Int64() - r.Int64(), ctime: r.Int64(), inode: r.Uint64()}
	switch {
	case kind == bus.KindSymlink:
		e.more = &more{target: strings.Repeat("t", 1+r.IntN(700))}
	case kind == bus.KindFile:
		e.size = r.Int64N(1 << 40)
		e.digest = objects.Sum(fmt.Append(nil, r.Uint64()))
		e.incomplete = r.IntN(5) == 0
		if r.IntN(2) == 0 {
			e.more = &more{
				params: objects.Params{Min: r.Uint32(), Avg: 2, Max: 3, Zip: r.IntN(2) == 0}, objects: r.Uint32(),
				manifest: e.digest, hasMD5: r.IntN(2) == 0, md5: [16]byte{1, 2, byte(r.IntN(256))},
			}
		}
	}
	return e
}

func sameEntry(a, b entry) bool {
	if (a.more == nil) != (b.more == nil) || a.more != nil && *a.more != *b.more {
		return false
	}
	a.more, b.more = nil, nil
	return a == b
}

// TestTreeIsAsItsModel has a tree and a map take the same changes.
func TestTreeIsAsItsModel(t *testing.T) {
	crowded := func(path string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(path))
		return h.Sum64() % 16
	}
	for _, c := range []struct {
		name string
		dir  string
		hash func(string) uint64
	}{
		{name: "in memory"},
		{name: "in a file", dir: t.TempDir()},
		{name: "crowded", dir: t.TempDir(), hash: crowded},
	} {
		t.Run(c.name, func(t *testing.T) {
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 0))
			tr := newTree(c.dir)
			defer tr.close()
			if c.hash != nil {
				tr.hash = c.hash
			}
			model := make(map[string]entry)
			for i := range 30_000 {
				var p string
				for range r.IntN(3) {
					p = join(p, fmt.Sprint("d", r.IntN(3)))
				}
				kind := []bus.Kind{bus.KindFile, bus.KindFile, bus.KindSymlink, bus.KindDir}[r.IntN(4)]
				name := fmt.Sprint("f", r.IntN(40))
				if kind == bus.KindDir {
					name = fmt.Sprint("d", r.IntN(3))
				}
				p = join(p, name)
				switch r.IntN(5) {
				default:
					e := randomEntry(r, kind)
					tr.put(p, e)
					model[p] = e
				case 1:
					tr.delete(p)
					delete(model, p)
				case 2:
					tr.doubt(p)
					if e, ok := model[p]; ok {
						e.mode = ^uint16(0)
						if e.kind != bus.KindDir {
							e.inode = 0
						}
						if e.kind == bus.KindSymlink {
							e.more = nil
						}
						model[p] = e
					}
				}
				got, ok := tr.get(p)
				if want, has := model[p]; ok != has || !sameEntry(got, want) {
					t.Fatalf("seed %d, step %d: %s is %v, %+v; want %v, %+v", seed, i, p, ok, got, has, want)
				}
				if i%1000 == 0 {
					likeModel(t, tr, model)
				}
			}
			likeModel(t, tr, model)
			if err := tr.err(); err != nil {
				t.Fatal(err)
			}
			if most := int64(len(model))*2000 + 3*wasteBytes; tr.records.bytes > most {
				t.Errorf("%d bytes of records for %d paths", tr.records.bytes, len(model))
			}
		})
	}
}

func likeModel(t *testing.T, tr *tree, model map[string]entry) {
	t.Helper()
	var sum counts
	below := map[string]map[string]bool{"": {}}
	for p, e := range model {
		switch e.kind {
		case bus.KindFile:
			sum.files++
			sum.bytes += e.size
		case bus.KindDir:
			sum.dirs++
		case bus.KindSymlink:
			sum.links++
		}
		for ; p != ""; p = above(p) {
			if below[above(p)] == nil {
				below[above(p)] = make(map[string]bool)
			}
			below[above(p)][filepath.Base(p)] = true
		}
	}
	if got := tr.sum(); got != sum {
		t.Errorf("the tree sums up to %+v, want %+v", got, sum)
	}
	for dir, want := range below {
		names := tr.list(dir)
		slices.Sort(names)
		if !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%q lists %v, want %v", dir, names, slices.Sorted(maps.Keys(want)))
		}
		if n, _ := tr.size(dir); n != len(want) {
			t.Errorf("%q has %d names, want %d", dir, n, len(want))
		}
	}
	seen := make(map[string]bool)
	tr.walk("", func(p string, e entry) bool {
		if want, ok := model[p]; !ok || seen[p] || !sameEntry(e, want) {
			t.Errorf("the walk came to %s, %+v; want %v, %+v", p, e, ok, want)
		}
		for up := above(p); up != ""; up = above(up) {
			if seen[up] {
				t.Errorf("the walk came to %s after %s", p, up)
			}
		}
		seen[p] = true
		return true
	})
	if len(seen) != len(model) {
		t.Errorf("the walk came to %d of %d", len(seen), len(model))
	}
}

// TestRecordsWithoutRoom have their file on a disk that is full after a while.
func TestRecordsWithoutRoom(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a tmpfs needs root")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	tr := newTree(disk)
	defer tr.close()
	const n = 40_000
	for i := range n {
		tr.put(fmt.Sprint("dir/", i), entry{kind: bus.KindFile, size: int64(i)})
	}
	for i := range n {
		if e, ok := tr.get(fmt.Sprint("dir/", i)); !ok || e.size != int64(i) {
			t.Fatalf("%d is %v, %+v", i, ok, e)
		}
	}
	if got := len(tr.list("dir")); got != n || tr.unkept() == nil || tr.err() != nil {
		t.Errorf("%d names, kept in memory because of %v, failed by %v", got, tr.unkept(), tr.err())
	}
}

// TestARecordThatCannotBeRead counts as not there, and is told.
func TestARecordThatCannotBeRead(t *testing.T) {
	tr := newTree(t.TempDir())
	for i := range 10_000 {
		tr.put(fmt.Sprint(i), entry{kind: bus.KindFile})
	}
	tr.close()
	if _, ok := tr.get("0"); ok || tr.err() == nil {
		t.Errorf("read %v, failed by %v", ok, tr.err())
	}
}

func FuzzDecodeLeaf(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []bus.Kind{bus.KindFile, bus.KindSymlink} {
		l := leaf{entry: randomEntry(r, kind), path: "a/b", prev: 77}
		f.Add(l.append(nil)[crcBytes:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := sealRecord(append(make([]byte, crcBytes), body...))
		l, err := decodeLeaf(b)
		if err != nil {
			return
		}
		again, err := decodeLeaf(l.append(nil))
		if err != nil || again.path != l.path || again.prev != l.prev || !sameEntry(again.entry, l.entry) {
			t.Errorf("%+v became %+v, %v", l, again, err)
		}
	})
}

// hostPaths are those of a share with many files in one directory.
func hostPaths(n int) []string {
	paths := make([]string, n)
	for i := range paths {
		paths[i] = fmt.Sprintf("hosts/%08x-%04d.wapt", uint32(i)*2654435761, i%10_000)
	}
	return paths
}

func BenchmarkTree(b *testing.B) {
	const n = 200_000
	paths := hostPaths(n)
	e := randomEntry(rand.New(rand.NewPCG(1, 2)), bus.KindFile)
	e.more = nil
	fill := func() *tree {
		t := newTree(b.TempDir())
		for _, p := range paths {
			t.put(p, e)
		}
		return t
	}
	b.Run("put", func(b *testing.B) {
		var before, after runtime.MemStats
		for b.Loop() {
			runtime.GC()
			runtime.ReadMemStats(&before)
			t := fill()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "heapbytes/file")
			t.close()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/file")
	})
	t := fill()
	defer t.close()
	b.Run("get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, ok := t.get(paths[i%n]); !ok {
				b.Fatal(i)
			}
		}
	})
	b.Run("walk", func(b *testing.B) {
		for b.Loop() {
			t.walk("", func(string, entry) bool { return true })
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/file")
	})
}
