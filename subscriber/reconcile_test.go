package subscriber

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"waptsync/bus"
)

// seed puts a file into the remote's folder, as another tool left it.
func (r *testRemote) seed(path string, content []byte) {
	r.t.Helper()
	must(r.t, os.MkdirAll(filepath.Dir(r.path(path)), 0o755))
	must(r.t, os.WriteFile(r.path(path), content, 0o644))
}

func TestFilesThatAreThereAreAdopted(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	for i, size := range []int{0, 10, 5000, 40_000, 700_000, 5 << 20} {
		b := random(size)
		p := sprint("dir/f%d", i)
		m.write(p, b)
		r.seed(p, b)
	}
	m.publishAll()
	r.start()
	r.reached()
	r.same()
	if rep := r.r.Report(); rep.Received != 0 || rep.Errors != 0 {
		t.Errorf("bytes were fetched: %+v", rep)
	}
	if got := r.trash(); len(got) > 0 {
		t.Errorf("the trash has %q", got)
	}
}

func TestFirstJoinMovesWhatTheMainLacksToTheTrash(t *testing.T) {
	m := startMain(t)
	m.write("keep/this", random(10))
	m.publishAll()
	gone := m.event("gone")
	m.append(gone)
	r := newRemote(t, m, "colmar")
	r.seed("keep/this", random(20))
	r.seed("keep/local", random(20))
	r.seed("gone", random(20))
	r.seed("other/deep/local", random(20))
	must(t, os.Symlink("keep", r.path("locallink")))
	r.start()
	r.reached()
	r.same()
	got := r.trash()
	slices.Sort(got)
	want := []string{"gone", "keep/local", "locallink", "other/deep/local"}
	if !slices.Equal(got, want) {
		t.Errorf("the trash has %q, want %q", got, want)
	}
	if rep := r.r.Report(); rep.Trash != int64(len(want)) {
		t.Errorf("%d in the trash are reported", rep.Trash)
	}
	must(t, r.r.EmptyTrash(t.Context()))
	if got := r.trash(); len(got) > 0 {
		t.Errorf("the emptied trash has %q", got)
	}
}

func TestLostStateCostsNoBytesAndNoFiles(t *testing.T) {
	m := startMain(t)
	for i := range 50 {
		m.write(sprint("d%d/f%d", i%5, i), random(i*2000))
	}
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.stop()
	must(t, os.Remove(r.state))
	r.start()
	r.reached()
	r.same()
	if rep := r.r.Report(); rep.Received != 0 || rep.Files != 50 {
		t.Errorf("after the state was lost: %+v", rep)
	}
	if got := r.trash(); len(got) > 0 {
		t.Errorf("the trash has %q", got)
	}
}

func TestNothingIsRemovedBeforeTheMarker(t *testing.T) {
	m := startMain(t)
	m.restart() // a generation that has not shown yet what its folder holds
	m.put("a", []byte("a"))
	r := newRemote(t, m, "colmar")
	r.seed("b", []byte("b"))
	r.start()
	r.has("a", []byte("a"))
	if rep := r.r.Report(); rep.State != "reconciling" {
		t.Errorf("state %q", rep.State)
	}
	if _, err := os.Stat(r.path("b")); err != nil {
		t.Fatalf("b went before the main said all it has: %v", err)
	}
	m.put("b", []byte("b"))
	m.mark()
	r.reached()
	r.same()
	if got := r.trash(); len(got) > 0 {
		t.Errorf("the trash has %q", got)
	}
}

// slowFeed gives one event, and rests.
type slowFeed struct{ feed }

func (f slowFeed) Next(ctx context.Context, _ int) ([]bus.Delivery, error) {
	d, err := f.feed.Next(ctx, 1)
	time.Sleep(200 * time.Millisecond)
	return d, err
}

// TestWhatCameAfterTheMarkerStays has the feed stop between the marker and what the
// main published after it.
func TestWhatCameAfterTheMarkerStays(t *testing.T) {
	m := startMain(t)
	m.mark()
	for _, name := range []string{"a", "b", "c"} {
		m.put(name, []byte(name))
	}
	r := newRemote(t, m, "colmar")
	for _, name := range []string{"a", "b", "c", "extra"} {
		r.seed(name, []byte(name))
	}
	r.prepare = func(r *Replica) {
		open := r.openFeed
		r.openFeed = func(ctx context.Context) (feed, error) {
			f, err := open(ctx)
			return slowFeed{f}, err
		}
	}
	r.start()
	r.reached()
	r.same()
	waitFor(t, 20*time.Second, func() string {
		if _, err := os.Stat(r.path("extra")); err == nil {
			return "extra is still there"
		}
		return ""
	})
	if got := r.trash(); !slices.Equal(got, []string{"extra"}) {
		t.Errorf("the trash has %q", got)
	}
}

func TestReconcileThatCrashesBeginsAgain(t *testing.T) {
	m := startMain(t)
	m.restart()
	m.put("a", []byte("a"))
	r := newRemote(t, m, "colmar")
	r.seed("extra", []byte("x"))
	r.start()
	r.has("a", []byte("a"))
	r.restart()
	m.mark()
	r.reached()
	r.same()
	if got := r.trash(); !slices.Equal(got, []string{"extra"}) {
		t.Errorf("the trash has %q", got)
	}
}

// TestAComparisonGoesOnAfterALostFeed loses the feed in the midst of a first join.
func TestAComparisonGoesOnAfterALostFeed(t *testing.T) {
	m := startMain(t)
	m.restart()
	for i := range 50 {
		m.put(fmt.Sprint("file", i), random(100))
	}
	m.put("a", []byte("a"))
	r := newRemote(t, m, "colmar")
	r.seed("extra", []byte("x"))
	r.start()
	session := func() *session {
		r.r.mu.Lock()
		defer r.r.mu.Unlock()
		return r.r.session
	}
	for _, name := range []string{"a", "b"} {
		m.put(name, []byte(name))
		r.has(name, []byte(name))
		was := session()
		waitFor(t, 20*time.Second, func() string {
			if n := was.win.passedSeq(); n != m.log.Last() {
				return fmt.Sprintf("%d of %d events passed", n, m.log.Last())
			}
			return ""
		})
		was.feed.Close()
		waitFor(t, 20*time.Second, func() string {
			if now := session(); now == nil || now == was {
				return "no other session"
			}
			return ""
		})
		if now := session(); !now.welcome.Resume || !now.reconciling || now.welcome.Next != m.log.Last()+1 {
			t.Errorf("welcome %+v, comparing: %v, the stream ends at %d", now.welcome, now.reconciling, m.log.Last())
		}
	}
	m.mark()
	r.reached()
	r.same()
	if got := r.trash(); !slices.Equal(got, []string{"extra"}) {
		t.Errorf("the trash has %q", got)
	}
}

func TestNewGenerationIsResumed(t *testing.T) {
	m := startMain(t)
	m.put("a", random(1000))
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	before := r.r.Report().Received
	m.restart()
	m.put("b", random(500))
	m.mark()
	waitFor(t, 30*time.Second, func() string {
		if _, err := os.Stat(r.path("b")); err != nil {
			return err.Error()
		}
		return ""
	})
	r.reached()
	r.same()
	if got := r.r.Report().Received - before; got != 500 {
		t.Errorf("%d bytes came", got)
	}
}

func TestReconcileOnDemandComparesEverything(t *testing.T) {
	m := startMain(t)
	m.put("a", random(1000))
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.seed("extra", []byte("x"))
	must(t, os.WriteFile(r.path("a"), random(1000), 0o644))
	r.r.Reconcile()
	waitFor(t, 20*time.Second, func() string {
		if _, err := os.Stat(r.path("extra")); err == nil {
			return "extra is still there"
		}
		return ""
	})
	r.reached()
	r.same()
	if got := r.trash(); !slices.Equal(got, []string{"extra"}) {
		t.Errorf("the trash has %q", got)
	}
}

func TestFolderThatChangedAtTheMainWhileAwayIsCaughtUp(t *testing.T) {
	m := startMain(t)
	for i := range 20 {
		m.write(sprint("d/f%d", i), random(3000))
	}
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.stop()
	m.remove("d/f3")
	m.put("d/f4", random(4000))
	m.put("e/new", random(70_000))
	m.publish("e")
	r.start()
	r.reached()
	r.same()
	if rep := r.r.Report(); rep.Received != 74_000 || rep.Drift != 0 {
		t.Errorf("catching up: %+v", rep)
	}
}

func TestExpiredTrashGoes(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	r.seed("extra", []byte("x"))
	r.tune = func(o *Options) { o.Trash = time.Hour }
	r.start()
	r.reached()
	if got := r.trash(); len(got) != 1 {
		t.Fatalf("the trash has %q", got)
	}
	r.stop()
	old := filepath.Join(r.dir, hidden, trashName)
	entries, err := os.ReadDir(old)
	must(t, err)
	must(t, os.Rename(filepath.Join(old, entries[0].Name()), filepath.Join(old, "20200101-1")))
	r.start()
	waitFor(t, 10*time.Second, func() string {
		if got := r.trash(); len(got) > 0 {
			return sprint("the trash has %q", got)
		}
		return ""
	})
}

// Whoever asked for a comparison must not be told of the time before it.
func TestNoReportSaysLiveBeforeTheReconcileAskedFor(t *testing.T) {
	m := startMain(t)
	m.put("a", random(1000))
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	for i := range 8 {
		r.seed("extra", []byte("x"))
		r.r.Reconcile()
		var early atomic.Int64
		var looking sync.WaitGroup
		for range 4 {
			looking.Go(func() {
				for {
					rep := r.r.Report()
					if rep.State != "live" {
						continue
					}
					if _, err := os.Stat(r.path("extra")); err == nil {
						early.Add(1)
					}
					return
				}
			})
		}
		looking.Wait()
		if n := early.Load(); n > 0 {
			t.Fatalf("round %d: %d reports said live before what the main does not have was gone", i, n)
		}
	}
}
