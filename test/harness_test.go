//go:build linux

package test

import (
	"crypto/md5"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The tests of this file hold the harness itself: a comparison that sees
// nothing would let every other test pass.

func TestComparisonSeesEveryDifference(t *testing.T) {
	when := time.Date(2025, 3, 1, 12, 0, 0, 123456789, time.UTC)
	cases := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string // part of the one difference; empty: equal
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"hidden folder", func(t *testing.T, dir string) { makeDirs(t, filepath.Join(dir, hiddenFolder, "stage")) }, ""},
		{"hidden folder deeper", func(t *testing.T, dir string) { makeDirs(t, filepath.Join(dir, "d", hiddenFolder)) }, "want nothing"},
		{"content", func(t *testing.T, dir string) {
			write(t, []byte("HELLO"), dir, "d", "f")
			chtimes(t, filepath.Join(dir, "d", "f"), when)
		}, "SHA-256"},
		{"size", func(t *testing.T, dir string) {
			write(t, []byte("hello!"), dir, "d", "f")
			chtimes(t, filepath.Join(dir, "d", "f"), when)
		}, "6 bytes"},
		{"a nanosecond", func(t *testing.T, dir string) { chtimes(t, filepath.Join(dir, "d", "f"), when.Add(1)) }, "123456790"},
		{"a second", func(t *testing.T, dir string) { chtimes(t, filepath.Join(dir, "d", "f"), when.Add(time.Second)) }, "12:00:01"},
		{"mode", func(t *testing.T, dir string) { check(t, os.Chmod(filepath.Join(dir, "d", "f"), 0o600)) }, "-rw-------"},
		{"folder mode", func(t *testing.T, dir string) { check(t, os.Chmod(filepath.Join(dir, "d"), 0o700)) }, "is folder -rwx------"},
		{"target", func(t *testing.T, dir string) {
			check(t, os.Remove(filepath.Join(dir, "l")))
			check(t, os.Symlink("d", filepath.Join(dir, "l")))
		}, `link to "d"`},
		{"missing", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "d", "f"))) }, "missing"},
		{"additional", func(t *testing.T, dir string) { write(t, nil, dir, "d", "g\xff") }, `g\xff`},
		{"kind", func(t *testing.T, dir string) {
			check(t, os.Remove(filepath.Join(dir, "d", "f")))
			makeDirs(t, filepath.Join(dir, "d", "f"))
		}, "is folder"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := t.TempDir(), t.TempDir()
			for _, dir := range []string{a, b} {
				makeDirs(t, filepath.Join(dir, "d"))
				chtimes(t, write(t, []byte("hello"), dir, "d", "f"), when)
				check(t, os.Symlink("d/f", filepath.Join(dir, "l")))
			}
			c.change(t, b)
			d, err := (&comparison{}).differences(a, b)
			check(t, err)
			if c.want == "" && len(d) > 0 || c.want != "" && (len(d) != 1 || !strings.Contains(d[0], c.want)) {
				t.Errorf("got %q, want one with %q", d, c.want)
			}
		})
	}
}

func TestComparisonAllowsBumpedSecondsOnlyWhereTold(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	when := time.Date(2025, 3, 1, 12, 0, 0, 5, time.UTC)
	chtimes(t, write(t, nil, a, "f"), when)
	f := write(t, nil, b, "f")
	for ahead, want := range map[time.Duration]bool{
		2 * time.Second: true, 3 * time.Second: false, -time.Second: false, time.Second + 1: false,
	} {
		chtimes(t, f, when.Add(ahead))
		d, err := (&comparison{bumps: 2}).differences(a, b)
		check(t, err)
		if (len(d) == 0) != want {
			t.Errorf("ahead by %v: got %q", ahead, d)
		}
	}
}

func TestRepositoryIsWhatItsIndexSays(t *testing.T) {
	dir, hosts := t.TempDir(), t.TempDir()
	r := newRepository(t, newRandom(t), dir, hosts)
	r.add("tis-one", "1.0-1", 1000)
	gone := r.add("tis-two", "2.0-1", 0)
	r.index()
	r.remove(gone)
	r.add("tis-two", "2.1-1", 50_000)
	r.index()
	data, err := os.ReadFile(filepath.Join(dir, "Packages"))
	check(t, err)
	named, err := readIndex(data)
	check(t, err)
	if len(named) != 2 {
		t.Errorf("the index names %d files, want 2: %v", len(named), named)
	}
	for file, sum := range named {
		b, err := os.ReadFile(filepath.Join(dir, file))
		check(t, err)
		if got := fmt.Sprintf("%x", md5.Sum(b)); got != sum {
			t.Errorf("%s: MD5 %s, the index says %s", file, got, sum)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) != 3 {
		t.Errorf("the folder holds %d entries, want 3", len(list))
	}
	r.addHosts(5)
	if list, _ := os.ReadDir(hosts); len(list) != 5 {
		t.Errorf("the hosts' folder holds %d entries, want 5", len(list))
	}
}

func TestSelfCheckingContentShowsEveryTear(t *testing.T) {
	rng := newRandom(t)
	a, b := selfChecking(rng, 5000), selfChecking(rng, 5000)
	check(t, verifySelfChecking(a))
	torn := map[string][]byte{
		"empty":     {},
		"cut":       a[:4000],
		"mixture":   append(append([]byte{}, a[:3000]...), b[3000:]...),
		"too long":  append(append([]byte{}, a...), 0),
		"one bit":   append(append([]byte{}, a[:100]...), append([]byte{a[100] ^ 1}, a[101:]...)...),
		"only head": a[:selfHeader],
	}
	for name, data := range torn {
		if verifySelfChecking(data) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}

func TestChurnKnowsItsTree(t *testing.T) {
	rng := newRandom(t)
	dir := t.TempDir()
	c := newChurn(rng, dir, 200)
	check(t, c.run(3000))
	got, err := readTree(dir)
	check(t, err)
	for path, e := range got {
		if e.kind.IsDir() && !c.dirs[path] || e.kind.IsRegular() && !c.files[path] {
			t.Errorf("%q: not known", path)
		}
	}
	if len(got) != len(c.files)+len(c.dirs)-1 { // without the root
		t.Errorf("%d paths, known are %d files and %d folders", len(got), len(c.files), len(c.dirs))
	}
	stop, seen := make(chan struct{}), make(chan []string)
	go func() { seen <- watch(dir, stop) }()
	write(t, []byte("torn"), dir, "n999999")
	write(t, selfChecking(rng, 5), dir, "temporary")
	if s := <-seen; len(s) < maxDiffs { // it sees both in each round
		t.Errorf("saw only %q", s)
	}
}

func TestNetworkCutsAndCounts(t *testing.T) {
	lab.net.needNamespaces(t)
	var l net.Listener
	check(t, lab.net.main.Inside(func() (err error) {
		l, err = net.Listen("tcp", lab.net.mainIP+":0")
		return err
	}))
	defer l.Close()
	dial := func() error {
		c, err := lab.net.remote.Dial(l.Addr().String(), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
	before := lab.net.wire(t)
	check(t, dial())
	if n := lab.net.wire(t) - before; n < 150 || n > 5000 {
		t.Errorf("a connection took %d bytes on the wire", n)
	}
	lab.net.cut(t)
	if dial() == nil {
		t.Error("the cut link still works")
	}
	lab.net.heal(t)
	check(t, dial())
}

func chtimes(t *testing.T, name string, when time.Time) {
	t.Helper()
	check(t, os.Chtimes(name, when, when))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
