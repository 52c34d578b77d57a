//go:build linux

package test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

const (
	hiddenFolder  = ".waptsync" // the one folder of a remote's share that is not the main's
	maxDiffs      = 20          // differences that a failed comparison prints
	racyWindow    = time.Second // a digest taken sooner after the last change is not kept
	pollTreeEvery = 50 * time.Millisecond
)

// entry is what the tests compare of one path.
type entry struct {
	kind   fs.FileMode // type bits
	mode   fs.FileMode // permission bits
	size   int64
	mtime  int64 // nanoseconds; of files and links only
	target string
	id     fileID
}

// fileID changes whenever a file's bytes may have changed.
type fileID struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64
}

// tree is a folder by the paths of its entries.
type tree map[string]entry

// readTree lists root without its hidden folder. What vanishes meanwhile is left out.
func readTree(root string) (tree, error) {
	t := tree{}
	err := t.read(root, "")
	return t, err
}

func (t tree) read(root, rel string) error {
	list, err := os.ReadDir(filepath.Join(root, rel))
	if err != nil {
		if rel != "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) {
			return nil
		}
		return err
	}
	for _, d := range list {
		if rel == "" && d.Name() == hiddenFolder {
			continue
		}
		path := filepath.Join(rel, d.Name())
		e, err := readEntry(filepath.Join(root, path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		t[path] = e
		if e.kind.IsDir() {
			if err := t.read(root, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func readEntry(name string) (entry, error) {
	fi, err := os.Lstat(name)
	if err != nil {
		return entry{}, err
	}
	st := fi.Sys().(*syscall.Stat_t)
	e := entry{kind: fi.Mode().Type(), id: fileID{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}}
	switch {
	case e.kind.IsRegular():
		e.mode, e.size, e.mtime = fi.Mode().Perm(), fi.Size(), st.Mtim.Nano()
	case e.kind.IsDir():
		e.mode = fi.Mode().Perm()
	case e.kind == fs.ModeSymlink:
		if e.target, err = os.Readlink(name); err != nil {
			return entry{}, err
		}
	}
	return e, nil
}

// comparison compares a main's folder with a remote's. The zero value
// demands equality to the nanosecond.
type comparison struct {
	// bumps is how many whole seconds a remote's mtime may be ahead: agents
	// compare Last-Modified for equality, so a file that changed twice within
	// one second gets another second on a remote.
	bumps int64
	// ignore are paths of the main that are not replicated.
	ignore map[string]bool
	// tend, if not nil, is called before each look.
	tend  func()
	known map[fileID][sha256.Size]byte // digests that need no second look
}

// differences says how got differs from want, at most maxDiffs of them: first
// by names and stat, and only where these are equal by content.
func (c *comparison) differences(want, got string) ([]string, error) {
	w, err := readTree(want)
	if err != nil {
		return nil, err
	}
	g, err := readTree(got)
	if err != nil {
		return nil, err
	}
	d := c.differ(w, g)
	if len(d) > 0 {
		return d, nil
	}
	for path, e := range w {
		if !e.kind.IsRegular() || c.ignore[path] {
			continue
		}
		a, err := c.digest(filepath.Join(want, path), e)
		if err != nil {
			return nil, err
		}
		b, err := c.digest(filepath.Join(got, path), g[path])
		if err != nil {
			return nil, err
		}
		if a != b {
			d = append(d, fmt.Sprintf("%q: SHA-256 is %x, want %x", path, b, a))
		}
	}
	slices.Sort(d)
	return shorten(d), nil
}

// differ compares all but the contents.
func (c *comparison) differ(want, got tree) []string {
	var d []string
	for path, w := range want {
		if c.ignore[path] {
			continue
		}
		g, ok := got[path]
		if !ok {
			d = append(d, fmt.Sprintf("%q: missing, want %v", path, w))
			continue
		}
		// Times of the same content agree to the nanosecond, or by whole seconds.
		ahead := g.mtime - w.mtime
		sameTime := ahead == 0 || w.kind == fs.ModeSymlink ||
			ahead > 0 && ahead%int64(time.Second) == 0 && ahead/int64(time.Second) <= c.bumps
		if w.kind != g.kind || w.mode != g.mode || w.size != g.size || w.target != g.target || !sameTime {
			d = append(d, fmt.Sprintf("%q: is %v, want %v", path, g, w))
		}
	}
	for path, g := range got {
		if _, ok := want[path]; !ok || c.ignore[path] {
			d = append(d, fmt.Sprintf("%q: is %v, want nothing", path, g))
		}
	}
	slices.Sort(d)
	return shorten(d)
}

func shorten(d []string) []string {
	if len(d) <= maxDiffs {
		return d
	}
	return append(d[:maxDiffs:maxDiffs], fmt.Sprintf("and %d more", len(d)-maxDiffs))
}

func (e entry) String() string {
	switch {
	case e.kind.IsDir():
		return fmt.Sprintf("folder %v", e.mode)
	case e.kind == fs.ModeSymlink:
		return fmt.Sprintf("link to %q", e.target)
	case e.kind.IsRegular():
		return fmt.Sprintf("file %v of %d bytes at %s", e.mode, e.size, time.Unix(0, e.mtime).UTC().Format("2006-01-02 15:04:05.000000000"))
	}
	return e.kind.String()
}

// digest hashes a file, or knows its digest from an earlier look.
func (c *comparison) digest(name string, e entry) ([sha256.Size]byte, error) {
	if d, ok := c.known[e.id]; ok {
		return d, nil
	}
	var d [sha256.Size]byte
	f, err := os.Open(name)
	if err != nil {
		return d, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return d, fmt.Errorf("hashing %q: %w", name, err)
	}
	h.Sum(d[:0])
	if c.known == nil {
		c.known = map[fileID][sha256.Size]byte{}
	}
	// Two changes within one tick of the clock look the same to lstat.
	if time.Since(time.Unix(0, e.id.ctime)) > racyWindow {
		c.known[e.id] = d
	}
	return d, nil
}

// waitEqual returns when every share of each remote equals the main's, and
// fails the test with the differences when that takes longer.
func waitEqual(t *testing.T, within time.Duration, m *Main, remotes ...*Remote) time.Duration {
	t.Helper()
	return (&comparison{}).wait(t, within, m, remotes...)
}

func (c *comparison) wait(t *testing.T, within time.Duration, m *Main, remotes ...*Remote) time.Duration {
	t.Helper()
	begin := time.Now()
	for _, r := range remotes {
		for _, s := range r.shares {
			var d []string
			var err error
			if !poll(time.Until(begin.Add(within)), pollTreeEvery, func() bool {
				m.checkRuns()
				r.checkRuns()
				if c.tend != nil {
					c.tend()
				}
				d, err = c.differences(m.dir(s.name), s.dir)
				return err == nil && len(d) == 0
			}) {
				t.Fatalf("%s, share %s: not equal after %v: %v%s", r.name, s.name, within, err, listed(d))
			}
		}
	}
	return time.Since(begin)
}

func listed(lines []string) string {
	var s string
	for _, l := range lines {
		s += "\n\t" + l
	}
	return s
}

// waitQuiet returns when a folder has not changed for the given time.
func waitQuiet(t *testing.T, quiet, within time.Duration, root string) {
	t.Helper()
	var last tree
	since := time.Now()
	if !poll(within, pollTreeEvery, func() bool {
		now, err := readTree(root)
		if err != nil {
			t.Fatal(err)
		}
		if !sameTree(last, now) {
			last, since = now, time.Now()
		}
		return time.Since(since) >= quiet
	}) {
		t.Fatalf("%s: still changing after %v", root, within)
	}
}

func sameTree(a, b tree) bool {
	if a == nil || len(a) != len(b) {
		return false
	}
	for path, e := range a {
		if b[path] != e {
			return false
		}
	}
	return true
}
