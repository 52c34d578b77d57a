//go:build linux

package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// keptGenerations is how many indexes an archive keeps by their digests, and
// how long it keeps a package after the index has forgotten it. Debian's own
// archive does both, so that who holds an old index finds what it names.
const keptGenerations = 3

// archive is a Debian archive of small packages, kept as archives are: packages
// first, then the indexes by their digests, the indexes, Release; and what no
// index of the last generations names goes last. One goroutine at a time.
type archive struct {
	t      *testing.T
	rng    *random
	root   string
	byHash bool
	// itself: Release names the Release before it, as apt-ftparchive makes it
	// where nobody told it not to look at that name.
	itself     bool
	packages   []string
	versions   map[string]int
	generation int
	// old files by the generation in which the index forgot them
	forgotten map[int][]string
	current   map[string]string // package to pool file, relative to root
}

func newArchive(t *testing.T, rng *random, root string, byHash, itself bool, packages int) *archive {
	t.Helper()
	a := &archive{t: t, rng: rng, root: root, byHash: byHash, itself: itself, versions: map[string]int{},
		forgotten: map[int][]string{}, current: map[string]string{}}
	for i := range packages {
		name := fmt.Sprintf("wstest%02d", i)
		a.packages = append(a.packages, name)
		a.build(name)
	}
	a.index()
	return a
}

// step upgrades a few packages and publishes them.
func (a *archive) step() {
	a.t.Helper()
	for range 1 + a.rng.IntN(2) {
		a.build(a.packages[a.rng.IntN(len(a.packages))])
	}
	a.index()
}

// build makes the next version of a package and puts it into the pool.
func (a *archive) build(name string) {
	a.t.Helper()
	a.versions[name]++
	tree := filepath.Join(a.t.TempDir(), name)
	makeDirs(a.t, filepath.Join(tree, "DEBIAN"), filepath.Join(tree, "usr", "share", name))
	write(a.t, a.rng.data(a.rng.between(100, 30_000)), tree, "usr", "share", name, "data")
	write(a.t, fmt.Appendf(nil, "Package: %s\nVersion: %d\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: package of a test\n",
		name, a.versions[name]), tree, "DEBIAN", "control")
	dir := filepath.Join("pool", "main", name[:1], name)
	makeDirs(a.t, filepath.Join(a.root, dir))
	file := filepath.Join(dir, fmt.Sprintf("%s_%d_all.deb", name, a.versions[name]))
	tmp := filepath.Join(a.root, file+".new")
	check(a.t, tool("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, tmp))
	check(a.t, os.Rename(tmp, filepath.Join(a.root, file)))
	check(a.t, os.RemoveAll(tree))
	if old := a.current[name]; old != "" {
		a.forgotten[a.generation+1] = append(a.forgotten[a.generation+1], old)
	}
	a.current[name] = file
}

// index makes Packages and Release with apt-ftparchive and puts them in place.
func (a *archive) index() {
	a.t.Helper()
	a.generation++
	dist := filepath.Join(a.root, "dists", "stable")
	binary := filepath.Join(dist, "main", "binary-amd64")
	makeDirs(a.t, binary)
	packages := a.stanzas()
	zipped := compress(a.t, packages)
	if a.byHash {
		for _, data := range [][]byte{packages, zipped} {
			sum := fmt.Sprintf("%x", sha256.Sum256(data))
			dir := filepath.Join(binary, "by-hash", "SHA256")
			makeDirs(a.t, dir)
			replaceFile(a.t, data, dir, sum)
			a.forgotten[a.generation+1] = append(a.forgotten[a.generation+1], strings.TrimPrefix(filepath.Join(dir, sum), a.root+"/"))
		}
	}
	replaceFile(a.t, packages, binary, "Packages")
	replaceFile(a.t, zipped, binary, "Packages.gz")
	replaceFile(a.t, a.release(dist), dist, "Release")

	for g, files := range a.forgotten {
		if g > a.generation-keptGenerations {
			continue
		}
		for _, f := range files {
			if !slices.Contains(a.forgotten[a.generation+1], f) {
				check(a.t, os.Remove(filepath.Join(a.root, f)))
			}
		}
		delete(a.forgotten, g)
	}
}

// stanzas is the index. One package at a time, since the pool has old versions too.
func (a *archive) stanzas() []byte {
	a.t.Helper()
	var out bytes.Buffer
	for _, name := range a.packages {
		cmd := exec.Command("apt-ftparchive", "packages", a.current[name])
		cmd.Dir = a.root
		b, err := cmd.Output()
		if err != nil {
			a.t.Fatalf("apt-ftparchive packages: %v", err)
		}
		out.Write(b)
	}
	return out.Bytes()
}

func (a *archive) release(dist string) []byte {
	a.t.Helper()
	// SHA256 is the strongest digest of Debian's own Release files, so it is the one
	// that apt asks for by name.
	args := []string{"-o", "APT::FTPArchive::Release::SHA512=false", "-o", "APT::FTPArchive::Release::Suite=stable", "-o", "APT::FTPArchive::Release::Components=main",
		"-o", "APT::FTPArchive::Release::Architectures=amd64"}
	if !a.itself {
		args = append(args, "-o", "APT::FTPArchive::Release::Default-Patterns=false",
			"-o", "APT::FTPArchive::Release::Patterns::=Packages", "-o", "APT::FTPArchive::Release::Patterns::=Packages.gz")
	}
	if a.byHash {
		args = append(args, "-o", "APT::FTPArchive::Release::Acquire-By-Hash=yes")
	}
	cmd := exec.Command("apt-ftparchive", append(args, "release", dist)...)
	out, err := cmd.Output()
	if err != nil {
		a.t.Fatalf("apt-ftparchive release: %v", err)
	}
	return out
}

func compress(t *testing.T, data []byte) []byte {
	t.Helper()
	cmd := exec.Command("gzip", "-9nc")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	check(t, err)
	return out
}
