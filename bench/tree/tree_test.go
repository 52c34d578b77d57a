//go:build linux

package tree

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDifference(t *testing.T) {
	want := Tree{"a": 1, "d/b": 2}
	for _, c := range []struct {
		name string
		got  Tree
		says string
	}{
		{"equal", Tree{"d/b": 2, "a": 1}, ""},
		{"missing", Tree{"a": 1}, `"d/b" is missing`},
		{"size", Tree{"a": 1, "d/b": 3}, `"d/b" has 3 bytes of 2`},
		{"more", Tree{"a": 1, "d/b": 2, "c": 0}, `"c" is too many`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Difference(want, c.got); got != c.says {
				t.Errorf("says %q, want %q", got, c.says)
			}
		})
	}
}

func TestListSkipsWhatSystemsKeep(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{"a", "d/e/b", ".waptsync/stage/x", ".stfolder/y", ".syncthing.b.tmp"} {
		write(t, filepath.Join(dir, p), "12345")
	}
	before := time.Now().Add(-time.Minute)
	got, changed, err := List(dir)
	if err != nil || Difference(Tree{"a": 5, "d/e/b": 5}, got) != "" {
		t.Errorf("got %v, %v", got, err)
	}
	if changed.Before(before) || changed.After(time.Now().Add(time.Second)) {
		t.Errorf("changed at %v", changed)
	}
	if n, err := Count(dir); n != 2 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	if n, err := Count(filepath.Join(dir, "not there")); n != 0 || err != nil {
		t.Errorf("a folder that is not there counts %d, %v", n, err)
	}
}

func TestListTellsWhenAFileWent(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "1")
	write(t, filepath.Join(dir, "b"), "1")
	_, first, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // more than the clock of a file system needs
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if _, second, err := List(dir); err != nil || !second.After(first) {
		t.Errorf("changed at %v, and then at %v, %v", first, second, err)
	}
}

func TestDigestsSeeContent(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, filepath.Join(a, "f"), "one")
	write(t, filepath.Join(b, "f"), "two")
	da, db := NewDigests(a), NewDigests(b)
	files := Tree{"f": 3}
	update(t, files, da, db)
	if got := db.Differs(da); got != `"f" has another content (1 such files)` {
		t.Errorf("says %q", got)
	}
	write(t, filepath.Join(b, "f.new"), "one")
	if err := os.Rename(filepath.Join(b, "f.new"), filepath.Join(b, "f")); err != nil {
		t.Fatal(err)
	}
	update(t, files, da, db)
	if got := db.Differs(da); got != "" {
		t.Errorf("says %q of equal content", got)
	}
	if err := da.Update(Tree{"gone": 1}); !Gone(err) {
		t.Errorf("a file that is gone: %v", err)
	}
}

func TestMakerMakesTheSameForTheSameSeed(t *testing.T) {
	source := func() string {
		dir := t.TempDir()
		m := NewMaker(7)
		for _, s := range []string{"wapt", "hosts"} {
			if err := os.Mkdir(filepath.Join(dir, s), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Packages(filepath.Join(dir, "wapt"), 3_000_000); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Hosts(filepath.Join(dir, "hosts"), 10); err != nil {
			t.Fatal(err)
		}
		if err := m.Spread(filepath.Join(dir, "hosts"), filepath.Join(dir, "wapt"), 450); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	a, b := source(), source()
	files, _, err := List(a)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := List(b)
	if err != nil || Difference(files, other) != "" {
		t.Fatalf("names or sizes differ: %s, %v", Difference(files, other), err)
	}
	da, db := NewDigests(a), NewDigests(b)
	update(t, files, da, db)
	if d := db.Differs(da); d != "" {
		t.Error(d)
	}
	if files.Bytes() < 3_000_000 || len(files) < 10+450+2 {
		t.Errorf("%d files of %d bytes", len(files), files.Bytes())
	}
	index, err := os.ReadFile(filepath.Join(a, "wapt", "Packages"))
	if err != nil || !bytes.HasPrefix(index, []byte("PK")) {
		t.Errorf("the index: %v", err)
	}
}

func TestSparseCostsLittleDisk(t *testing.T) {
	p := filepath.Join(t.TempDir(), "sparse")
	if err := NewMaker(1).Sparse(p, 250<<20); err != nil {
		t.Fatal(err)
	}
	i, err := os.Stat(p)
	if err != nil || i.Size() != 250<<20 {
		t.Errorf("size %d, %v", i.Size(), err)
	}
	if n, err := Disk(filepath.Dir(p)); err != nil || n < 3<<20 || n > 4<<20 {
		t.Errorf("it takes %d bytes of disk, %v", n, err)
	}
}

func write(t *testing.T, p, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), fs.FileMode(0o644)); err != nil {
		t.Fatal(err)
	}
}

func update(t *testing.T, files Tree, ds ...*Digests) {
	t.Helper()
	for _, d := range ds {
		if err := d.Update(files); err != nil {
			t.Fatal(err)
		}
	}
}
