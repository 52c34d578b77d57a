package subscriber

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"waptsync/bus"
)

func TestFirstCopyBringsAllOfTheShare(t *testing.T) {
	m := startMain(t)
	m.write("empty", nil)
	m.write("a.wapt", random(5000))
	m.write("dir/deep/er/b.wapt", random(300_000))
	m.write("big.wapt", random(9<<20))
	must(t, os.Symlink("dir/deep", filepath.Join(m.dir, "link")))
	must(t, os.Mkdir(filepath.Join(m.dir, "hollow"), 0o750))
	must(t, os.Chmod(filepath.Join(m.dir, "a.wapt"), 0o640))
	must(t, os.Chtimes(filepath.Join(m.dir, "a.wapt"), time.Time{}, time.Unix(1_600_000_000, 123_456_789)))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.same()
	if rep := r.r.Report(); rep.Files != 4 || rep.Bytes != 5000+300_000+9<<20 || rep.Errors != 0 {
		t.Errorf("report is %+v", rep)
	}
}

func TestChangesAreFollowed(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"new", func() { m.put("x.wapt", random(1000)) }},
		{"replaced", func() { m.put("x.wapt", random(2000)) }},
		{"replaced by a large one", func() { m.put("x.wapt", random(2<<20)) }},
		{"shrunk to nothing", func() { m.put("x.wapt", nil) }},
		{"mode", func() {
			must(t, os.Chmod(filepath.Join(m.dir, "x.wapt"), 0o600))
			m.publish("x.wapt")
		}},
		{"time", func() {
			must(t, os.Chtimes(filepath.Join(m.dir, "x.wapt"), time.Time{}, time.Unix(1_500_000_000, 1)))
			m.publish("x.wapt")
		}},
		{"in a new folder, told before it", func() {
			m.write("d/e/y", random(10))
			m.publish("d/e/y", "d/e", "d")
		}},
		{"folder's mode", func() {
			must(t, os.Chmod(filepath.Join(m.dir, "d"), 0o700))
			m.publish("d")
		}},
		{"deleted", func() { m.remove("x.wapt") }},
		{"folder deleted", func() { m.remove("d") }},
	} {
		t.Run(step.name, func(t *testing.T) {
			step.do()
			r.reached()
			r.same()
		})
	}
	if got := r.trash(); len(got) > 0 {
		t.Errorf("known files went to the trash: %q", got)
	}
}

func TestKindsOfAPathCanSwap(t *testing.T) {
	m := startMain(t)
	m.write("target", random(10))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	full := filepath.Join(m.dir, "p")
	file := func() []string { must(t, os.WriteFile(full, random(100), 0o644)); return []string{"p"} }
	dir := func() []string {
		must(t, os.MkdirAll(filepath.Join(full, "sub"), 0o755))
		must(t, os.WriteFile(filepath.Join(full, "sub/f"), random(100), 0o644))
		return []string{"p", "p/sub", "p/sub/f"}
	}
	link := func() []string { must(t, os.Symlink("target", full)); return []string{"p"} }
	steps := []struct {
		name string
		make func() []string
	}{{"file", file}, {"dir", dir}, {"link", link}, {"dir again", dir}, {"file again", file}, {"link again", link}, {"file at last", file}}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			var gone []string
			if _, err := os.Lstat(full); err == nil {
				gone = m.beneath("p")
			}
			must(t, os.RemoveAll(full))
			made := s.make()
			m.publish(made...)
			for _, p := range gone {
				if !slices.Contains(made, p) {
					m.publish(p)
				}
			}
			r.reached()
			r.same()
		})
	}
	if got := r.trash(); len(got) > 0 {
		t.Errorf("known files went to the trash: %q", got)
	}
}

func TestMetadataAloneCostsNoBytes(t *testing.T) {
	m := startMain(t)
	m.put("f", random(100_000))
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	before := r.r.Report().Received
	must(t, os.Chmod(filepath.Join(m.dir, "f"), 0o440))
	must(t, os.Chtimes(filepath.Join(m.dir, "f"), time.Time{}, time.Unix(1_400_000_000, 7)))
	m.publish("f")
	r.reached()
	r.same()
	if got := r.r.Report().Received - before; got != 0 {
		t.Errorf("%d bytes were fetched", got)
	}
}

func TestLinksThatLeaveTheShareAreRefused(t *testing.T) {
	m := startMain(t)
	for i, target := range []string{"/etc/passwd", "../x", "a/../../x", ".waptsync/id", "./.waptsync"} {
		m.append(&bus.Event{Kind: bus.KindSymlink, Path: "evil", Target: target, Mode: 0o777})
		m.put("other", []byte(target))
		r := newRemote(t, m, sprint("remote-%d", i))
		r.start()
		r.has("other", []byte(target))
		r.problem("evil", "out of the share")
		if _, err := os.Lstat(r.path("evil")); err == nil {
			t.Errorf("a link to %q was made", target)
		}
		r.stop()
	}
}

// Agents compare Last-Modified for equality, and it has whole seconds.
func TestReplacedContentNeverShowsTheSameSecond(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	r.start()
	second := int64(1_700_000_000)
	seen := make(map[int64]int)
	for i := range 4 {
		m.write("Packages", []byte(sprint("index %d", i)))
		must(t, os.Chtimes(filepath.Join(m.dir, "Packages"), time.Time{}, time.Unix(second, int64(i))))
		m.publish("Packages")
		r.has("Packages", []byte(sprint("index %d", i)))
		r.reached()
		fi, err := os.Stat(r.path("Packages"))
		must(t, err)
		if i > 0 && fi.ModTime().Unix() == int64(seen[int64(i-1)]) {
			t.Errorf("version %d shows the second of the one before", i)
		}
		seen[int64(i)] = int(fi.ModTime().Unix())
	}
	shown := seen[3]
	r.restart()
	r.reached()
	fi, err := os.Stat(r.path("Packages"))
	must(t, err)
	if int(fi.ModTime().Unix()) != shown {
		t.Error("a restart changed the time that is shown")
	}
	if rep := r.r.Report(); rep.Drift != 0 {
		t.Errorf("the later second is taken for drift: %+v", rep)
	}
}

func TestOddNamesAreReplicated(t *testing.T) {
	m := startMain(t)
	names := []string{"with space", "élan", "tab\there", "new\nline", "bad\xff\xfeutf8", "-dash", "~tilde", "*star", "quote\"'", "日本語", ".htaccess",
		string(bytes.Repeat([]byte("n"), 255))}
	for _, n := range names {
		m.write("odd/"+n, []byte(n))
	}
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.same()
}

func TestOwnFolderIsNobodyElses(t *testing.T) {
	m := startMain(t)
	m.append(&bus.Event{Kind: bus.KindDir, Path: hidden, Mode: 0o777})
	m.append(&bus.Event{Kind: bus.KindDeleted, Path: hidden + "/id"})
	m.put("f", []byte("f"))
	r := newRemote(t, m, "colmar")
	r.start()
	r.has("f", []byte("f"))
	r.reached()
	fi, err := os.Stat(r.path(hidden))
	must(t, err)
	if fi.Mode().Perm() != 0o700 {
		t.Errorf("the own folder has mode %v", fi.Mode())
	}
}
