package subscriber

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestLocalChangesAreUndone(t *testing.T) {
	m := startMain(t)
	m.write("d/edited", random(3000))
	m.write("d/removed", random(60_000))
	m.write("d/moded", random(100))
	m.write("d/touched", random(100))
	m.write("gone/with/folder", random(100))
	must(t, os.Symlink("d/edited", m.dir+"/link"))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.tune = func(o *Options) { o.Rescan = 50 * time.Millisecond }
	r.start()
	r.reached()
	must(t, os.WriteFile(r.path("d/edited"), random(3000), 0o644))
	must(t, os.Remove(r.path("d/removed")))
	must(t, os.Chmod(r.path("d/moded"), 0o777))
	must(t, os.Chtimes(r.path("d/touched"), time.Time{}, time.Unix(1, 0)))
	must(t, os.RemoveAll(r.path("gone")))
	must(t, os.Remove(r.path("link")))
	must(t, os.Symlink("/etc", r.path("link")))
	r.seed("d/added", []byte("x"))
	r.seed("new/added", []byte("x"))
	waitFor(t, 20*time.Second, func() string {
		if got := r.r.Report().Drift; got < 10 {
			return sprint("drift of %d paths only", got)
		}
		return ""
	})
	r.reached()
	waitFor(t, 10*time.Second, func() string {
		if got := len(r.trash()); got != 2 {
			return sprint("the trash has %q", r.trash())
		}
		return ""
	})
	waitFor(t, 10*time.Second, func() string {
		if _, err := os.Stat(r.path("new")); err == nil {
			return "the added folder is there"
		}
		return ""
	})
	r.stop()
	r.same()
}

func TestChangesWhileStoppedAreUndoneAtStart(t *testing.T) {
	m := startMain(t)
	m.write("a", random(3000))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.stop()
	must(t, os.WriteFile(r.path("a"), []byte("edited"), 0o644))
	r.start()
	waitFor(t, 10*time.Second, func() string {
		if got := r.r.Report().Drift; got != 1 {
			return sprint("drift %d", got)
		}
		return ""
	})
	r.reached()
	r.same()
}

func TestDeletionOfAChangedFileKeepsItInTheTrash(t *testing.T) {
	m := startMain(t)
	m.write("d/a", random(3000))
	m.write("d/b", random(3000))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	must(t, os.WriteFile(r.path("d/a"), []byte("edited"), 0o644))
	r.seed("d/local", []byte("local"))
	m.remove("d")
	r.reached()
	r.same()
	got := r.trash()
	slices.Sort(got)
	if !slices.Equal(got, []string{"d/a", "d/local"}) {
		t.Errorf("the trash has %q", got)
	}
}

// A file whose bytes rotted under an unchanged stat is found by reading only.
func TestVerifyFindsAndRepairsWhatLstatCannotTell(t *testing.T) {
	m := startMain(t)
	m.write("bad", random(3000))
	m.write("good", random(3000))
	m.write("missing", random(100))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.rot("bad")
	must(t, os.Remove(r.path("missing")))
	r.seed("extra", []byte("x"))
	find := func(repair bool) map[string]string {
		found := make(map[string]string)
		var mu sync.Mutex
		sum, err := r.r.Verify(t.Context(), repair, func(f Finding) {
			mu.Lock()
			defer mu.Unlock()
			found[f.Path] = f.What
			if f.Repaired != repair {
				t.Errorf("%+v with repair %v", f, repair)
			}
		})
		must(t, err)
		if int(sum.Bad+sum.Missing+sum.Extra) != len(found) {
			t.Errorf("summary %+v of %v", sum, found)
		}
		return found
	}
	want := map[string]string{"bad": FindingBad, "missing": FindingMissing, "extra": FindingExtra}
	for _, repair := range []bool{false, true} {
		got := find(repair)
		if len(got) != len(want) || got["bad"] != want["bad"] || got["missing"] != want["missing"] || got["extra"] != want["extra"] {
			t.Errorf("found %v, want %v", got, want)
		}
	}
	r.reached()
	r.same()
	if got := find(false); len(got) > 0 {
		t.Errorf("after the repair: %v", got)
	}
}

// rot changes a byte of a file and makes the state believe in it, as if the disk
// had done so: a test cannot set the ctime back.
func (r *testRemote) rot(path string) {
	r.t.Helper()
	b, err := os.ReadFile(r.path(path))
	must(r.t, err)
	b[len(b)/2] ^= 1
	must(r.t, os.WriteFile(r.path(path), b, 0o644))
	r.believe(path)
}

// believe makes the state take what lies at a path for what it left there.
func (r *testRemote) believe(path string) {
	r.t.Helper()
	tr, err := openTree(r.dir)
	must(r.t, err)
	defer tr.close()
	v := tr.visit()
	defer v.close()
	st, err := v.lstat(path)
	must(r.t, err)
	must(r.t, r.r.state.update(func(tx *stateTx) error {
		rec, _ := tx.record(path)
		rec.Local = localOf(st)
		return tx.putRecord(&rec, nil)
	}))
}

func TestVanishedFolderIsHeldAndGoesOnWhenItReturns(t *testing.T) {
	m := startMain(t)
	m.write("a", random(3000))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	must(t, os.Rename(r.dir, r.dir+".away"))
	m.remove("a")
	m.put("b", random(100))
	held := func() string {
		rep := r.r.Report()
		if rep.State != "held" || len(rep.Problems) == 0 || rep.Problems[0].Hint == "" {
			return sprint("%+v", rep)
		}
		return ""
	}
	waitFor(t, 10*time.Second, held)
	must(t, os.Mkdir(r.dir, 0o755)) // the empty mount point
	waitFor(t, 10*time.Second, held)
	if entries, _ := os.ReadDir(r.dir); len(entries) > 0 {
		t.Errorf("a foreign folder was written to: %v", entries)
	}
	r.restart()
	waitFor(t, 10*time.Second, held)
	must(t, os.Remove(r.dir))
	must(t, os.Rename(r.dir+".away", r.dir))
	r.reached()
	r.same()
}

func TestReplacedFolderIsTakenByAReconcile(t *testing.T) {
	m := startMain(t)
	m.write("a", random(3000))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.stop()
	must(t, os.Rename(r.dir, r.dir+".old"))
	must(t, os.Mkdir(r.dir, 0o755))
	r.start()
	waitFor(t, 10*time.Second, func() string {
		if rep := r.r.Report(); rep.State != "held" {
			return rep.State
		}
		return ""
	})
	r.r.Reconcile()
	r.reached()
	r.same()
}

func TestLostTokenOfTheSameFolderIsWrittenAgain(t *testing.T) {
	m := startMain(t)
	m.write("a", random(3000))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.stop()
	must(t, os.RemoveAll(r.path(hidden)))
	r.start()
	r.reached()
	r.same()
}
