package publisher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"waptsync/bus"
)

func TestEventsSayWhatTheFolderHolds(t *testing.T) {
	r := newRig(t)
	r.write("before", "was there")
	r.write("sub/before", "was there")
	r.startLive()
	r.converges()

	steps := []struct {
		name string
		do   func()
	}{
		{"create", func() { r.write("a", "one") }},
		{"empty file", func() { r.write("empty", "") }},
		{"modify in place", func() { r.write("a", "two") }},
		{"append", func() {
			f, err := os.OpenFile(r.path("a"), os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString(" and more")
			must(t, err)
			must(t, f.Close())
		}},
		{"large file", func() { must(t, os.WriteFile(r.path("large"), noise(1, 9<<20), 0o600)) }},
		{"replace by rename", func() {
			r.write("b", "three")
			must(t, os.Rename(r.path("b"), r.path("a")))
		}},
		{"mode of a file", func() { must(t, os.Chmod(r.path("a"), 0o640)) }},
		{"mtime of a file", func() {
			must(t, os.Chtimes(r.path("a"), time.Time{}, time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)))
		}},
		{"mode of a directory", func() { must(t, os.Chmod(r.path("sub"), 0o750)) }},
		{"empty directory", func() { must(t, os.Mkdir(r.path("hollow"), 0o755)) }},
		{"rename a file", func() { must(t, os.Rename(r.path("a"), r.path("sub/a"))) }},
		{"rename a directory", func() { must(t, os.Rename(r.path("sub"), r.path("sub2"))) }},
		{"write in a renamed directory", func() { r.write("sub2/new", "new") }},
		{"symbolic link inside", func() { must(t, os.Symlink("../large", r.path("sub2/link"))) }},
		{"link to nowhere yet", func() { must(t, os.Symlink("later", r.path("link"))) }},
		{"hard link", func() {
			must(t, os.Link(r.path("before"), r.path("hard")))
			r.Rescan() // a link more changes the ctime, and inotify does not tell
		}},
		{"file becomes a directory", func() {
			must(t, os.Remove(r.path("empty")))
			r.write("empty/child", "x")
		}},
		{"directory becomes a file", func() {
			must(t, os.RemoveAll(r.path("empty")))
			r.write("empty", "file again")
		}},
		{"directory becomes a link", func() {
			must(t, os.Rename(r.path("sub2"), r.path("sub3")))
			must(t, os.Symlink("sub3", r.path("sub2")))
		}},
		{"delete a file", func() {
			must(t, os.Remove(r.path("before")))
			r.Rescan() // the other name's ctime changed
		}},
		{"delete a directory", func() { must(t, os.RemoveAll(r.path("sub3"))) }},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			step.do()
			r.converges()
		})
	}
	r.restart(func() {})
	r.converges()
}

func TestDeepNewTreeHasNoGap(t *testing.T) {
	r := newRig(t)
	r.startLive()
	for i := range 20 {
		deep := filepath.Join(string(rune('a'+i)), "b/c/d/e")
		r.write(filepath.Join(deep, "f"), deep)
		r.write(filepath.Join(filepath.Dir(deep), "g"), deep)
	}
	r.converges()
}

func TestDirectoriesComeBeforeTheirChildrenAndGoAfterThem(t *testing.T) {
	r := newRig(t)
	r.startLive()
	var order []string
	seen := func() {
		order = order[:0]
		must(t, r.log.Replay(t.Context(), func(_ uint64, e *bus.Event) error {
			order = append(order, e.Path)
			return nil
		}))
	}
	r.write("a/b/c/f", "x")
	r.converges()
	seen()
	for i, p := range order {
		for _, q := range order[i+1:] {
			if strings.HasPrefix(p, q+"/") {
				t.Errorf("%q is published before its directory %q", p, q)
			}
		}
	}
	must(t, os.RemoveAll(r.path("a")))
	r.converges()
	seen()
	for i, p := range order {
		for _, q := range order[i+1:] {
			if p != "" && strings.HasPrefix(q, p+"/") {
				t.Errorf("the tombstone of %q comes before that of %q", p, q)
			}
		}
	}
}

func TestSlowWriterIsNotPublishedBeforeItCloses(t *testing.T) {
	r := newRig(t)
	r.startLive()
	f, err := os.Create(r.path("slow"))
	must(t, err)
	for range 5 {
		_, err := f.Write(noise(1, 1000))
		must(t, err)
		before := r.Status().HashedFiles
		r.write("other", time.Now().String())
		r.waitFor("another file", func() bool { return r.Status().HashedFiles > before })
		if r.events()["slow"] != nil {
			t.Fatal("published while its writer had it open")
		}
	}
	must(t, f.Close())
	r.converges()
}

func TestRestartHashesNothing(t *testing.T) {
	r := newRig(t)
	for i := range 50 {
		r.write(filepath.Join("dir", string(rune('A'+i))), strings.Repeat("x", i))
	}
	must(t, os.Symlink("dir/A", r.path("link")))
	r.startLive()
	r.converges()
	last := r.log.Last()
	r.restart(func() {})
	if n := r.Status().HashedBytes; n != 0 {
		t.Errorf("%d bytes were hashed", n)
	}
	// The marker is all that a new generation adds; here it is the same one.
	if n := r.log.Last() - last; n > 1 {
		t.Errorf("%d events were published", n)
	}
	r.restart(func() { must(t, os.Remove(r.path("dir/B"))); r.write("dir/C", "other") })
	r.converges()
	if n := r.Status().HashedFiles; n != 1 {
		t.Errorf("%d files were hashed", n)
	}
}

func TestTouchedFileRefreshesItsOriginOnly(t *testing.T) {
	r := newRig(t)
	r.write("f", "content")
	r.startLive()
	r.converges()
	was := r.events()["f"]
	must(t, os.Link(r.path("f"), r.path(".~"))) // changes the ctime
	must(t, os.Remove(r.path(".~")))
	r.Rescan()
	r.converges()
	now := r.events()["f"]
	if now.Content != was.Content || now.MTime != was.MTime || now.Mode != was.Mode {
		t.Errorf("remotes see a change: %+v, was %+v", now, was)
	}
	r.restart(func() {})
	if n := r.Status().HashedBytes; n != 0 {
		t.Errorf("%d bytes were hashed after a restart", n)
	}
}

func TestRenameCostsNoHashing(t *testing.T) {
	r := newRig(t)
	r.write("dir/a", "aaa")
	r.write("dir/sub/b", "bbb")
	r.write("c", "ccc")
	r.startLive()
	r.converges()
	hashed := r.Status().HashedBytes
	must(t, os.Rename(r.path("dir"), r.path("moved")))
	must(t, os.Rename(r.path("c"), r.path("d")))
	r.converges()
	if n := r.Status().HashedBytes - hashed; n != 0 {
		t.Errorf("%d bytes were hashed", n)
	}
	events := r.events()
	for p, from := range map[string]string{"moved/a": "dir/a", "moved/sub/b": "dir/sub/b", "d": "c"} {
		if got := events[p].From; got != from {
			t.Errorf("%q comes from %q, want %q", p, got, from)
		}
	}
}

// TestEditedAndRenamedIsHashed: wapt-signpackages edits in place, restores the
// mtime and renames, so inode, size and mtime stay.
func TestEditedAndRenamedIsHashed(t *testing.T) {
	for _, live := range []bool{true, false} {
		t.Run(map[bool]string{true: "live", false: "while stopped"}[live], func(t *testing.T) {
			r := newRig(t)
			r.write("a", "aaa")
			r.startLive()
			r.converges()
			sign := func() {
				fi, err := os.Stat(r.path("a"))
				must(t, err)
				f, err := os.OpenFile(r.path("a"), os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteString("bbb")
				must(t, err)
				must(t, f.Close())
				must(t, os.Chtimes(r.path("a"), time.Time{}, fi.ModTime()))
				must(t, os.Rename(r.path("a"), r.path("b")))
			}
			if live {
				sign()
			} else {
				r.restart(sign)
			}
			r.converges()
		})
	}
}

// TestUploadSequenceOfWAPT is reference wapt.md 1.3: temporary name, unlink, rename.
func TestUploadSequenceOfWAPT(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DeleteDelay = time.Second; o.MD5 = true })
	r.write("pkg.wapt", "old")
	r.write("Packages", "old index")
	r.startLive()
	first := r.log.Last()
	upload := func(temporary, target, content string) {
		r.write(temporary, content)
		must(t, os.Remove(r.path(target)))
		must(t, os.Rename(r.path(temporary), r.path(target)))
	}
	for i := range 20 {
		upload("waptAb3_9zQ", "pkg.wapt", strings.Repeat("p", i))
		upload("Packages.20240102030405", "Packages", strings.Repeat("i", i))
	}
	r.converges()
	for p, e := range r.events() {
		if e.Kind == bus.KindDeleted {
			t.Errorf("tombstone of %q", p)
		}
		if p != "" && p != "pkg.wapt" && p != "Packages" {
			t.Errorf("%q was published", p)
		}
		if e.Kind == bus.KindFile && !e.Content.HasMD5 {
			t.Errorf("%q has no MD5", p)
		}
	}
	if r.log.Last() == first {
		t.Error("nothing was published")
	}
}

func TestOddNames(t *testing.T) {
	r := newRig(t)
	names := []string{
		"with space", " leading", "trailing ", "new\nline", "tab\t", "back\\slash", "-dash", "*?[", "...",
		"\xff\xfe not UTF-8", "é", "e\u0301", "UPPER", "upper", ".htaccess", strings.Repeat("x", 255),
		"dir\n\xff/in\x01ner/f",
	}
	for _, n := range names[:len(names)/2] {
		r.write(n, n)
	}
	r.startLive()
	for _, n := range names[len(names)/2:] {
		r.write(n, n)
	}
	r.converges()
	r.write("dir\n\xff/later", "x")
	r.converges()
}

func TestWhatIsNoContentIsSkippedAndReported(t *testing.T) {
	r := newRig(t)
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	must(t, os.Symlink(outside, r.path("absolute")))
	must(t, os.Symlink("../secret", r.path("up")))
	must(t, os.Symlink("up", r.path("chain")))
	must(t, makeFifo(r.path("fifo")))
	must(t, os.Mkdir(r.path(".stfolder"), 0o755))
	r.write(".stfolder/x", "x")
	r.write("ok", "ok")
	r.startLive()
	r.converges("absolute", "up", "chain", "fifo", ".stfolder", ".stfolder/x")
	s := r.Status()
	if s.Skipped != 4 || s.Errors != 0 || len(s.Problems) != 4 {
		t.Errorf("%d skipped, %d errors, problems %+v", s.Skipped, s.Errors, s.Problems)
	}
	must(t, os.Remove(r.path("fifo")))
	r.write("fifo", "a file now")
	r.converges("absolute", "up", "chain", ".stfolder")
	r.waitFor("the problem to go", func() bool { return r.Status().Skipped == 3 })
}

func TestOverflowLeadsToAScan(t *testing.T) {
	r := newRig(t)
	r.write("dir/a", "a")
	r.startLive()
	// Take the watches away behind the session's back: the events are lost.
	r.mu.Lock()
	w := r.watch
	r.mu.Unlock()
	for _, p := range w.fs.WatchList() {
		must(t, w.fs.Remove(p))
	}
	r.write("dir/b", "b")
	must(t, os.Remove(r.path("dir/a")))
	w.fs.Errors <- fsnotify.ErrEventOverflow
	r.converges()
	r.write("dir/c", "c") // the watch is back
	r.converges()
}

func TestDeadWatcherIsReplaced(t *testing.T) {
	r := newRig(t)
	r.write("dir/a", "a")
	r.startLive()
	r.mu.Lock()
	w := r.watch
	r.mu.Unlock()
	must(t, w.fs.Close())
	r.write("dir/b", "b")
	r.converges()
	r.write("dir/c", "c")
	r.converges()
}

func TestLostStreamIsPublishedAnew(t *testing.T) {
	r := newRig(t)
	r.write("dir/a", "a")
	r.startLive()
	was := r.log.Generation()
	must(t, r.log.Reopen(t.Context()))
	r.waitFor("another generation", func() bool { return r.Status().State == StateLive && r.Status().Generation != was })
	r.converges()
	if m := r.events()[""]; m == nil || m.Kind != bus.KindMarker || m.Generation == was {
		t.Errorf("marker %+v", m)
	}
}
