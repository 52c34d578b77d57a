package publisher

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/objects"
)

// witness is a share's event log that holds every index against what the
// stream says before it.
type witness struct {
	*bus.Log
	t     *testing.T
	rule  *index.Rule
	mu    sync.Mutex
	state map[string]bus.Event
	texts map[objects.ID][]byte // of indexes that were written
	seen  []bus.Event
}

func (w *witness) Append(ctx context.Context, events []*bus.Event) (uint64, error) {
	seq, err := w.Log.Append(ctx, events)
	if err != nil {
		return seq, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		w.state[e.Path] = *e
		w.seen = append(w.seen, *e)
		if e.Kind == bus.KindFile && !e.Incomplete && w.rule.IsIndex(e.Path) {
			w.check(e)
		}
	}
	return seq, nil
}

func (w *witness) check(e *bus.Event) {
	text, ok := w.texts[e.Content.Digest]
	if !ok {
		w.t.Errorf("index %q with a content that nobody wrote", e.Path)
		return
	}
	entries, err := index.Read(e.Path, bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return // published without its names being known
	}
	for _, n := range entries {
		have, ok := w.state[n.Path]
		if ok = ok && have.Kind == bus.KindFile; !ok && n.Optional {
			continue
		}
		if !ok || !matches(have.Content, n) {
			w.t.Errorf("index %q is published before %q: the stream has %+v", e.Path, n.Path, have)
		}
	}
}

// of returns what was published of a path, in order.
func (w *witness) of(p string) []bus.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []bus.Event
	for _, e := range w.seen {
		if e.Path == p {
			list = append(list, e)
		}
	}
	return list
}

func (w *witness) newest(p string) (bus.Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.state[p]
	return e, ok
}

type indexRig struct {
	*rig
	*witness
}

func newIndexRig(t *testing.T, change ...func(*Options)) *indexRig {
	t.Helper()
	rule, err := index.NewRule(index.DefaultPatterns)
	must(t, err)
	w := &witness{t: t, rule: rule, state: make(map[string]bus.Event), texts: make(map[objects.ID][]byte)}
	r := newRig(t, append([]func(*Options){func(o *Options) { o.Index, o.MD5 = rule, true }}, change...)...)
	w.Log, r.o.Log = r.log, w
	return &indexRig{r, w}
}

// knows tells the witness of an index that will be written.
func (r *indexRig) knows(text []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts[objects.Sum(text)] = text
	return text
}

// waptIndex is WAPT's Packages, a zip, of the packages by name.
func waptIndex(t *testing.T, packages map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("Packages")
	must(t, err)
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		_, err := fmt.Fprintf(f, "%-18s: %s\n%-18s: %s\n%-18s: %d\n%-18s: %x\n\n", "package", "x", "filename", name,
			"size", len(packages[name]), "md5sum", md5.Sum([]byte(packages[name])))
		must(t, err)
	}
	must(t, z.Close())
	return b.Bytes()
}

// moveIndex replaces an index as WAPT does: temporary name, unlink, move.
func (r *indexRig) moveIndex(p string, text []byte) {
	r.knows(text)
	temporary := r.path(filepath.Join(filepath.Dir(p), "Packages.20240102030405"))
	must(r.rig.t, os.MkdirAll(filepath.Dir(temporary), 0o755))
	must(r.rig.t, os.WriteFile(temporary, text, 0o644))
	_ = os.Remove(r.path(p))
	must(r.rig.t, os.Rename(temporary, r.path(p)))
}

// moveIn uploads a package as WAPT does.
func (r *indexRig) moveIn(p, content string) {
	temporary := r.path("waptAb3_9zQ")
	must(r.rig.t, os.WriteFile(temporary, []byte(content), 0o644))
	_ = os.Remove(r.path(p))
	must(r.rig.t, os.Rename(temporary, r.path(p)))
}

func (r *indexRig) index(p string) IndexStatus {
	for _, i := range r.Status().Indexes {
		if i.Path == p {
			return i
		}
	}
	return IndexStatus{}
}

func (r *indexRig) waitIndex(p, state string) IndexStatus {
	r.rig.t.Helper()
	r.waitFor(p+" to be "+state, func() bool { return r.index(p).State == state })
	return r.index(p)
}

// published waits until the newest event of p has the content text and the mark.
func (r *indexRig) published(p string, text []byte, incomplete bool) {
	r.rig.t.Helper()
	r.waitFor(fmt.Sprintf("%s to be published, incomplete being %v", p, incomplete), func() bool {
		e, _ := r.newest(p)
		return e.Content.Digest == objects.Sum(text) && e.Incomplete == incomplete
	})
}

// TestIndexIsNeverPublishedBeforeItsFiles is reference wapt.md 1.3 at full
// speed: uploads, replacements under the same name, deletions before the index
// is rewritten.
func TestIndexIsNeverPublishedBeforeItsFiles(t *testing.T) {
	r := newIndexRig(t, func(o *Options) { o.DeleteDelay = 20 * time.Millisecond })
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(uint64(seed), 1))
	packages := make(map[string]string)
	for i := range 30 {
		name := fmt.Sprintf("p%d.wapt", i)
		packages[name] = string(noise(i, 100+i*400))
		r.write(name, packages[name])
	}
	r.moveIndex("Packages", waptIndex(t, packages))
	r.startLive()
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	for round := range rounds {
		for range 1 + rnd.IntN(4) {
			name := fmt.Sprintf("p%d.wapt", rnd.IntN(40))
			if rnd.IntN(4) == 0 {
				delete(packages, name)
				_ = os.Remove(r.path(name))
				continue
			}
			packages[name] = string(noise(rnd.IntN(1<<16), 50+rnd.IntN(40_000)))
			r.moveIn(name, packages[name])
		}
		r.moveIndex("Packages", waptIndex(t, packages))
		if round%20 == 0 {
			r.converges()
		}
	}
	r.converges()
	if list := r.of("Packages"); len(list) < 5 {
		t.Errorf("the index was published %d times", len(list))
	} else {
		for _, e := range list {
			if e.Kind == bus.KindDeleted {
				t.Error("the index has a tombstone")
			}
			if e.Incomplete {
				t.Error("the index was published as incomplete")
			}
		}
	}
	r.waitIndex("Packages", IndexComplete)
}

func TestGapOfTheIndexIsNoDeletion(t *testing.T) {
	r := newIndexRig(t, func(o *Options) { o.IndexDelay = 500 * time.Millisecond })
	text := r.knows(waptIndex(t, map[string]string{"a.wapt": "a"}))
	r.write("a.wapt", "a")
	r.write("Packages", string(text))
	r.write("other", "x")
	r.startLive()
	must(t, os.Remove(r.path("Packages")))
	must(t, os.Remove(r.path("other")))
	r.waitFor("the other tombstone", func() bool { e, _ := r.newest("other"); return e.Kind == bus.KindDeleted })
	if e, _ := r.newest("Packages"); e.Kind != bus.KindFile {
		t.Fatal("the index was deleted at once")
	}
	r.write("Packages", string(text))
	r.converges()
	must(t, os.Remove(r.path("Packages")))
	r.converges() // in the end it is gone
	r.waitFor("the index to be forgotten", func() bool { return len(r.Status().Indexes) == 0 })
}

func TestIndexWaitsForWhatIsMissingAndNoLongerThanTheLimit(t *testing.T) {
	r := newIndexRig(t, func(o *Options) { o.IndexLimit = 700 * time.Millisecond })
	r.write("a.wapt", "a")
	first := waptIndex(t, map[string]string{"a.wapt": "a"})
	r.moveIndex("Packages", first)
	r.startLive()

	// Named before it is there: it waits, and goes when it comes.
	second := waptIndex(t, map[string]string{"a.wapt": "a", "b.wapt": "b"})
	r.moveIndex("Packages", second)
	s := r.waitIndex("Packages", IndexWithheld)
	if s.Missing != 1 || s.First[0] != "b.wapt" || s.Since.IsZero() || s.Until.IsZero() {
		t.Errorf("status %+v", s)
	}
	if e, _ := r.newest("Packages"); e.Content.Digest != objects.Sum(first) {
		t.Error("published before what it names")
	}
	r.moveIn("b.wapt", "b")
	r.published("Packages", second, false)

	// Never there: published as incomplete after the limit, and as complete later.
	third := waptIndex(t, map[string]string{"a.wapt": "a", "b.wapt": "b", "c.wapt": "c"})
	begun := time.Now()
	r.moveIndex("Packages", third)
	r.published("Packages", third, true)
	if took := time.Since(begun); took < r.o.IndexLimit {
		t.Errorf("after %v, the limit is %v", took, r.o.IndexLimit)
	}
	// The event is read from the stream before the publisher knows that it is there.
	r.waitFor("the status to say that it is marked", func() bool {
		s = r.waitIndex("Packages", IndexIncomplete)
		return s.Marked && s.Missing == 1
	})

	// What is known to be missing holds the next version up no more.
	fourth := waptIndex(t, map[string]string{"a.wapt": "a", "c.wapt": "c"})
	begun = time.Now()
	r.moveIndex("Packages", fourth)
	r.published("Packages", fourth, true)
	if took := time.Since(begun); took >= r.o.IndexLimit {
		t.Errorf("waited %v for what was known to be missing", took)
	}

	// The wrong content is as missing as none.
	r.moveIn("c.wapt", "X")
	r.converges()
	if e, _ := r.newest("Packages"); !e.Incomplete {
		t.Error("complete with another content of a named file")
	}
	r.moveIn("c.wapt", "c")
	r.published("Packages", fourth, false)
	r.waitIndex("Packages", IndexComplete)
	r.converges()
}

func TestPublishedIndexIsMarkedWhenItsFilesGo(t *testing.T) {
	r := newIndexRig(t, func(o *Options) { o.IndexLimit = 300 * time.Millisecond })
	r.write("a.wapt", "a")
	r.write("b.wapt", "b")
	text := waptIndex(t, map[string]string{"a.wapt": "a", "b.wapt": "b"})
	r.moveIndex("Packages", text)
	r.startLive()
	r.published("Packages", text, false)
	must(t, os.Remove(r.path("b.wapt")))
	r.published("Packages", text, true)
	r.moveIn("b.wapt", "b")
	r.published("Packages", text, false)

	// In WAPT's order the index follows soon: no mark.
	marks := len(r.of("Packages"))
	must(t, os.Remove(r.path("b.wapt")))
	r.waitFor("the tombstone", func() bool { e, _ := r.newest("b.wapt"); return e.Kind == bus.KindDeleted })
	text = waptIndex(t, map[string]string{"a.wapt": "a"})
	r.moveIndex("Packages", text)
	r.published("Packages", text, false)
	if n := len(r.of("Packages")) - marks; n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestRestartKnowsWhatIndexesName(t *testing.T) {
	r := newIndexRig(t, func(o *Options) { o.IndexLimit = 400 * time.Millisecond })
	r.write("a.wapt", "a")
	r.write("big.wapt", string(noise(1, 100_000)))
	text := waptIndex(t, map[string]string{"a.wapt": "a"})
	r.moveIndex("Packages", text)
	r.startLive()
	r.restart(func() {})
	if n := r.Status().HashedFiles; n != 1 {
		t.Errorf("%d files were read, want the index alone", n)
	}
	must(t, os.Remove(r.path("a.wapt")))
	r.published("Packages", text, true)

	// The mark stays across a restart, with no wait for what was missing.
	events := len(r.of("Packages"))
	r.restart(func() {})
	r.waitIndex("Packages", IndexIncomplete)
	if n := len(r.of("Packages")) - events; n != 0 {
		t.Errorf("%d events of an unchanged index", n)
	}
	r.moveIn("a.wapt", "a")
	r.published("Packages", text, false)

	// Restarted while an index is withheld.
	r.stopRun()
	r.o.IndexLimit = time.Hour
	r.startLive()
	next := waptIndex(t, map[string]string{"a.wapt": "a", "b.wapt": "b"})
	r.moveIndex("Packages", next)
	r.waitIndex("Packages", IndexWithheld)
	r.restart(func() {})
	r.waitIndex("Packages", IndexWithheld)
	if e, _ := r.newest("Packages"); e.Content.Digest != objects.Sum(text) {
		t.Error("published what it withheld")
	}
	r.moveIn("b.wapt", "b")
	r.published("Packages", next, false)
	r.converges()
}

func TestWithheldIndexIsReplacedOrTakenAway(t *testing.T) {
	r := newIndexRig(t, func(o *Options) { o.IndexDelay = 50 * time.Millisecond })
	r.write("a.wapt", "a")
	first := waptIndex(t, map[string]string{"a.wapt": "a"})
	r.moveIndex("Packages", first)
	r.startLive()
	r.moveIndex("Packages", waptIndex(t, map[string]string{"b.wapt": "b"}))
	r.waitIndex("Packages", IndexWithheld)
	r.moveIndex("Packages", waptIndex(t, map[string]string{"c.wapt": "c"}))
	r.waitFor("the newest version", func() bool { s := r.index("Packages"); return s.Missing == 1 && s.First[0] == "c.wapt" })
	r.moveIndex("Packages", first)
	r.waitIndex("Packages", IndexComplete)
	r.converges()
	r.moveIndex("Packages", waptIndex(t, map[string]string{"b.wapt": "b"}))
	r.waitIndex("Packages", IndexWithheld)
	must(t, os.Remove(r.path("Packages")))
	r.converges()
}

func TestUnreadableIndexIsPublishedAndShown(t *testing.T) {
	r := newIndexRig(t)
	good := waptIndex(t, map[string]string{"a.wapt": "a"})
	r.write("a.wapt", "a")
	bad := slices.Clone(good)
	copy(bad[len(bad)-30:], bytes.Repeat([]byte("x"), 30)) // its directory
	r.moveIndex("Packages", bad)
	r.moveIndex("sub/Packages", []byte("just a file that is called so\n"))
	r.startLive()
	r.converges()
	s := r.Status()
	if i := r.index("Packages"); i.State != IndexUnreadable || i.Cause == "" || s.Errors != 1 || len(s.Problems) != 1 || s.Problems[0].Hint == "" {
		t.Errorf("index %+v, problems %+v", i, s.Problems)
	}
	r.moveIndex("Packages", good)
	r.waitIndex("Packages", IndexComplete)
	r.waitFor("the problem to go", func() bool { return r.Status().Errors == 0 })
}

// debian writes a repository whose one package has the content deb.
func (r *indexRig) debian(deb string, write func(p, text string)) {
	packages := fmt.Sprintf("Package: x\nFilename: pool/x.deb\nSize: %d\nSHA256: %x\n\n", len(deb), sha256.Sum256([]byte(deb)))
	r.knows([]byte(packages))
	release := fmt.Sprintf("Suite: s\nSHA256:\n %x %d main/binary-amd64/Packages\n %064d 12345 main/binary-amd64/Packages.gz\n",
		sha256.Sum256([]byte(packages)), len(packages), 1)
	r.knows([]byte(release))
	signature := "-----BEGIN PGP SIGNATURE-----\n" + fmt.Sprint(len(deb)) + "\n"
	r.knows([]byte(signature))
	write("dists/s/InRelease", release)
	write("dists/s/Release", release)
	write("dists/s/Release.gpg", signature) // always made of a Release that is there
	write("dists/s/main/binary-amd64/Packages", packages)
	write("pool/x.deb", deb)
}

// TestDebianChainIsPublishedFromItsEnd writes the files in the worst order.
func TestDebianChainIsPublishedFromItsEnd(t *testing.T) {
	r := newIndexRig(t)
	r.debian("one", r.write)
	r.startLive()
	r.converges()
	for i := range 20 {
		r.debian(strings.Repeat("d", i*700), func(p, text string) {
			must(t, os.WriteFile(r.path("new"), []byte(text), 0o644))
			must(t, os.Rename(r.path("new"), r.path(p)))
		})
		r.converges("new")
	}
	// Release.gpg names nothing, and does not come before what it signs.
	releases, signatures := 0, 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.seen {
		switch e.Path {
		case "dists/s/Release":
			releases++
		case "dists/s/Release.gpg":
			if signatures++; signatures > releases {
				t.Errorf("signature %d comes after %d releases", signatures, releases)
			}
		}
	}
}

func TestExcludedFileHoldsNoIndexUp(t *testing.T) {
	r := newIndexRig(t, func(o *Options) { o.Exclude = []string{"*.secret"}; o.IndexLimit = time.Hour })
	r.write("a.secret", "a")
	text := waptIndex(t, map[string]string{"a.secret": "a"})
	r.moveIndex("Packages", text)
	r.startLive()
	r.published("Packages", text, true)
}

func TestFirstCopyPublishesIndexesLast(t *testing.T) {
	r := newIndexRig(t, func(o *Options) { o.IndexLimit = 10 * time.Millisecond })
	packages := make(map[string]string)
	for i := range 3000 {
		name := fmt.Sprintf("p%d.wapt", i)
		packages[name] = fmt.Sprint("content ", i)
		r.write(name, packages[name])
	}
	text := waptIndex(t, packages)
	r.moveIndex("Packages", text)
	r.startLive()
	r.published("Packages", text, false)
	if n := len(r.of("Packages")); n != 1 {
		t.Errorf("%d events of the index", n)
	}
}
