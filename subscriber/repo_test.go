package subscriber

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// waptRepo is a WAPT repository on the main. Its methods change the folder in
// WAPT's order and publish what a publisher would: an index once all that it
// names is published.
type waptRepo struct {
	m        *testMain
	rnd      *rand.Rand
	packages map[string][]byte // by file name
	next     int
}

func newRepo(m *testMain, rnd *rand.Rand) *waptRepo {
	return &waptRepo{m: m, rnd: rnd, packages: make(map[string][]byte)}
}

// upload adds a package under a name that only its content has.
func (w *waptRepo) upload(size int) string {
	w.next++
	b := seeded(w.rnd.Uint64(), size)
	name := sprint("tis-app%d_%d_%x.wapt", w.rnd.IntN(5), w.next, md5.Sum(b))
	w.packages[name] = b
	w.m.put(name, b)
	return name
}

// replace gives a package new content under its old name.
func (w *waptRepo) replace(name string, size int) {
	b := seeded(w.rnd.Uint64(), size)
	w.packages[name] = b
	w.m.put(name, b)
}

// remove unlinks a package before the index is written anew.
func (w *waptRepo) remove(name string) {
	delete(w.packages, name)
	w.m.remove(name)
}

// index writes and publishes Packages.
func (w *waptRepo) index() {
	w.m.put("Packages", waptIndex(w.m.t, w.packages))
}

func (w *waptRepo) any() string {
	names := slices.Sorted(maps.Keys(w.packages))
	return names[w.rnd.IntN(len(names))]
}

// step does one of the things that a WAPT Server does.
func (w *waptRepo) step(most int) {
	size := func() int { return 100 + w.rnd.IntN(most) }
	switch n := w.rnd.IntN(10); {
	case n < 3 || len(w.packages) < 4:
		w.upload(size())
	case n < 5: // a new version: the old one is deleted before the index
		old := w.any()
		w.upload(size())
		w.remove(old)
	case n < 7:
		w.replace(w.any(), size())
	case n < 8: // signed again: all are replaced
		for _, name := range slices.Sorted(maps.Keys(w.packages)) {
			w.replace(name, len(w.packages[name]))
		}
	case n < 9:
		w.remove(w.any())
	default: // the index alone
	}
	w.index()
}

// waptIndex makes the zip that WAPT calls Packages.
func waptIndex(t testing.TB, packages map[string][]byte) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		text.WriteString(stanza(name, packages[name]))
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	f, err := z.Create("Packages")
	must(t, err)
	_, err = f.Write(text.Bytes())
	must(t, err)
	must(t, z.Close())
	return out.Bytes()
}

func stanza(name string, b []byte) string {
	return sprint("package           : x\nfilename          : %s\nsize              : %d\nmd5sum            : %x\n\n", name, len(b), md5.Sum(b))
}

// index writes an index that names files as the main has them.
func (m *testMain) index(path string, names ...string) {
	m.t.Helper()
	packages := make(map[string][]byte)
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(m.dir, n))
		must(m.t, err)
		packages[n] = b
	}
	m.write(path, waptIndex(m.t, packages))
}
