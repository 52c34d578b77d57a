//go:build linux

package test

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestThreeWaysOfBytes holds what a change may cost on the wire, by where its
// bytes can be had: on the remote itself, or from the main.
func TestThreeWaysOfBytes(t *testing.T) {
	lab.net.needNamespaces(t)
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	dir := m.dir("wapt")
	const size = 8_000_000
	data := rng.data(size)
	in := func(name string) string { return filepath.Join(dir, name) }
	trees := &comparison{bumps: 1}

	cases := []struct {
		name        string
		change      func(t *testing.T)
		least, most int64 // bytes on the wire, both ways, all headers
	}{
		{"a new file comes once", func(t *testing.T) { write(t, data, dir, "big") }, size, size * 11 / 10},
		{"renamed", func(t *testing.T) { check(t, os.Rename(in("big"), in("renamed"))) }, 0, 50_000},
		{"copied", func(t *testing.T) { write(t, data, dir, "tis-app_1.0-1_x64.wapt") }, 0, 100_000},
		{"a folder of small files", func(t *testing.T) { // pieces of the big one, but they may come as their own
			makeDirs(t, in("folder"))
			for i := range 20 {
				write(t, data[i*100_000:(i+1)*100_000], dir, "folder", string(rune('a'+i)))
			}
		}, 0, size / 4 * 11 / 10},
		{"the folder renamed", func(t *testing.T) { check(t, os.Rename(in("folder"), in("moved"))) }, 0, 60_000},
		{"next version of a package", func(t *testing.T) {
			next := append(rng.data(12_345), data[:size/2]...)
			next = append(next, rng.data(size/20)...)
			write(t, append(next, data[size/2:]...), dir, "tis-app_1.1-1_x64.wapt")
			check(t, os.Remove(in("tis-app_1.0-1_x64.wapt")))
		}, size / 20, size / 3},
		{"appended", func(t *testing.T) {
			f, err := os.OpenFile(in("tis-app_1.1-1_x64.wapt"), os.O_WRONLY|os.O_APPEND, 0)
			check(t, err)
			_, err = f.Write(rng.data(10_000))
			check(t, err)
			check(t, f.Close())
		}, 10_000, size / 4},
		{"mode and mtime", func(t *testing.T) {
			check(t, os.Chmod(in("renamed"), 0o600))
			chtimes(t, in("renamed"), time.Unix(1_500_000_000, 1))
		}, 0, 50_000},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := lab.net.wire(t)
			c.change(t)
			trees.wait(t, 30*time.Second, m, r)
			spent := lab.net.wire(t) - before
			t.Logf("%d bytes on the wire", spent)
			if spent < c.least || spent > c.most {
				t.Errorf("%d bytes on the wire, want %d to %d", spent, c.least, c.most)
			}
		})
		if t.Failed() {
			return // each change builds on the one before
		}
	}
	// The main's files were there all the time, so they gave what was new, once.
	if st, err := m.status(); err != nil || st.Served < size || st.Served > size*3/2 {
		t.Errorf("the main served %d bytes from its files (%v)", st.Served, err)
	}
	st, err := r.status()
	check(t, err)
	if s := st.Shares["wapt"]; s.Reused < size || s.Received < size {
		t.Errorf("the status counts %d bytes reused and %d received, want at least %d of each", s.Reused, s.Received, size)
	}
}

// TestFileReplacedDuringItsTransfer replaces a file on the main while a
// remote fetches it: the old content is gone, and the new one must come.
func TestFileReplacedDuringItsTransfer(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	if lab.net.main != nil {
		lab.net.rate(t, 100)
	}
	size := scaled(10, 30, 200) * 1_000_000
	write(t, rng.data(size), m.dir("wapt"), "replaced")
	write(t, rng.data(size), m.dir("wapt"), "rewritten")
	write(t, rng.data(size), m.dir("wapt"), "deleted")
	m.start()
	m.waitKnows("wapt", 3, time.Minute)
	m.admit(r)
	r.start()
	stage := filepath.Join(r.dir("wapt"), hiddenFolder, "stage")
	if !poll(time.Minute, 5*time.Millisecond, func() bool { return len(files(t, stage)) > 0 || len(files(t, r.dir("wapt"))) > 0 }) {
		t.Fatal("the first copy did not begin")
	}
	check(t, os.Rename(write(t, rng.data(size/2), m.dir("wapt"), "new"), filepath.Join(m.dir("wapt"), "replaced")))
	f, err := os.OpenFile(filepath.Join(m.dir("wapt"), "rewritten"), os.O_RDWR, 0)
	check(t, err)
	_, err = f.Seek(int64(size/2), io.SeekStart)
	check(t, err)
	_, err = f.Write(rng.data(size / 4))
	check(t, err)
	check(t, f.Close())
	check(t, os.Remove(filepath.Join(m.dir("wapt"), "deleted")))
	(&comparison{bumps: 1}).wait(t, 2*time.Minute, m, r)
}
