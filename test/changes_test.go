//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryKindOfChange makes each kind of change on a main with a connected
// remote, one after the other, and expects each on the remote.
func TestEveryKindOfChange(t *testing.T) {
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	dir := m.dir("wapt")
	in := func(elem ...string) string { return filepath.Join(append([]string{dir}, elem...)...) }
	trees := &comparison{}
	t.Cleanup(func() { // or nobody but root could clear up
		_ = os.Chmod(in("closed"), 0o755)
		_ = os.Chmod(filepath.Join(r.dir("wapt"), "closed"), 0o755)
	})

	cases := []struct {
		name   string
		change func(t *testing.T)
		// bumps: the change rewrites a file that may have come in the same second.
		bumps int64
	}{
		{"created file", func(t *testing.T) { write(t, rng.data(50_000), dir, "file") }, 0},
		{"empty file", func(t *testing.T) { write(t, nil, dir, "empty") }, 0},
		{"modified in place", func(t *testing.T) {
			f, err := os.OpenFile(in("file"), os.O_WRONLY, 0)
			check(t, err)
			_, err = f.WriteAt(rng.data(1000), 20_000)
			check(t, err)
			check(t, f.Close())
		}, 1},
		{"rewritten in place with the same size", func(t *testing.T) { write(t, rng.data(50_000), dir, "file") }, 2},
		{"appended", func(t *testing.T) {
			f, err := os.OpenFile(in("file"), os.O_WRONLY|os.O_APPEND, 0)
			check(t, err)
			_, err = f.Write(rng.data(3_000_000))
			check(t, err)
			check(t, f.Close())
		}, 3},
		{"cut short", func(t *testing.T) { check(t, os.Truncate(in("file"), 1234)) }, 4},
		{"replaced by rename", func(t *testing.T) {
			check(t, os.Rename(write(t, rng.data(70_000), dir, "file.new"), in("file")))
		}, 5},
		{"renamed file", func(t *testing.T) { check(t, os.Rename(in("file"), in("renamed"))) }, 5},
		{"empty folder", func(t *testing.T) { makeDirs(t, in("folder")) }, 0},
		{"file moved into a folder", func(t *testing.T) { check(t, os.Rename(in("renamed"), in("folder", "moved"))) }, 5},
		{"renamed folder", func(t *testing.T) { check(t, os.Rename(in("folder"), in("other folder"))) }, 5},
		{"file in the renamed folder", func(t *testing.T) { write(t, rng.data(10), dir, "other folder", "new") }, 0},
		{"hard link", func(t *testing.T) { check(t, os.Link(write(t, rng.data(10), dir, "twin"), in("other twin"))) }, 0},
		{"symbolic link", func(t *testing.T) { check(t, os.Symlink("other folder/moved", in("link"))) }, 0},
		{"symbolic link upwards inside", func(t *testing.T) { check(t, os.Symlink("../empty", in("other folder", "up"))) }, 0},
		{"symbolic link to a folder", func(t *testing.T) { check(t, os.Symlink("other folder", in("shortcut"))) }, 0},
		{"symbolic link to nothing", func(t *testing.T) { check(t, os.Symlink("nowhere", in("dangling"))) }, 0},
		{"new target", func(t *testing.T) {
			check(t, os.Symlink("empty", in("link.new")))
			check(t, os.Rename(in("link.new"), in("link")))
		}, 0},
		{"mtime only", func(t *testing.T) { chtimes(t, in("other folder", "moved"), time.Unix(1_000_000_000, 987_654_321)) }, 0},
		{"mtime before 1970", func(t *testing.T) { chtimes(t, in("empty"), time.Unix(-86_400, 5)) }, 0},
		{"mode only", func(t *testing.T) { check(t, os.Chmod(in("other folder", "moved"), 0o640)) }, 0},
		{"mode of a folder", func(t *testing.T) { check(t, os.Chmod(in("other folder"), 0o750)) }, 0},
		{"read-only folder", func(t *testing.T) {
			makeDirs(t, in("closed"))
			write(t, rng.data(10), dir, "closed", "inside")
			check(t, os.Chmod(in("closed"), 0o555))
		}, 0},
		{"deep folders at once", func(t *testing.T) {
			for i := range 4 {
				at := in(fmt.Sprintf("tree%d", i))
				for j := range 10 {
					at = filepath.Join(at, fmt.Sprintf("level%d", j))
					makeDirs(t, at)
					write(t, rng.data(100), at, "leaf")
				}
			}
		}, 0},
		{"deep folders renamed", func(t *testing.T) { check(t, os.Rename(in("tree0"), in("tree1", "tree0"))) }, 0},
		{"file becomes folder", func(t *testing.T) {
			check(t, os.Remove(in("empty")))
			makeDirs(t, in("empty"))
			write(t, rng.data(10), dir, "empty", "inside")
		}, 0},
		{"folder becomes file", func(t *testing.T) {
			check(t, os.RemoveAll(in("tree2")))
			write(t, rng.data(10), dir, "tree2")
		}, 0},
		{"link becomes file", func(t *testing.T) {
			check(t, os.Remove(in("link")))
			write(t, rng.data(10), dir, "link")
		}, 0},
		{"deleted file", func(t *testing.T) { check(t, os.Remove(in("other folder", "moved"))) }, 0},
		{"deleted folder", func(t *testing.T) { check(t, os.RemoveAll(in("tree1"))) }, 0},
		{"deleted and made anew", func(t *testing.T) {
			check(t, os.Remove(in("tree2")))
			write(t, rng.data(20), dir, "tree2")
		}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.change(t)
			trees.bumps = c.bumps
			trees.wait(t, 30*time.Second, m, r)
		})
		if t.Failed() {
			return // each change builds on the one before
		}
	}
}

// TestOddNamesTravel holds that a name is bytes.
func TestOddNamesTravel(t *testing.T) {
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	names := map[string]string{
		"spaces":               " a name with spaces ",
		"newline":              "two\nlines",
		"not UTF-8":            "latin-1 \xe9\xff",
		"UTF-8":                "été ☃ 日本",
		"decomposed":           "e\u0301te\u0301",
		"control bytes":        "\x01\x1b[31m\x7f",
		"shell":                `$(x) "'*?;|&<>\`,
		"subject":              "a.b.*.>",
		"leading dash":         "-rf",
		"dots":                 "...",
		"dot file":             ".htaccess",
		"case":                 "README",
		"other case":           "Readme",
		"longest":              strings.Repeat("n", 255),
		"deep":                 strings.Repeat(strings.Repeat("d", 200)+"/", 12) + "leaf",
		"same name in folder":  "README.d/README",
		"hidden folder deeper": "README.d/" + hiddenFolder + "/file",
	}
	for _, n := range names {
		makeDirs(t, filepath.Dir(filepath.Join(m.dir("wapt"), n)))
		write(t, rng.data(100), m.dir("wapt"), n)
	}
	waitEqual(t, 30*time.Second, m, r)
	for _, n := range names {
		check(t, os.Remove(filepath.Join(m.dir("wapt"), n)))
	}
	waitEqual(t, 30*time.Second, m, r)
}

// TestUnreplicablePathsAreSkippedAndReported: a link that leaves the share,
// and what is neither file, folder nor link.
func TestUnreplicablePathsAreSkippedAndReported(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	dir := m.dir("wapt")
	trees := &comparison{ignore: map[string]bool{"outside": true, "climbs": true, "queue": true, "later": true}}
	check(t, os.Symlink("/etc/passwd", filepath.Join(dir, "outside")))
	check(t, os.Symlink("../../secret", filepath.Join(dir, "climbs")))
	check(t, tool("mkfifo", filepath.Join(dir, "queue")))
	write(t, rng.data(1000), dir, "before")
	m.start()
	m.admit(r)
	r.start()
	trees.wait(t, 30*time.Second, m, r)
	check(t, os.Symlink("../data", filepath.Join(dir, "later")))
	write(t, rng.data(1000), dir, "after")
	trees.wait(t, 30*time.Second, m, r)
	m.waitStatus(30*time.Second, "reports all four skipped paths", func(st status) bool {
		for path := range trees.ignore {
			if !strings.Contains(st.raw, `"`+path+`"`) {
				return false
			}
		}
		return true
	})
}

// TestSlowWriterIsPublishedWhole writes a file in place over a longer time
// than any settling; the remote must show nothing or all of it.
func TestSlowWriterIsPublishedWhole(t *testing.T) {
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	old, data := selfChecking(rng, 1_000_000), selfChecking(rng, 3_000_000)
	write(t, old, m.dir("wapt"), "n1")
	waitEqual(t, 30*time.Second, m, r)
	stop, seen := make(chan struct{}), make(chan []string, 1)
	go func() { seen <- watch(r.dir("wapt"), stop) }()
	f, err := os.Create(filepath.Join(m.dir("wapt"), "n1"))
	check(t, err)
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for piece := range slices.Chunk(data, len(data)/scaled(10, 30, 100)+1) {
		<-pace.C
		_, err := f.Write(piece)
		check(t, err)
	}
	check(t, f.Close())
	(&comparison{bumps: 1}).wait(t, 30*time.Second, m, r)
	close(stop)
	if s := <-seen; len(s) > 0 {
		t.Errorf("a reader of the remote saw:%s", listed(s))
	}
}
