package subscriber

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"waptsync/bus"
)

// gone says whether a path of the remote is not there.
func (r *testRemote) gone(p string) string {
	if _, err := os.Lstat(r.path(p)); err == nil {
		return sprint("%q is still there", p)
	}
	return ""
}

// holds waits until the remote has taken in all but what waits for an index, and
// fails if a file went meanwhile.
func (r *testRemote) holds(seq uint64, paths ...string) {
	r.t.Helper()
	waitFor(r.t, 15*time.Second, func() string {
		for _, p := range paths {
			if _, err := os.Lstat(r.path(p)); err != nil {
				r.t.Fatalf("%q went, and the visible index names it: %v", p, err)
			}
		}
		if rep := r.r.Report(); rep.Seq < seq { // held items leave their place after a while
			return sprint("position %d, want %d", rep.Seq, seq)
		}
		return ""
	})
}

// A file that the main lost, or that cannot be fetched, keeps the index back
// that names it, and what the visible one names stays: also over a restart.
func TestIndexThatLacksAFileWaitsAndTheOldOnesFilesStay(t *testing.T) {
	m := startMain(t)
	m.md5 = true
	m.write("old.wapt", random(1000))
	m.write("same.wapt", seeded(1, 1000))
	m.index("Packages", "old.wapt", "same.wapt")
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	first := m.read("Packages")
	c := r.watch("Packages")

	m.write("lost.wapt", random(2000))
	lost := m.event("lost.wapt")
	m.files.forget("lost.wapt") // the main answers that it is gone
	m.append(lost)
	m.write("same.wapt", seeded(2, 1000))
	m.publish("same.wapt")
	m.index("Packages", "lost.wapt", "same.wapt")
	m.remove("old.wapt")
	seq := m.publish("Packages")
	m.put("behind", []byte("behind"))
	r.has("behind", []byte("behind"))
	r.holds(seq, "old.wapt", "same.wapt")
	for range 2 {
		r.has("Packages", first)
		if got, _ := os.ReadFile(r.path("same.wapt")); string(got) != string(seeded(1, 1000)) {
			t.Fatal("a named file was replaced before its index")
		}
		r.holds(seq, "old.wapt")
		r.restart()
		r.holds(seq, "old.wapt", "same.wapt")
	}
	m.put("lost.wapt", random(2000)) // a newer event, and with it the next index
	m.index("Packages", "lost.wapt", "same.wapt")
	m.publish("Packages")
	r.reached()
	c.end()
	r.same()
}

// The main says that its index is incomplete: then nobody waits for what it
// lacks, but for what is still under way.
func TestIncompleteIndexGoesWithoutWhatTheMainLacks(t *testing.T) {
	m := startMain(t)
	m.md5 = true
	m.write("a.wapt", random(1000))
	m.write("b.wapt", random(1000))
	m.index("Packages", "a.wapt")
	m.publishAll()
	r := newRemote(t, m, "colmar")
	gate := make(chan struct{})
	r.faults.onFetch(func(items []bus.Item) error {
		for _, it := range items {
			if it.Path == "slow.wapt" {
				<-gate
			}
		}
		return nil
	})
	r.start()
	r.reached()
	m.write("slow.wapt", random(3<<20))
	m.write("never.wapt", random(10))
	m.index("Packages", "a.wapt", "slow.wapt", "never.wapt")
	must(t, os.Remove(filepath.Join(m.dir, "never.wapt")))
	m.publish("slow.wapt")
	e := m.event("Packages")
	e.Incomplete = true
	m.append(e)
	m.put("behind", []byte("behind"))
	r.has("behind", []byte("behind"))
	if got, _ := os.ReadFile(r.path("Packages")); string(got) == string(m.read("Packages")) {
		t.Error("the index did not wait for what is under way")
	}
	close(gate)
	r.reached()
	r.same()
	m.remove("a.wapt") // an incomplete index guards nothing
	waitFor(t, 10*time.Second, func() string { return r.gone("a.wapt") })
}

// The folder holds a copy of an older state that another tool made: clients of it
// must not see it break while the new state comes.
func TestFirstJoinKeepsAnOldCopyWholeUntilTheNewIndex(t *testing.T) {
	for _, md5 := range []bool{true, false} {
		t.Run(map[bool]string{true: "events with MD5", false: "and without"}[md5], func(t *testing.T) {
			m := startMain(t)
			m.md5 = md5
			r := newRemote(t, m, "colmar")
			kept := seeded(1, 30_000)
			for name, b := range map[string][]byte{
				"kept.wapt": kept, "replaced.wapt": seeded(2, 30_000), "gone.wapt": seeded(3, 30_000),
			} {
				m.write(name, b)
				r.seed(name, b)
			}
			m.index("Packages", "kept.wapt", "replaced.wapt", "gone.wapt")
			r.seed("Packages", m.read("Packages"))
			r.seed("extra.wapt", []byte("x"))
			must(t, os.Remove(filepath.Join(m.dir, "gone.wapt")))
			m.write("replaced.wapt", seeded(4, 30_000))
			m.write("new.wapt", random(3<<20))
			m.index("Packages", "kept.wapt", "replaced.wapt", "new.wapt")
			m.publish("kept.wapt", "replaced.wapt", "new.wapt", "Packages")
			m.mark()
			gate := make(chan struct{})
			r.faults.onFetch(func(items []bus.Item) error {
				for _, it := range items {
					if it.Path == "new.wapt" {
						<-gate
					}
				}
				return nil
			})
			c := r.watch("Packages")
			r.start()
			waitFor(t, 10*time.Second, func() string {
				if rep := r.r.Report(); rep.Files < 1 {
					return sprint("%+v", rep)
				}
				return ""
			})
			close(gate)
			r.reached()
			c.end()
			waitFor(t, 10*time.Second, func() string { return r.gone("gone.wapt") })
			r.same()
			got := r.trash()
			slices.Sort(got)
			if want := []string{"extra.wapt", "gone.wapt"}; !slices.Equal(got, want) {
				t.Errorf("the trash has %q, want %q", got, want)
			}
		})
	}
}

// Where extra files are kept, they stay and are counted.
func TestExtraFilesAreKeptWhereThatIsAskedFor(t *testing.T) {
	m := startMain(t)
	m.put("a", random(10))
	r := newRemote(t, m, "colmar")
	r.seed("local/extra", []byte("x"))
	r.tune = func(o *Options) { o.KeepExtra = true }
	r.start()
	r.reached()
	waitFor(t, 10*time.Second, func() string {
		if rep := r.r.Report(); rep.Extra != 1 || rep.Trash != 0 {
			return sprint("%+v", rep)
		}
		return ""
	})
	if got, _ := os.ReadFile(r.path("local/extra")); string(got) != "x" {
		t.Errorf("the extra file is %q", got)
	}
}

// What only the old index named stays for the grace time, over a restart, and is
// no lag.
func TestDeletionWaitsForTheGraceTime(t *testing.T) {
	m := startMain(t)
	m.md5 = true
	m.write("d/old.wapt", random(1000))
	m.write("d/new.wapt", random(1000))
	m.index("d/Packages", "d/old.wapt")
	// The names of an index are relative to its folder.
	m.write("d/Packages", waptIndex(t, map[string][]byte{"old.wapt": m.read("d/old.wapt")}))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	grace := time.Hour
	r.tune = func(o *Options) { o.DeleteGrace = grace }
	r.start()
	r.reached()
	m.remove("d/old.wapt")
	m.put("d/Packages", waptIndex(t, map[string][]byte{"new.wapt": m.read("d/new.wapt")}))
	r.reached()
	for range 2 {
		r.has("d/Packages", m.read("d/Packages"))
		if why := r.gone("d/old.wapt"); why == "" {
			t.Fatal("the file went before its grace time")
		}
		if rep := r.r.Report(); rep.Errors != 0 {
			t.Errorf("a deletion in its grace time is an error: %+v", rep)
		}
		r.restart()
		r.reached()
	}
	r.stop()
	grace = 10 * time.Millisecond // what was noted is no longer than the option says
	r.start()
	waitFor(t, 10*time.Second, func() string { return r.gone("d/old.wapt") })
	r.reached()
	r.same()
}

// Packages and Packages.gz name the same files and go together.
func TestGraceTimeHoldsForWhatTwoIndexesNamed(t *testing.T) {
	m := startMain(t)
	m.md5 = true
	m.write("d/old.wapt", random(1000))
	m.write("d/new.wapt", random(1000))
	indexes := []string{"d/Packages", "d/Packages.gz"}
	for _, p := range indexes {
		m.write(p, waptIndex(t, map[string][]byte{"old.wapt": m.read("d/old.wapt")}))
	}
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.tune = func(o *Options) { o.DeleteGrace = time.Hour }
	r.start()
	r.reached()
	r.stop() // so that all that follows comes in one
	m.remove("d/old.wapt")
	for _, p := range indexes {
		m.put(p, waptIndex(t, map[string][]byte{"new.wapt": m.read("d/new.wapt")}))
	}
	r.start()
	r.reached()
	for _, p := range indexes {
		r.has(p, m.read(p))
	}
	if why := r.gone("d/old.wapt"); why == "" {
		t.Error("the file went before its grace time")
	}
}

// A bit flips on the disk and leaves no trace in what lstat tells.
func TestVerifyHealsAFlippedBitUnderTheIndex(t *testing.T) {
	m := startMain(t)
	m.md5 = true
	m.write("a.wapt", random(30_000))
	m.write("b.wapt", random(30_000))
	m.index("Packages", "a.wapt", "b.wapt")
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	fi, err := os.Stat(r.path("a.wapt"))
	must(t, err)
	r.rot("a.wapt")
	must(t, os.Chtimes(r.path("a.wapt"), time.Time{}, fi.ModTime()))
	r.believe("a.wapt")
	must(t, os.Remove(r.path("b.wapt")))
	r.seed("extra", []byte("x"))
	found := make(map[string]string)
	sum, err := r.r.Verify(t.Context(), true, func(f Finding) { found[f.Path] = f.What })
	must(t, err)
	if found["a.wapt"] != FindingBad || found["b.wapt"] != FindingMissing || found["extra"] != FindingExtra || sum.Repaired != 3 {
		t.Errorf("found %v, %+v", found, sum)
	}
	r.reached()
	r.has("a.wapt", m.read("a.wapt"))
	r.same()
}

// An index and a file that it names are changed by hand: the file is there again
// no later than the index.
func TestDriftUnderAnIndexIsHealedFileFirst(t *testing.T) {
	m := startMain(t)
	m.md5 = true
	m.write("a.wapt", random(30_000))
	m.index("Packages", "a.wapt")
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.tune = func(o *Options) { o.Rescan = 50 * time.Millisecond }
	r.start()
	r.reached()
	must(t, os.Remove(r.path("Packages")))
	must(t, os.Remove(r.path("a.wapt")))
	c := r.watch("Packages")
	r.has("Packages", m.read("Packages"))
	c.end()
	r.reached()
	r.same()
}

// A file that an index newly names is missing by hand: the index waits for it, and
// it is healed without waiting for the next comparison.
func TestMissingFileIsHealedForTheIndexThatNamesIt(t *testing.T) {
	m := startMain(t)
	m.md5 = true
	m.write("a.wapt", random(30_000))
	m.write("b.wapt", random(30_000))
	m.index("Packages", "a.wapt")
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	waitFor(t, 10*time.Second, func() string {
		if !r.r.idle() {
			return "it still compares"
		}
		return ""
	})
	must(t, os.Remove(r.path("b.wapt")))
	c := r.watch("Packages")
	m.index("Packages", "a.wapt", "b.wapt")
	m.publish("Packages")
	r.has("Packages", m.read("Packages"))
	r.reached()
	c.end()
	c.neverBetween()
	r.same()
}

// idle says whether a session has caught up with the main.
func (r *Replica) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session != nil && r.session.win.settled()
}

// Contents of one path never show the same second, whatever came between.
func TestTwoContentsNeverShowTheSameSecond(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	when := time.Unix(1_700_000_000, 5)
	shown := make(map[int64]string)
	for i, content := range []string{"A", "B", "A", "C", "B", "D", "A"} {
		m.write("Packages", []byte(content))
		must(t, os.Chtimes(filepath.Join(m.dir, "Packages"), when, when.Add(time.Duration(i%2)*time.Second)))
		m.publish("Packages")
		r.reached()
		if i == 3 {
			r.restart()
			r.reached()
		}
		r.has("Packages", []byte(content))
		fi, err := os.Stat(r.path("Packages"))
		must(t, err)
		s := fi.ModTime().Unix()
		if other, ok := shown[s]; ok && other != content {
			t.Errorf("%q shows the second that %q showed", content, other)
		}
		shown[s] = content
	}
	m.remove("Packages")
	r.reached()
	m.write("Packages", []byte("E"))
	must(t, os.Chtimes(filepath.Join(m.dir, "Packages"), when, when))
	m.publish("Packages")
	r.reached()
	fi, err := os.Stat(r.path("Packages"))
	must(t, err)
	if other, ok := shown[fi.ModTime().Unix()]; ok {
		t.Errorf("after a deletion the index shows the second that %q showed", other)
	}
}
