package subscriber

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"waptsync/objects"
)

// testFolder opens a folder of the test's own.
func testFolder(t *testing.T) *folder {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	must(t, err)
	t.Cleanup(func() { root.Close() })
	dir, err := openTop(root)
	must(t, err)
	t.Cleanup(dir.close)
	return dir
}

// landFile opens a staged file of a real folder, and a second one for direct
// writes, or none.
func landFile(t *testing.T, direct bool) (*os.File, *directFile) {
	t.Helper()
	dir := testFolder(t)
	f, err := dir.openStaged("part")
	must(t, err)
	t.Cleanup(func() { f.Close() })
	if !direct {
		return f, nil
	}
	d := dir.openDirect("part")
	t.Cleanup(d.close)
	return f, d
}

// Pieces of any sizes, of spans in any order, leave the file and the digest of
// the whole, written directly or not.
func TestLandingWritesAndHashesAllThatComes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 9<<20+4321)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	for _, c := range []struct {
		name   string
		direct bool
		there  []span // is in the file before
		limit  int64  // of a request
	}{
		{"nothing there", true, nil, 2 << 20},
		{"without direct writes", false, nil, 2 << 20},
		{"small requests", true, nil, 64 << 10},
		{"a begin, a middle and an end there", true, []span{{0, 100}, {3<<20 - 1, 1<<20 + 17}, {9 << 20, 4321}}, 700_000},
		{"more in memory than is kept", true, []span{{0, 1}}, 4 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, direct := landFile(t, c.direct)
			must(t, f.Truncate(int64(len(content))))
			var missing []span
			at := int64(0)
			for _, sp := range c.there {
				if sp.offset > at {
					missing = append(missing, span{at, sp.offset - at})
				}
				at = sp.offset + sp.length
				_, err := f.WriteAt(content[sp.offset:at], sp.offset)
				must(t, err)
			}
			if at < int64(len(content)) {
				missing = append(missing, span{at, int64(len(content)) - at})
			}
			l := newLanding(&hollow{f: f}, direct, missing, c.there)
			defer l.close()
			var spans []span
			for got := l.next(c.limit); len(got) > 0; got = l.next(c.limit) {
				spans = append(spans, got...)
			}
			random.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
			a := &assembly{f: f, whole: objects.NewHasher(), m: &objects.Manifest{Size: int64(len(content)), Digest: objects.Sum(content)}}
			done := make(chan error)
			go func() { done <- l.hash(context.Background(), a) }()
			for _, sp := range spans {
				fill := l.filler(sp)
				for off := sp.offset; off < sp.offset+sp.length; {
					n := min(1+random.Int64N(100_000), sp.offset+sp.length-off)
					must(t, fill.take(content[off:off+n]))
					off += n
				}
				if err := fill.take([]byte{0}); err == nil {
					t.Fatal("a byte more than asked for was taken")
				}
				must(t, fill.flush())
			}
			close(l.came)
			must(t, <-done)
			right, err := a.right(context.Background())
			must(t, err)
			if !right {
				t.Error("another digest")
			}
			got := make([]byte, len(content))
			_, err = f.ReadAt(got, 0)
			must(t, err)
			if !bytes.Equal(got, content) {
				t.Error("another content")
			}
		})
	}
}

// What came of a span that broke off is in the file, so that it need not come again.
func TestLandingKeepsWhatCameOfABrokenSpan(t *testing.T) {
	f, direct := landFile(t, true)
	must(t, f.Truncate(1<<20))
	l := newLanding(&hollow{f: f}, direct, []span{{0, 1 << 20}}, nil)
	defer l.close()
	fill := l.filler(l.next(1 << 20)[0])
	want := bytes.Repeat([]byte{7}, 12_345)
	must(t, fill.take(want))
	must(t, fill.flush())
	got := make([]byte, len(want))
	_, err := f.ReadAt(got, 0)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("it is not there")
	}
}
