package subscriber

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"waptsync/objects"
)

// room is how many bytes a file takes on the disk.
func room(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	return allocated(f)
}

// writeSparse makes a file of the main of which only the islands, by where they
// begin, are no holes.
func (m *testMain) writeSparse(path string, size int64, islands map[int64][]byte) {
	m.t.Helper()
	temp := filepath.Join(filepath.Dir(m.dir), "being-written")
	f, err := os.Create(temp)
	must(m.t, err)
	must(m.t, f.Truncate(size))
	for at, b := range islands {
		_, err := f.WriteAt(b, at)
		must(m.t, err)
	}
	must(m.t, f.Close())
	must(m.t, os.Rename(temp, filepath.Join(m.dir, path)))
}

// Objects as a file of many GiB has them: no object is zeroes as a whole.
var largeObjects = &objects.Params{Min: 1 << 20, Avg: 2 << 20, Max: 8 << 20}

// seldom are 100 kB every 3 MiB.
func seldom(size int64) map[int64][]byte {
	islands := make(map[int64][]byte)
	for at := int64(1234); at < size-200_000; at += 3 << 20 {
		islands[at] = random(100_000)
	}
	return islands
}

func sizeOf(islands map[int64][]byte) (n int64) {
	for _, b := range islands {
		n += int64(len(b))
	}
	return n
}

// edges is what islands take beside their bytes, on the disk and on the wire.
func edges(islands map[int64][]byte) int64 { return int64(len(islands)) * 2 * leastHole }

func TestFilesKeepTheirHoles(t *testing.T) {
	for name, params := range map[string]*objects.Params{"objects that are zeroes": nil, "objects with zeroes in them": largeObjects} {
		t.Run(name, func(t *testing.T) {
			m := startMain(t)
			m.files.params = params
			const size = 96<<20 + 777
			islands := seldom(size)
			most := sizeOf(islands) + edges(islands)
			m.writeSparse("disk_1.0.img", size, islands)
			m.publishAll()
			r := newRemote(t, m, "colmar")
			r.start()
			r.reached()
			r.same()
			if got := room(t, r.path("disk_1.0.img")); got > most {
				t.Errorf("%d bytes on the disk, for %d of data", got, sizeOf(islands))
			}
			if got := r.r.Report().Received; got > most {
				t.Errorf("%d bytes came, for %d of data", got, sizeOf(islands))
			}
			sum, err := r.r.Verify(t.Context(), false, func(f Finding) { t.Errorf("%+v", f) })
			if err != nil || sum.Files != 1 {
				t.Errorf("verify: %+v, %v", sum, err)
			}
			before := r.r.Report()

			// Zeroes where data was, and data where zeroes were.
			delete(islands, 1234)
			delete(islands, 1234+9<<20)
			islands[5<<20] = random(300_000)
			m.writeSparse("disk_1.0.img", size, islands)
			m.publish("disk_1.0.img")
			r.reached()
			r.same()
			if got := room(t, r.path("disk_1.0.img")); got > most+300_000 {
				t.Errorf("the next version takes %d bytes on the disk, for %d of data", got, sizeOf(islands))
			}
			if got := r.r.Report().Received - before.Received; got > most+300_000 { // hardly any cut is where it was
				t.Errorf("%d bytes came, for %d of data", got, sizeOf(islands))
			}

			// A copy within the remote's disk.
			before = r.r.Report()
			must(t, os.Link(filepath.Join(m.dir, "disk_1.0.img"), filepath.Join(m.dir, "copy.img")))
			m.publish("copy.img")
			r.reached()
			r.same()
			if got := room(t, r.path("copy.img")); got > most+300_000 {
				t.Errorf("the copy takes %d bytes on the disk, for %d of data", got, sizeOf(islands))
			}
			if got := r.r.Report().Received - before.Received; got != 0 {
				t.Errorf("%d bytes came for a copy", got)
			}
		})
	}
}

// What a stage file of that name has from before must not show in a hole.
func TestHolesAreMadeInAFileThatHasOtherBytes(t *testing.T) {
	for longer, params := range map[int]*objects.Params{4096: nil, -4096: nil, 0: largeObjects} {
		t.Run(sprint("%+d bytes, %v", longer, params), func(t *testing.T) {
			m := startMain(t)
			m.files.params = params
			m.put("first", []byte("first"))
			r := newRemote(t, m, "colmar")
			r.start()
			r.reached()
			r.stop()
			const size = 48<<20 + 777
			islands := seldom(size)
			m.writeSparse("disk.img", size, islands)
			m.publish("disk.img")
			part := filepath.Join(r.dir, hidden, stageName, partName(m.event("disk.img").Content.Digest))
			garbage := bytes.Repeat([]byte{0xa5}, size+longer)
			copy(garbage[:20<<20], m.read("disk.img")) // some of it is right
			must(t, os.WriteFile(part, garbage, 0o600))
			r.start()
			r.reached()
			r.same()
			if got, most := room(t, r.path("disk.img")), 20<<20+sizeOf(islands)+edges(islands); got > most {
				t.Errorf("%d bytes on the disk, want at most %d", got, most)
			}
			if got := r.r.Report().Received; got > sizeOf(islands)*3/4 {
				t.Errorf("%d bytes came, though some were there", got)
			}
		})
	}
}

// Where the file system makes no holes zeroes are written.
func TestZeroesAreWrittenWhereNoHoleCanBeMade(t *testing.T) {
	content := bytes.Join([][]byte{random(100_000), make([]byte, 700_000), random(30_000), make([]byte, 2<<20), random(5)}, nil)
	for _, c := range []struct {
		name                  string
		direct, blank, cannot bool
	}{
		{"holes", true, false, false}, {"nothing there", true, true, false}, {"no holes", true, false, true}, {"no direct writes", false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, direct := landFile(t, c.direct)
			must(t, f.Truncate(int64(len(content))))
			if !c.blank {
				_, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, len(content)), 0)
				must(t, err)
			}
			file := &hollow{f: f, blank: c.blank}
			file.never.Store(c.cannot)
			l := newLanding(file, direct, []span{{0, int64(len(content))}}, nil)
			defer l.close()
			fill := l.filler(l.next(4 << 20)[0])
			must(t, fill.take(content))
			must(t, fill.flush())
			must(t, f.Sync())
			got, err := os.ReadFile("/proc/self/fd/" + sprint("%d", f.Fd()))
			must(t, err)
			if !bytes.Equal(got, content) {
				t.Error("other bytes")
			}
			if holes := allocated(f) < 400_000; holes == c.cannot {
				t.Errorf("%d bytes on the disk", allocated(f))
			}
		})
	}
}

// Where no hole can be made only what reads as zeroes counts as such.
func TestObjectsThatShouldBeZeroesAreLookedAtWhereNoHoleCanBeMade(t *testing.T) {
	content := make([]byte, 2<<20)
	copy(content[1<<20:], random(200_000))
	m, err := objects.Describe(t.Context(), bytes.NewReader(content), int64(len(content)), objects.ParamsFor(int64(len(content)), false), objects.DescribeOptions{})
	must(t, err)
	f, _ := landFile(t, false)
	staged := bytes.Clone(content)
	staged[100_000], staged[1_900_000] = 1, 1
	_, err = f.WriteAt(staged, 0)
	must(t, err)
	a := &assembly{it: &item{}, m: m, f: f, file: &hollow{f: f}, have: make([]bool, len(m.Objects)), offsets: make([]int64, len(m.Objects))}
	a.file.never.Store(true)
	for i := range m.Objects[1:] {
		a.offsets[i+1] = a.offsets[i] + int64(m.Objects[i].Size)
	}
	a.markZeroes()
	_, err = a.clear()
	must(t, err)
	kept := 0
	for i, o := range m.Objects {
		at := a.offsets[i]
		zero := objects.IsZero(content[at : at+int64(o.Size)])
		right := objects.IsZero(staged[at : at+int64(o.Size)])
		if a.have[i] && !right || zero && right && !a.have[i] && o.Size == m.Params.Max {
			t.Errorf("object %d at %d: %v", i, at, a.have[i])
		}
		if a.have[i] {
			kept++
		}
	}
	if done := a.it.done.Load(); kept < 20 || done != int64(kept)*int64(m.Params.Max) || a.file.blank {
		t.Errorf("%d objects of %d bytes are kept", kept, done)
	}
	for _, hole := range a.holes {
		if !objects.IsZero(staged[hole.offset : hole.offset+hole.length]) {
			t.Errorf("a hole at %d", hole.offset)
		}
	}
}

// An interrupted transfer keeps the objects that have holes.
func TestInterruptedTransferOfASparseFileGoesOn(t *testing.T) {
	m := startMain(t)
	m.files.params = largeObjects
	const size = 96 << 20
	islands := seldom(size)
	m.writeSparse("disk.img", size, islands)
	m.publishAll()
	r := newRemote(t, m, "colmar")
	had := r.interrupted(60<<20, sizeOf(islands)/3)
	if got, rest := r.r.Report().Received, sizeOf(islands)-had; got > rest+1<<20 {
		t.Errorf("%d bytes came where %d were missing", got, rest)
	}
	if got, most := room(t, r.path("disk.img")), sizeOf(islands)+edges(islands); got > most {
		t.Errorf("%d bytes on the disk, for %d of data", got, sizeOf(islands))
	}
}

func TestASparseFileNeedsNoRoomForItsHoles(t *testing.T) {
	m, r := smallRemote(t, "24m")
	r.tune = func(o *Options) { o.MinFree = 4 << 20 }
	m.writeSparse("disk.img", 200<<20, map[int64][]byte{0: random(1 << 20), 150 << 20: random(2 << 20)})
	m.publishAll()
	r.start()
	r.reached()
	r.same()
	must(t, os.Link(filepath.Join(m.dir, "disk.img"), filepath.Join(m.dir, "copy.img")))
	m.publish("copy.img")
	r.reached()
	r.same()
}

// The room of an interrupted transfer is not asked for once more.
func TestInterruptedTransferHasItsRoom(t *testing.T) {
	m, r := smallRemote(t, "40m")
	m.put("large", random(32<<20))
	m.mark()
	cut := cutAfter(r, 16<<20)
	r.start()
	<-cut
	r.stop()
	r.faults.onFetch(nil)
	r.start()
	r.reached()
	r.same()
}

func TestACopyWithinTheDiskHasTheHoles(t *testing.T) {
	dir := t.TempDir()
	src, err := os.Create(filepath.Join(dir, "src"))
	must(t, err)
	defer src.Close()
	must(t, src.Truncate(100<<20))
	_, err = src.WriteAt(random(100_000), 50<<20)
	must(t, err)
	dst, err := os.Create(filepath.Join(dir, "dst"))
	must(t, err)
	defer dst.Close()
	must(t, copyFile(context.Background(), dst, src, 100<<20))
	if got := allocated(dst); got > 1<<20 {
		t.Errorf("it takes %d bytes", got)
	}
	a, err := os.ReadFile(src.Name())
	must(t, err)
	b, err := os.ReadFile(dst.Name())
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Error("other bytes")
	}
}
