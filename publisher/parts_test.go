package publisher

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"waptsync/bus"
	"waptsync/objects"
)

func TestExcludes(t *testing.T) {
	x, err := NewExcludes([]string{"*.tmp", "/logs", "cache/*.bin"})
	must(t, err)
	tests := []struct {
		path     string
		dir      bool
		excluded bool
	}{
		{"waptAb3_9z", false, true},
		{"sub/waptAb3_9zQ1", false, true},
		{"waptserver", true, false},
		{"waptdeploy.exe", false, false},
		{"waptsetup", false, false}, // five letters
		{"Packages", false, false},
		{"Packages.20240102030405", false, true},
		{"Packages.gz", false, false},
		{".waptagent.exe", false, true},
		{"waptagent.exe", false, false},
		{".htaccess", false, false},
		{".site.config", false, false},
		{".pkg.wapt.aB3dE9", false, true},
		{".file.swp", false, true},
		{"file~", false, true},
		{"sub/.syncthing.x.wapt.tmp", false, true},
		{"x.filepart", false, true},
		{".~tmp~", true, true},
		{".waptsync", true, true},
		{"sub/.waptsync", true, false},
		{".stversions", true, true},
		{"a.tmp", false, true},
		{"sub/a.tmp", true, true},
		{"logs", true, true},
		{"sub/logs", true, false},
		{"cache/x.bin", false, true},
		{"cache/sub/x.bin", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			if got := x.Match(tt.path, tt.dir); got != tt.excluded {
				t.Errorf("excluded: %v", got)
			}
		})
	}
	if _, err := NewExcludes([]string{"[a"}); err == nil {
		t.Error("a malformed pattern was taken")
	}
}

func TestTreeCountsWhatItHolds(t *testing.T) {
	tr := newTree("")
	file := entry{kind: bus.KindFile, size: 10}
	dir := entry{kind: bus.KindDir, mode: 0o755}
	tr.put("a/b/f", file) // before its directories, as a replay can
	tr.put("a", dir)
	tr.put("a/b", dir)
	tr.put("g", file)
	tr.put("g", entry{kind: bus.KindFile, size: 7})
	tr.put("l", entry{kind: bus.KindSymlink})
	if got, want := tr.sum(), (counts{files: 2, dirs: 2, links: 1, bytes: 17}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	var order []string
	tr.walk("", func(p string, _ entry) bool { order = append(order, p); return true })
	if slices.Index(order, "a/b/f") > slices.Index(order, "a/b") || slices.Index(order, "a/b") > slices.Index(order, "a") {
		t.Errorf("a directory before what is in it: %q", order)
	}
	tr.put("a/b/f", dir)
	tr.put("a/b/f", file)
	tr.delete("a/b/f")
	tr.delete("a/b")
	tr.delete("a")
	tr.delete("never/was")
	if got, want := tr.sum(), (counts{files: 1, links: 1, bytes: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if names := tr.list(""); len(names) != 2 {
		t.Errorf("names %q", names)
	}
}

func TestEntryKeepsContent(t *testing.T) {
	for _, c := range []bus.Content{
		{},
		{Size: 1, Objects: 1, Digest: [32]byte{1}},
		{Size: 1, Objects: 1, HasMD5: true, MD5: [16]byte{2}},
		{Size: 1 << 40, Objects: 5, Digest: [32]byte{1}, Manifest: [32]byte{3}, HasMD5: true},
	} {
		e := &bus.Event{Kind: bus.KindFile, Content: c}
		if got := entryOf(e).content(); got != c {
			t.Errorf("%+v, want %+v", got, c)
		}
	}
}

func TestQuietWaitsForTheLastChange(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).UnixNano() }
	tests := []struct {
		name         string
		mtime, ctime int64
		want         time.Duration
	}{
		{"long ago", at(-time.Hour), at(-time.Hour), 0},
		{"just now", at(0), at(0), time.Second},
		{"half way", at(-time.Hour), at(-400 * time.Millisecond), 600 * time.Millisecond},
		{"mtime set to the future", at(time.Hour), at(-time.Hour), 0},
		{"clock of a server ahead", at(time.Hour), at(time.Hour), time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (stat{mtime: tt.mtime, ctime: tt.ctime}).quiet(now, time.Second); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestProblemsAreShownInOrderAndRetriedEverLater(t *testing.T) {
	var b problemBook
	for i := range 50 {
		b.add(fmt.Sprintf("p%02d", i), "read", os.ErrPermission)
	}
	b.note("a-link", opSkip, "why", "")
	failing, skipped, list := b.report()
	if failing != 50 || skipped != 1 || len(list) != maxProblems || list[0].Path != "p00" || list[0].Hint == "" {
		t.Errorf("%d failing, %d skipped, %d shown, first %+v", failing, skipped, len(list), list[0])
	}
	var last time.Duration
	for range 20 {
		last = time.Until(b.add("p00", "read", errors.New("again")))
	}
	if last < retryMax/3 || last > retryMax {
		t.Errorf("the pause is %s", last)
	}
	for i := range 50 {
		b.clear(fmt.Sprintf("p%02d", i))
	}
	b.clear("a-link")
	if failing, skipped, list := b.report(); failing+skipped+len(list) != 0 {
		t.Errorf("%d failing, %d skipped, %+v", failing, skipped, list)
	}
}

// What is put is found at once, and is in the file soon, durably, without a Close.
func TestManifestsAreStoredSoon(t *testing.T) {
	file := filepath.Join(t.TempDir(), "manifests.db")
	m, err := OpenManifests(file)
	must(t, err)
	if m.db.DB().NoSync {
		t.Error("the file is written without syncs")
	}
	large := make([]byte, manifestUnstored)
	for n := range byte(3) {
		m.Put([32]byte{n}, []byte{n})
	}
	m.Put([32]byte{3}, large) // so much is stored now
	m.Put([32]byte{4}, []byte{4})
	for n, want := range [][]byte{{0}, {1}, {2}, large, {4}} {
		if got, ok := m.Get([32]byte{byte(n)}); !ok || !bytes.Equal(got, want) {
			t.Errorf("%d is not found", n)
		}
	}
	stored := func() int {
		n := 0
		must(t, m.db.View(func(tx *bbolt.Tx) error { n = tx.Bucket(manifestBucket).Stats().KeyN; return nil }))
		return n
	}
	if n := stored(); n != 4 {
		t.Errorf("%d are stored at once, want 4", n)
	}
	for begin := time.Now(); stored() != 5; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*manifestPause {
			t.Fatal("the last one is not stored")
		}
	}
	m.Put([32]byte{5}, []byte{5})
	must(t, m.Close())
	m, err = OpenManifests(file)
	must(t, err)
	defer m.Close()
	if got, ok := m.Get([32]byte{5}); !ok || got[0] != 5 {
		t.Error("what was put before Close is lost")
	}
}

func TestDamagedManifestStoreIsMadeAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "manifests")
	must(t, os.WriteFile(file, noise(1, 64<<10), 0o600))
	m, err := OpenManifests(file)
	must(t, err)
	m.Put([32]byte{1}, []byte("one"))
	m.Put([32]byte{2}, []byte("two"))
	must(t, m.Prune(func(id objects.ID) bool { return id[0] == 1 }))
	if b, ok := m.Get([32]byte{1}); !ok || string(b) != "one" {
		t.Errorf("%q %v", b, ok)
	}
	if _, ok := m.Get([32]byte{2}); ok {
		t.Error("pruned, and still there")
	}
	must(t, m.Close())
}

func TestTreeForgetsDirectoriesThatNothingStandsFor(t *testing.T) {
	tr := newTree("")
	tr.put("a/b/f", entry{kind: bus.KindFile})
	tr.put("a/g", entry{kind: bus.KindFile})
	tr.delete("a/b/f")
	if names := tr.list("a"); len(names) != 1 {
		t.Errorf("names %q", names)
	}
	tr.delete("a/g")
	if names := tr.list(""); len(names) != 0 {
		t.Errorf("names %q", names)
	}
}
