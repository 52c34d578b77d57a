//go:build linux

package tree

import (
	"archive/zip"
	"crypto/md5"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Maker writes sources. All bytes come from its seed, so every system gets the
// same trees. It is for one goroutine.
type Maker struct {
	*rand.Rand
	bytes    *rand.ChaCha8
	packages map[string]named // by path, for the index
}

type named struct {
	size int64
	md5  string
}

// NewMaker returns a maker that always makes the same for the same seed.
func NewMaker(seed uint64) *Maker {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	c := rand.NewChaCha8(key)
	return &Maker{Rand: rand.New(c), bytes: c, packages: make(map[string]named)}
}

// Data returns n bytes that nothing compresses, as most of a package is.
func (m *Maker) Data(n int) []byte {
	b := make([]byte, n)
	_, _ = m.bytes.Read(b) // never fails
	return b
}

// Between returns a number from low to high.
func (m *Maker) Between(low, high int) int { return low + m.IntN(high-low+1) }

// Package writes a package from what r gives and remembers it for the index.
func (m *Maker) Package(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("writing a package: %w", err)
	}
	h := md5.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, h)}, r, make([]byte, 1<<20))
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("writing a package: %w", err)
	}
	m.packages[path] = named{n, fmt.Sprintf("%x", h.Sum(nil))}
	return nil
}

// Remove takes a package away. The index names it until it is written anew.
func (m *Maker) Remove(path string) error {
	delete(m.packages, path)
	return os.Remove(path)
}

// Packages fills a folder with packages of 0.2 to 200 MB, spread evenly over
// the powers of ten, until they have total bytes together, and an index.
func (m *Maker) Packages(folder string, total int64) error {
	for i := 0; total > 0; i++ {
		n := min(total, int64(math.Pow(10, 5.3+3*m.Float64())))
		name := fmt.Sprintf("tis-app%03d_1.%d.0-%d_x64_windows_PROD.wapt", i, i, i%5)
		if err := m.Package(filepath.Join(folder, name), io.LimitReader(m.bytes, n)); err != nil {
			return err
		}
		total -= n
	}
	return m.Index(folder)
}

// Index writes the folder's WAPT index: a zip that holds a text which names
// every package with its size and MD5.
func (m *Maker) Index(folder string) error {
	tmp := filepath.Join(folder, ".Packages.new")
	f, err := os.Create(tmp)
	if err != nil {
		return fmt.Errorf("writing an index: %w", err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	w, err := z.Create("Packages")
	for _, p := range slices.Sorted(maps.Keys(m.packages)) {
		if err != nil || filepath.Dir(p) != filepath.Clean(folder) {
			continue
		}
		name := filepath.Base(p)
		product, rest, _ := strings.Cut(name, "_")
		version, _, _ := strings.Cut(rest, "_")
		_, err = fmt.Fprintf(w, "package : %s\nversion : %s\narchitecture : all\nfilename : %s\nsize : %d\nmd5sum : %s\n\n",
			product, version, name, m.packages[p].size, m.packages[p].md5)
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(folder, "Packages"))
	}
	if err != nil {
		return fmt.Errorf("writing an index: %w", err)
	}
	return nil
}

// Hosts fills a folder with n host packages of 3 to 8 kB and returns their paths.
func (m *Maker) Hosts(folder string, n int) ([]string, error) {
	paths := make([]string, n)
	for i := range paths {
		u := m.Data(16)
		paths[i] = filepath.Join(folder, fmt.Sprintf("%X-%X-%X-%X-%X.wapt", u[:4], u[4:6], u[6:8], u[8:10], u[10:]))
		if err := m.Rewrite(paths[i]); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// Rewrite makes one host package anew, in place and in one write.
func (m *Maker) Rewrite(path string) error {
	return os.WriteFile(path, m.Data(m.Between(3000, 8000)), 0o644)
}

// Spread fills two folders with n files of 100 to 1000 bytes: half of them
// flat in one, half in folders of a hundred in the other.
func (m *Maker) Spread(flat, deep string, n int) error {
	for i := range n {
		folder := flat
		if i%2 == 1 {
			folder = filepath.Join(deep, fmt.Sprintf("%03d", i/20000), fmt.Sprintf("%03d", i/200%100))
			if i%200 == 1 {
				if err := os.MkdirAll(folder, 0o755); err != nil {
					return err
				}
			}
		}
		name := filepath.Join(folder, fmt.Sprintf("file-%07d.wapt", i))
		if err := os.WriteFile(name, m.Data(m.Between(100, 1000)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Sparse writes a file of size bytes with 1 MiB of data every 100 MiB; the
// rest is holes, which cost no disk.
func (m *Maker) Sparse(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("writing a sparse file: %w", err)
	}
	defer f.Close()
	for at := int64(0); at < size; at += 100 << 20 {
		if _, err := f.WriteAt(m.Data(int(min(1<<20, size-at))), at); err != nil {
			return fmt.Errorf("writing a sparse file: %w", err)
		}
	}
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("writing a sparse file: %w", err)
	}
	return nil
}
