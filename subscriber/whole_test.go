package subscriber

import (
	"os"
	"path/filepath"
	"testing"
)

// A main's disk that gives other bytes for a while, or a file that changed with
// its times kept: nothing of it shows, and what came right is not asked for again.
func TestWrongBytesOfTheMainAreFoundAndOnlyTheyComeAgain(t *testing.T) {
	m := startMain(t)
	want := random(8 << 20)
	m.put("big.wapt", want)
	damaged := append([]byte(nil), want...)
	damaged[3<<20] ^= 1
	must(t, os.WriteFile(filepath.Join(m.files.dir, "big.wapt"), damaged, 0o644))
	r := newRemote(t, m, "colmar")
	r.start()
	r.problem("big.wapt", "1 objects came with other bytes")
	if _, err := os.Lstat(r.path("big.wapt")); err == nil {
		t.Error("it became visible")
	}
	must(t, os.WriteFile(filepath.Join(m.files.dir, "big.wapt"), want, 0o644))
	before := m.files.served.Load()
	r.has("big.wapt", want)
	r.reached()
	if got := m.files.served.Load() - before; got > 1<<20 {
		t.Errorf("%d bytes came again", got)
	}
}

// A file of this host that has other bytes than the state says, with its times
// kept, costs what it cannot give, and never shows in what is made from it.
func TestADamagedRelativeIsMadeUpForByTheMain(t *testing.T) {
	m := startMain(t)
	old := random(8 << 20)
	m.put("tis-app_1.0_x64.wapt", old)
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	path := r.path("tis-app_1.0_x64.wapt")
	st, err := os.Stat(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("damaged"), 5<<20)
	must(t, err)
	must(t, f.Close())
	must(t, os.Chtimes(path, st.ModTime(), st.ModTime()))
	next := append(random(10_000), old...)
	before := r.r.Report()
	m.put("tis-app_1.1_x64.wapt", next)
	r.has("tis-app_1.1_x64.wapt", next)
	r.reached()
	after := r.r.Report()
	if got := after.Received - before.Received; got > 2<<20 {
		t.Errorf("%d bytes came for one damaged object and 10,000 new bytes", got)
	}
}
