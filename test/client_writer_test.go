//go:build linux

package test

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// writer changes a WAPT repository by the steps of a WAPT Server, at random,
// and of the tools beside it: uploads, deletions (files first, index after),
// replaced and re-signed packages, host packages, slow copies by hand. One
// goroutine at a time.
type writer struct {
	*repository
	packages []*wapt
	hosts    []string // of repository.hosts; the first ones are never deleted
	copying  chan *wapt
	done     map[string]int // steps by kind
	made     int
}

// wapt is a package of the repository.
type wapt struct {
	name, version, file string
	data                []byte
	// legacy names carry no MD5, as before WAPT 1.8: a new content takes the
	// place of the old one under the same name.
	legacy bool
}

const (
	keptHosts = 30              // hosts that are never deleted, so a remote must always have them
	agentFile = "waptagent.exe" // overwritten in place while it is uploaded (wapt.md 1.3)
)

func newWriter(t *testing.T, rng *random, dir, hosts string, packages int) *writer {
	t.Helper()
	w := &writer{repository: newRepository(t, rng, dir, hosts), done: map[string]int{}}
	for range packages {
		w.upload(w.fresh())
	}
	w.rewriteIndex()
	for range 2 * keptHosts {
		w.addHost()
	}
	write(t, selfChecking(rng, 50_000), dir, agentFile)
	return w
}

// step makes one change with all that the server does for it.
func (w *writer) step() {
	w.t.Helper()
	kinds := []struct {
		name   string
		weight int
		do     func()
	}{
		{"upgrades", 25, w.upgrade},
		{"uploads", 10, func() {
			if len(w.packages) < 60 {
				w.upload(w.fresh())
				w.rewriteIndex()
			}
		}},
		{"deletions", 10, w.deleteSome},
		{"replacements under the same name", 10, w.replaceLegacy},
		{"packages signed anew in place", 10, w.sign},
		{"indexes rewritten", 5, w.rewriteIndex},
		{"host packages", 20, w.changeHosts},
		{"slow copies by hand", 5, w.startCopy},
		{"installers overwritten in place", 5, w.overwriteInstaller},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	n := w.rng.IntN(total)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			k.do()
			w.done[k.name]++
			break
		}
	}
	w.finishCopy()
}

// fresh is a package of a new name; one in four has a legacy name.
func (w *writer) fresh() *wapt {
	w.made++
	return &wapt{name: fmt.Sprintf("tis-app%04d", w.made), version: "1-1", legacy: w.made%4 == 0}
}

func (w *writer) size() int {
	switch w.rng.IntN(60) {
	case 0:
		return w.rng.between(500_000, 3_000_000)
	case 1, 2, 3:
		return w.rng.between(50_000, 400_000)
	}
	return w.rng.between(0, 25_000)
}

func (p *wapt) build(w *writer) {
	w.made++
	p.version = fmt.Sprintf("1-%d", w.made)
	p.data = makePackage(w.t, p.name, p.version, w.rng.data(w.size()))
}

// called is the file name that WAPT gives the package.
func (p *wapt) called() string {
	if p.legacy {
		return p.name + "_1_all.wapt"
	}
	return fmt.Sprintf("%s_%s_x64_windows_PROD_%x.wapt", p.name, p.version, md5.Sum(p.data))
}

// register makes the next index name the package.
func (w *writer) register(p *wapt) {
	w.stanzas[p.file] = control(p.name, p.version) + field("filename", p.file) +
		field("size", fmt.Sprint(len(p.data))) + field("md5sum", fmt.Sprintf("%x", md5.Sum(p.data)))
}

func (w *writer) upload(p *wapt) {
	w.t.Helper()
	p.build(w)
	p.file = p.called()
	w.replace(w.dir, p.file, p.data)
	w.register(p)
	w.packages = append(w.packages, p)
}

// upgrade uploads the next version; the old one goes after a second index, or
// before the first.
func (w *writer) upgrade() {
	i := w.rng.IntN(len(w.packages))
	old := w.packages[i]
	if old.legacy {
		w.replaceLegacy()
		return
	}
	w.packages = slices.Delete(w.packages, i, i+1)
	w.upload(&wapt{name: old.name})
	if w.rng.IntN(2) == 0 {
		w.rewriteIndex()
	}
	w.remove(old.file)
	wait(w.rng, 100)
	w.rewriteIndex()
}

// deleteSome unlinks the files first and rewrites the index after, which takes
// long in a big repository.
func (w *writer) deleteSome() {
	for range 1 + w.rng.IntN(3) {
		if len(w.packages) > 15 {
			i := w.rng.IntN(len(w.packages))
			w.remove(w.packages[i].file)
			w.packages = slices.Delete(w.packages, i, i+1)
		}
	}
	wait(w.rng, []int{50, 300, 300, 2500}[w.rng.IntN(4)])
	w.rewriteIndex()
}

func (w *writer) replaceLegacy() {
	var legacy []*wapt
	for _, p := range w.packages {
		if p.legacy {
			legacy = append(legacy, p)
		}
	}
	if len(legacy) == 0 {
		return
	}
	for range 1 + w.rng.IntN(2) {
		p := legacy[w.rng.IntN(len(legacy))]
		p.build(w)
		w.replace(w.dir, p.file, p.data)
		w.register(p)
	}
	wait(w.rng, 50)
	w.rewriteIndex()
}

// sign is wapt-signpackages: the zip is appended to in place, its mtime set to
// the signature's whole second, then the file gets its canonical name.
func (w *writer) sign() {
	w.t.Helper()
	for range 1 + w.rng.IntN(3) {
		p := w.packages[w.rng.IntN(len(w.packages))]
		p.version += "+"
		next := append(bytes.Clone(p.data), makePackage(w.t, p.name, p.version, w.rng.data(300))...)
		path := filepath.Join(w.dir, p.file)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		w.check(err)
		for from := len(p.data); from < len(next); from += 200 {
			_, err = f.WriteAt(next[from:min(from+200, len(next))], int64(from))
			w.check(err)
		}
		w.check(f.Close())
		signed := time.Now().Truncate(time.Second).Add(-time.Duration(w.rng.IntN(3)) * time.Second)
		w.check(os.Chtimes(path, signed, signed))
		wait(w.rng, 30)
		delete(w.stanzas, p.file)
		p.data = next
		if called := p.called(); called != p.file {
			w.check(os.Rename(path, filepath.Join(w.dir, called)))
			p.file = called
		}
		w.register(p)
	}
	wait(w.rng, 50)
	w.rewriteIndex()
}

// rewriteIndex writes another zip each time, as WAPT 1.8 does: its members
// carry the time. Otherwise it is repository.index.
func (w *writer) rewriteIndex() {
	w.t.Helper()
	var text bytes.Buffer
	for _, f := range slices.Sorted(maps.Keys(w.stanzas)) {
		text.WriteString(w.stanzas[f] + "\n")
	}
	w.indexed++
	data := makeZip(w.t, zipMember{"Packages", text.Bytes(), zip.Deflate},
		zipMember{"ssl/made", fmt.Appendf(nil, "%d", w.indexed), zip.Store})
	tmp := filepath.Join(w.dir, fmt.Sprintf("Packages.%014d", 20250101000000+w.indexed))
	w.check(os.WriteFile(tmp, data, 0o644))
	target := filepath.Join(w.dir, "Packages")
	if err := os.Remove(target); !errors.Is(err, os.ErrNotExist) {
		w.check(err)
	}
	w.check(os.Rename(tmp, target))
}

// changeHosts makes host packages anew, and sometimes adds or deletes one.
func (w *writer) changeHosts() {
	for range 1 + w.rng.IntN(10) {
		w.host(w.hosts[w.rng.IntN(len(w.hosts))])
	}
	switch w.rng.IntN(4) {
	case 0:
		w.addHost()
	case 1:
		if len(w.hosts) > 2*keptHosts {
			i := w.rng.between(keptHosts, len(w.hosts)-1)
			w.check(os.Remove(filepath.Join(w.repository.hosts, w.hosts[i])))
			w.hosts = slices.Delete(w.hosts, i, i+1)
		}
	}
}

func (w *writer) addHost() {
	u := w.rng.data(16)
	w.hosts = append(w.hosts, fmt.Sprintf("%X-%X-%X-%X-%X.wapt", u[:4], u[4:6], u[6:8], u[8:10], u[10:]))
	w.host(w.hosts[len(w.hosts)-1])
}

// host uploads a host package; its content shows each tear.
func (w *writer) host(file string) {
	w.replace(w.repository.hosts, file, selfChecking(w.rng, w.rng.between(2000, 8000)))
}

// startCopy begins to copy a package in by hand: in place, slowly, at random
// paces. The index names it when it is whole.
func (w *writer) startCopy() {
	if w.copying != nil {
		return
	}
	p := w.fresh()
	p.legacy = false
	p.build(w)
	p.file = p.called()
	pieces := 2 + w.rng.IntN(10)
	pace := time.Duration(w.rng.IntN(300)) * time.Millisecond
	w.copying = make(chan *wapt, 1)
	go func() {
		defer close(w.copying)
		f, err := os.OpenFile(filepath.Join(w.dir, p.file), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		for piece := range slices.Chunk(p.data, len(p.data)/pieces+1) {
			if err == nil {
				_, err = f.Write(piece)
				time.Sleep(pace)
			}
		}
		if err == nil && f.Close() == nil {
			w.copying <- p
		}
	}()
}

func (w *writer) finishCopy() {
	if w.copying == nil {
		return
	}
	select {
	case p, ok := <-w.copying:
		if !ok {
			w.t.Fatal("the slow copy failed")
		}
		w.copying = nil
		w.register(p)
		w.packages = append(w.packages, p)
		w.rewriteIndex()
	default:
	}
}

// settle ends what is under way and writes a last index.
func (w *writer) settle() {
	for w.copying != nil {
		time.Sleep(10 * time.Millisecond)
		w.finishCopy()
	}
	w.rewriteIndex()
}

func (w *writer) overwriteInstaller() {
	data := selfChecking(w.rng, w.rng.between(10_000, 100_000))
	f, err := os.Create(filepath.Join(w.dir, agentFile))
	w.check(err)
	for piece := range slices.Chunk(data, len(data)/3+1) {
		_, err = f.Write(piece)
		w.check(err)
		wait(w.rng, 10)
	}
	w.check(f.Close())
}

func (w *writer) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
