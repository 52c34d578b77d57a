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
