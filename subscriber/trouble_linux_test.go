package subscriber

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

func TestBrokenPathStopsOnlyItselfAndSurvivesARestart(t *testing.T) {
	m := startMain(t)
	m.write("f", random(200_000))
	e := m.event("f")
	m.files.forget("f") // the main answers that it is gone
	m.append(e)
	m.put("other", []byte("other"))
	m.mark()
	r := newRemote(t, m, "colmar")
	r.start()
	r.has("other", []byte("other"))
	r.problem("f", "other content")
	waitFor(t, 10*time.Second, func() string {
		if rep := r.r.Report(); rep.Seq < m.log.Last() {
			return sprint("the position stands at %d", rep.Seq)
		}
		return ""
	})
	r.stop()
	m.files.describe(t, "f")
	r.start() // nothing new is in the stream
	r.reached()
	r.same()
	if rep := r.r.Report(); rep.Errors != 0 {
		t.Errorf("%+v", rep)
	}
}

func TestDamagedBytesAreNeverShown(t *testing.T) {
	for _, size := range []int{3000, 300_000} {
		m := startMain(t)
		m.write("f", random(size))
		e := m.event("f")
		must(t, os.WriteFile(filepath.Join(m.dir, "f"), random(size), 0o644)) // under the main's feet
		m.append(e)
		r := newRemote(t, m, "colmar")
		r.start()
		r.problem("f", "")
		if _, err := os.Stat(r.path("f")); err == nil {
			t.Errorf("wrong bytes of %d became visible", size)
		}
		r.stop()
	}
}

func TestNameTheDiskRefusesIsReported(t *testing.T) {
	m := startMain(t)
	m.put("good", []byte("good"))
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	// ext4 and others hold 255 bytes a name; a path of 4096 is longer than a
	// system call takes, but not for one that goes folder by folder.
	deep := strings.Repeat(strings.Repeat("d", 200)+"/", 18) + "f"
	m.append(&bus.Event{Kind: bus.KindFile, Path: deep, Mode: 0o644, MTime: 1, Content: bus.Content{Digest: objects.Sum(nil)}})
	r.reached()
	tr, err := openTree(r.dir)
	must(t, err)
	defer tr.close()
	v := tr.visit()
	defer v.close()
	if _, err := v.lstat(deep); err != nil {
		t.Errorf("the deep file: %v", err)
	}
}

func TestFullDiskIsReportedAndGoesOnWhenSpaceReturns(t *testing.T) {
	m, r := smallRemote(t, "12m")
	m.write("1fits", random(2<<20))
	m.write("2does-not", random(16<<20))
	m.write("3small", random(1000))
	m.publishAll()
	r.start()
	r.problem("2does-not", "space")
	r.has("3small", m.read("3small"))
	if rep := r.r.Report(); rep.Problems[0].Hint == "" {
		t.Errorf("no hint in %+v", rep.Problems)
	}
	remountSmall(t, r.dir, "64m")
	r.reached()
	r.same()
}

// The space can also run out while the stage is written.
func TestDiskThatFillsWhileStagingIsReported(t *testing.T) {
	m, r := smallRemote(t, "8m")
	for i := range 30 {
		m.write(sprint("f%02d", i), random(500_000))
	}
	m.publishAll()
	r.start()
	waitFor(t, 20*time.Second, func() string {
		if rep := r.r.Report(); rep.Errors == 0 || rep.Files < 5 {
			return sprint("%+v", rep)
		}
		return ""
	})
	remountSmall(t, r.dir, "64m")
	r.reached()
	r.same()
}

func TestMinFreeIsLeft(t *testing.T) {
	m, r := smallRemote(t, "16m")
	r.tune = func(o *Options) { o.MinFree = 10 << 20 }
	m.write("f", random(8<<20))
	m.publishAll()
	r.start()
	r.problem("f", "space")
	if got := r.r.Report().Received; got > 1<<20 {
		t.Errorf("%d bytes were fetched in vain", got)
	}
}

// smallRemote is a main, and a remote of it whose folder is a file system of that size.
func smallRemote(t *testing.T, size string) (*testMain, *testRemote) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small file system")
	}
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	must(t, os.Mkdir(r.dir, 0o755))
	mountSmall(t, r.dir, size)
	return m, r
}

func mountSmall(t *testing.T, dir, size string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

func remountSmall(t *testing.T, dir, size string) {
	t.Helper()
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size))
}

func TestOwnerAndModesCanBeSet(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	m := startMain(t)
	m.write("d/small", random(100))
	m.write("d/large", random(2<<20))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.tune = func(o *Options) {
		o.Owner, o.FileMode, o.DirMode = &Owner{UID: 1234, GID: 5678}, 0o640, 0o750
	}
	r.start()
	r.reached()
	for p, mode := range map[string]os.FileMode{"d": 0o750, "d/small": 0o640, "d/large": 0o640} {
		fi, err := os.Stat(r.path(p))
		must(t, err)
		st := fi.Sys().(*syscall.Stat_t)
		if fi.Mode().Perm() != mode || st.Uid != 1234 || st.Gid != 5678 {
			t.Errorf("%s is %v of %d:%d", p, fi.Mode(), st.Uid, st.Gid)
		}
	}
	r.restart()
	r.reached()
	if rep := r.r.Report(); rep.Drift != 0 {
		t.Errorf("own modes are taken for drift: %+v", rep)
	}
}
