package subscriber

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// swapping exchanges a name again and again with another, of which one is a link
// to target, until the test's context ends. Whoever looks finds a folder or the
// link, and mostly what it did not find a moment ago.
func swapping(t *testing.T, ctx context.Context, name, aside, target string) (swaps *int, ended chan struct{}) {
	t.Helper()
	must(t, os.Symlink(target, aside))
	swaps, ended = new(int), make(chan struct{})
	isLink := func(p string) bool {
		fi, err := os.Lstat(p)
		return err == nil && fi.Mode().Type() == fs.ModeSymlink
	}
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			err := unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, aside, unix.RENAME_EXCHANGE)
			switch {
			case err == nil:
				*swaps++
			case !errors.Is(err, unix.ENOENT):
				t.Errorf("swapping: %v", err)
				return
			}
			if !isLink(name) && !isLink(aside) { // the replica cleared the link away
				_ = os.RemoveAll(aside)
				_ = os.Symlink(target, aside)
			}
			// As long as a few system calls take, now more, now less.
			for range *swaps % 7 {
				_, _ = os.Lstat(name)
			}
		}
	}()
	return swaps, ended
}

func TestFolderSwappedForALinkLetsNothingOut(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	canary := filepath.Join(t.TempDir(), "canary")
	for _, p := range []string{"f0", "f1", "deep/f0", "deep/f1", "link", "gone/f0"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(canary, p)), 0o755))
		must(t, os.WriteFile(filepath.Join(canary, p), []byte("outside "+p), 0o600))
	}
	must(t, os.Chmod(canary, 0o711))
	before := snapshot(t, canary)
	m.put("d/f0", []byte("first"))
	m.put("other", []byte("other"))
	r.start()
	r.reached()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	swaps, ended := swapping(t, ctx, r.path("d"), r.path(hidden+"/aside"), canary)
	for deadline, n := time.Now().Add(time.Second), 0; time.Now().Before(deadline); n++ {
		for i, size := range []int{100 + n, 300_000} {
			m.write(sprint("d/f%d", i), seeded(uint64(n), size))
			m.write(sprint("d/deep/f%d", i), seeded(uint64(n+1), size))
		}
		m.write(sprint("d/gone/f%d", n%2), seeded(uint64(n), 50))
		_ = os.Remove(filepath.Join(m.dir, "d/link"))
		must(t, os.Symlink(sprint("f%d", n%2), filepath.Join(m.dir, "d/link")))
		must(t, os.Chmod(filepath.Join(m.dir, "d"), fs.FileMode(0o750+n%6)))
		m.publish(m.beneath("d")...)
		m.remove("d/gone")
		m.remove("d/f1")
		if n%3 == 2 {
			m.remove("d")
			m.put("d/f0", []byte("again"))
		}
		at := m.log.Last()
		waitFor(t, 10*time.Second, func() string {
			if rep := r.r.Report(); rep.Seq < at {
				return sprint("at %d of %d", rep.Seq, at)
			}
			return ""
		})
	}
	cancel()
	<-ended
	t.Logf("%d swaps, %d events", *swaps, m.log.Last())
	if *swaps < 100 {
		t.Errorf("only %d swaps", *swaps)
	}
	after := snapshot(t, canary)
	for p, was := range before {
		if after[p] != was {
			t.Errorf("%q outside is %+v instead of %+v", p, after[p], was)
		}
	}
	for p := range after {
		if _, ok := before[p]; !ok {
			t.Errorf("%q appeared outside", p)
		}
	}
	if fi, err := os.Stat(canary); err != nil || fi.Mode().Perm() != 0o711 {
		t.Errorf("the folder outside: %v %v", fi, err)
	}
	// The last mode may have been set without an event of the folder itself.
	if err := os.Chmod(filepath.Join(m.dir, "d"), 0o755); err == nil {
		m.publish("d")
	}
	// Whatever was left there, comparing the folder mends.
	must(t, os.WriteFile(r.path("extra"), []byte("goes when it has begun"), 0o644))
	r.r.Reconcile()
	waitFor(t, 20*time.Second, func() string {
		if _, err := os.Stat(r.path("extra")); err == nil {
			return "the folder was not compared"
		}
		return ""
	})
	r.reached()
	r.same()
	if after := snapshot(t, canary); len(after) != len(before) {
		t.Errorf("outside are %d things, and were %d", len(after), len(before))
	}
}

// specials makes things in a folder that no main publishes.
func specials(t *testing.T, dir string) (names []string) {
	t.Helper()
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666))
	names = append(names, "fifo")
	must(t, unix.Mknod(filepath.Join(dir, "sock"), unix.S_IFSOCK|0o666, 0))
	names = append(names, "sock")
	// The null device; a container may forbid to make one.
	if err := unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err == nil {
		names = append(names, "null")
	}
	return names
}

func TestSpecialFilesInTheWayGoToTheTrash(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	ways := map[string]func(p string){
		"file":   func(p string) { m.put(p, []byte("now a file")) },
		"large":  func(p string) { m.put(p, random(300_000)) },
		"dir":    func(p string) { must(t, os.MkdirAll(filepath.Join(m.dir, p), 0o755)); m.publish(p) },
		"above":  func(p string) { m.put(p+"/f", []byte("beneath")) },
		"link":   func(p string) { must(t, os.Symlink("x", filepath.Join(m.dir, p))); m.publish(p) },
		"delete": func(p string) { m.publish(p) },
	}
	var want []string
	for way, publish := range ways {
		must(t, os.Mkdir(filepath.Join(m.dir, way), 0o755))
		m.publish(way)
		r.reached()
		for _, name := range specials(t, r.path(way)) {
			p := way + "/" + name
			publish(p)
			want = append(want, p)
		}
	}
	r.reached()
	r.same()
	got := r.trash()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the trash has %q instead of %q", got, want)
	}
	if rep := r.r.Report(); rep.Errors != 0 {
		t.Errorf("%+v", rep.Problems)
	}
}
