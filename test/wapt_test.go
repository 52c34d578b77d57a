//go:build linux

package test

import (
	"archive/zip"
	"bytes"
	"crypto/md5"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// repository writes a WAPT repository the way WAPT 1.8 and 2.5 do: packages
// come by a temporary name, the target is unlinked and the new file renamed
// in; the index follows the packages, and is itself unlinked before it is
// moved in. One goroutine at a time.
type repository struct {
	t       *testing.T
	rng     *random
	dir     string            // the folder "wapt"
	hosts   string            // the folder "wapt-host"; empty without one
	stanzas map[string]string // by file name
	indexed int               // counts the indexes written, for their temporary names
}

func newRepository(t *testing.T, rng *random, dir, hosts string) *repository {
	return &repository{t: t, rng: rng, dir: dir, hosts: hosts, stanzas: map[string]string{}}
}

// add writes a package of about size bytes and returns its file name. The
// index does not know it before index is called.
func (r *repository) add(name, version string, size int) string {
	r.t.Helper()
	return r.put(name, version, makePackage(r.t, name, version, r.rng.data(size)))
}

// stock adds n packages, and their index, and returns their files.
func (r *repository) stock(n int, size func() int) (files []string) {
	for i := range n {
		files = append(files, r.add(fmt.Sprintf("tis-app%02d", i), "1-1", size()))
	}
	r.index()
	return files
}

func sized(n int) func() int { return func() int { return n } }

// put writes the bytes of a package under the name that WAPT gives them.
func (r *repository) put(name, version string, data []byte) string {
	r.t.Helper()
	sum := fmt.Sprintf("%x", md5.Sum(data))
	file := fmt.Sprintf("%s_%s_x64_windows_PROD_%s.wapt", name, version, sum)
	r.replace(r.dir, file, data)
	r.stanzas[file] = control(name, version) +
		field("filename", file) + field("size", fmt.Sprint(len(data))) + field("md5sum", sum)
	return file
}

// name has the index name a file of the folder as it is, under a name without its MD5.
func (r *repository) name(file string) {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, file))
	if err != nil {
		r.t.Fatal(err)
	}
	r.stanzas[file] = control(file, "1-1") +
		field("filename", file) + field("size", fmt.Sprint(len(data))) + field("md5sum", fmt.Sprintf("%x", md5.Sum(data)))
}

// replace is WAPT's upload: temporary name, unlink, rename.
func (r *repository) replace(dir, file string, data []byte) {
	r.t.Helper()
	tmp := filepath.Join(dir, fmt.Sprintf("wapt%08x", r.rng.Uint32()))
	target := filepath.Join(dir, file)
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Remove(target); err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	if err := os.Rename(tmp, target); err != nil {
		r.t.Fatal(err)
	}
}

// remove unlinks packages; as with WAPT the index names them until index is called.
func (r *repository) remove(files ...string) {
	r.t.Helper()
	for _, f := range files {
		delete(r.stanzas, f)
		if err := os.Remove(filepath.Join(r.dir, f)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// index writes Packages anew: for a moment there is none.
func (r *repository) index() {
	r.t.Helper()
	var text bytes.Buffer
	for _, f := range slices.Sorted(maps.Keys(r.stanzas)) {
		text.WriteString(r.stanzas[f] + "\n")
	}
	data := makeZip(r.t, zipMember{"Packages", text.Bytes(), zip.Deflate})
	r.indexed++
	tmp := filepath.Join(r.dir, fmt.Sprintf("Packages.%014d", 20250101000000+r.indexed))
	target := filepath.Join(r.dir, "Packages")
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Remove(target); err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	if err := os.Rename(tmp, target); err != nil {
		r.t.Fatal(err)
	}
}

// addHosts writes n host packages of 3 to 8 kB and returns their file names.
// Such a package may be encrypted for its host, so it is no zip.
func (r *repository) addHosts(n int) []string {
	r.t.Helper()
	files := make([]string, n)
	for i := range files {
		u := r.rng.data(16)
		files[i] = fmt.Sprintf("%X-%X-%X-%X-%X.wapt", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
		r.host(files[i])
	}
	return files
}

// host makes one host package anew.
func (r *repository) host(file string) {
	r.t.Helper()
	r.replace(r.hosts, file, r.rng.data(r.rng.between(3000, 8000)))
}

func field(name, value string) string { return fmt.Sprintf("%-18s: %s\n", name, value) }

func control(name, version string) string {
	return field("package", name) + field("version", version) + field("architecture", "x64") +
		field("section", "base") + field("priority", "optional") + field("maintainer", "Test") +
		field("description", "A package of the tests\n with a second line") + field("maturity", "PROD")
}

type zipMember struct {
	name   string
	data   []byte
	method uint16
}

// makePackage returns a package's bytes: its payload is stored, not deflated,
// as an installer inside would be.
func makePackage(t *testing.T, name, version string, payload []byte) []byte {
	t.Helper()
	return makeZip(t,
		zipMember{"setup.py", []byte("from setuphelpers import *\n\ndef install():\n    pass\n"), zip.Deflate},
		zipMember{"setup.exe", payload, zip.Store},
		zipMember{"WAPT/control", []byte(control(name, version)), zip.Deflate})
}

func makeZip(t *testing.T, members ...zipMember) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: m.method, Modified: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readIndex returns what an index names: file name to MD5.
func readIndex(data []byte) (map[string]string, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	f, err := z.Open("Packages")
	if err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	defer f.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(f); err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	named := map[string]string{}
	var file string
	for line := range strings.Lines(text.String()) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "filename":
			file = value
		case "md5sum":
			named[file] = value
		}
	}
	return named, nil
}

// sparse makes a file of size bytes that is a hole but for a few pieces.
func sparse(t *testing.T, rng *random, size int64, elem ...string) {
	t.Helper()
	f, err := os.Create(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, size / 3, size - 100_000} {
		if _, err := f.WriteAt(rng.data(100_000), at); err != nil {
			t.Fatal(err)
		}
	}
}
