package publisher

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

func (r *rig) startWith(change func(*Publisher)) {
	r.t.Helper()
	p, err := New(r.o)
	must(r.t, err)
	change(p)
	r.run(p)
	r.waitFor("the share to be live", func() bool { return r.Status().State == StateLive })
}

func TestWithoutLeasesFilesSettleByQuiet(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Quiet = 200 * time.Millisecond })
	r.write("old", "x")
	r.startWith(func(p *Publisher) { p.writers = func(*os.File) settled { return settleUnknown } })
	f, err := os.Create(r.path("slow"))
	must(t, err)
	begun := time.Now()
	for time.Since(begun) < 500*time.Millisecond { // longer than the quiet period
		_, err := f.WriteString("more")
		must(t, err)
		// Time stamps older than the pace of writing: late answers of a busy
		// machine must not look like a pause of the writer.
		if fi, err := f.Stat(); err == nil && time.Since(fi.ModTime()) < 100*time.Millisecond && r.events()["slow"] != nil {
			t.Fatal("published while it was being written")
		}
	}
	must(t, f.Close())
	r.converges()
}

func TestWhatCannotBeWatchedIsScanned(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Poll = 50 * time.Millisecond })
	r.write("dark/f", "one")
	r.write("light/f", "one")
	r.startWith(func(p *Publisher) {
		p.refuse = func(dir string) error {
			if strings.HasPrefix(dir, "dark") {
				return syscall.ENOSPC
			}
			return nil
		}
	})
	r.write("dark/f", "two")
	r.write("dark/sub/sub/g", "new")
	r.write("light/f", "two")
	r.converges()
	must(t, os.RemoveAll(r.path("dark/sub")))
	must(t, os.Rename(r.path("dark/f"), r.path("dark/h")))
	r.converges()
	r.waitFor("the advice", func() bool {
		p := r.Status().Problems
		return len(p) == 1 && strings.Contains(p[0].Hint, "max_user_watches")
	})
	must(t, os.RemoveAll(r.path("dark")))
	r.converges()
	r.waitFor("the problem to go", func() bool { return len(r.Status().Problems) == 0 })
}

func TestWithoutAnyWatcherTheFolderIsScanned(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Poll = 50 * time.Millisecond })
	r.write("dir/f", "one")
	var refused atomic.Bool
	refused.Store(true)
	r.startWith(func(p *Publisher) {
		p.refuse = func(dir string) error {
			if dir == wholeWatcher && refused.Load() {
				return syscall.EMFILE
			}
			return nil
		}
	})
	if s := r.Status(); s.Mode != "scan" || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Hint, "max_user_instances") {
		t.Errorf("mode %s, problems %+v", s.Mode, s.Problems)
	}
	r.write("dir/f", "two")
	r.write("dir/sub/g", "new")
	r.converges()
	must(t, os.RemoveAll(r.path("dir/sub")))
	r.converges()
	refused.Store(false)
	r.waitFor("the watcher", func() bool { s := r.Status(); return s.Mode == "inotify" && len(s.Problems) == 0 })
	r.write("dir/h", "watched")
	r.converges()
}

// TestClockThatWasSetBackHidesNothing: what was published carries a ctime that
// the clock has not come to yet, and files are dated ahead and long ago.
func TestClockThatWasSetBackHidesNothing(t *testing.T) {
	r := newRig(t)
	ahead, past := time.Now().Add(1000*time.Hour), time.Unix(1, 0)
	for _, p := range []string{"ahead", "past", "same"} {
		r.write(p, "one")
	}
	must(t, os.Chtimes(r.path("ahead"), ahead, ahead))
	must(t, os.Chtimes(r.path("past"), past, past))
	r.startLive()
	r.converges()
	for p, date := range map[string]time.Time{"ahead": past, "past": ahead, "same": ahead} {
		r.write(p, "two")
		must(t, os.Chtimes(r.path(p), date, date))
	}
	r.converges()
	// In place, the date put back: only the ctime tells.
	r.write("same", "six")
	must(t, os.Chtimes(r.path("same"), ahead, ahead))
	r.converges()

	r.stopRun()
	e := r.events()["same"]
	future := *e
	future.Content.Digest = objects.Sum([]byte("was"))
	future.Origin.CTime = time.Now().Add(24 * time.Hour).UnixNano()
	_, err := r.log.Append(t.Context(), []*bus.Event{&future})
	must(t, err)
	r.startLive()
	r.converges()
}

func TestPathTooLongIsSkipped(t *testing.T) {
	r := newRig(t)
	r.write("ok", "ok")
	root, err := os.OpenRoot(r.dir)
	must(t, err)
	name := strings.Repeat("d", 250)
	for range 17 {
		must(t, root.Mkdir(name, 0o755))
		sub, err := root.OpenRoot(name)
		must(t, err)
		must(t, root.Close())
		root = sub
	}
	must(t, root.WriteFile("f", []byte("too deep"), 0o644))
	must(t, root.Close())
	r.startLive()
	if s := r.Status(); s.Dirs != 16 || s.Files != 1 || s.Skipped == 0 {
		t.Errorf("%d dirs, %d files, %d skipped", s.Dirs, s.Files, s.Skipped)
	}
}

// TestUnreadableFileStopsOnlyItself needs a user whom modes bind, so root runs
// it again as nobody.
func TestUnreadableFileStopsOnlyItself(t *testing.T) {
	if os.Getuid() == 0 {
		dir := t.TempDir()
		must(t, os.Chmod(dir, 0o777))
		for up := filepath.Dir(dir); up != "/" && up != os.TempDir(); up = filepath.Dir(up) {
			must(t, os.Chmod(up, 0o755))
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		cmd.Dir = dir
		asNobody(cmd)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Fatalf("as nobody: %v\n%s", err, out)
		}
		return
	}
	r := newRig(t)
	r.write("published", "one")
	r.write("secret", "s")
	r.write("closed/f", "f")
	must(t, os.Chmod(r.path("secret"), 0))
	must(t, os.Chmod(r.path("closed"), 0))
	t.Cleanup(func() { _ = os.Chmod(r.path("closed"), 0o755) })
	r.startLive() // the marker does not wait for them
	if s := r.Status(); s.Errors != 2 || s.Problems[0].Hint == "" || s.Problems[0].Next.IsZero() {
		t.Errorf("%d errors, %+v", s.Errors, s.Problems)
	}
	r.write("other", "o")
	r.waitFor("the other file", func() bool { return r.events()["other"] != nil })

	// What was published stays as it was.
	was := r.events()["published"].Content
	must(t, os.Chmod(r.path("published"), 0))
	r.waitFor("the problem", func() bool { return r.Status().Errors == 3 })
	if e := r.events()["published"]; e.Kind != bus.KindFile || e.Content != was {
		t.Errorf("event %+v", e)
	}

	for _, p := range []string{"secret", "published", "closed"} {
		must(t, os.Chmod(r.path(p), 0o755))
	}
	r.converges()
	r.waitFor("the problems to go", func() bool { return r.Status().Errors == 0 })
}
