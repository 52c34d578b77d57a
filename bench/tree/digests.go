//go:build linux

package tree

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Digests keeps the SHA-256 of a folder's files. A file is read again only
// when its inode, size or change time is another. It is for one goroutine.
type Digests struct {
	folder string
	known  map[string]digest
}

type digest struct {
	seen seen
	sum  [sha256.Size]byte
}

type seen struct {
	inode   uint64
	size    int64
	changed syscall.Timespec
}

// NewDigests reads nothing yet.
func NewDigests(folder string) *Digests {
	return &Digests{folder: folder, known: make(map[string]digest)}
}

// Update reads those of the files that changed, two at a time, and forgets all
// others. It returns the first error, and fs.ErrNotExist when a file is gone.
func (d *Digests) Update(files Tree) error {
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		fault error
	)
	fresh := make(map[string]digest, len(files))
	paths := make(chan string)
	for range 2 {
		wait.Go(func() {
			for p := range paths {
				g, err := d.read(p)
				mu.Lock()
				if err != nil && fault == nil {
					fault = err
				}
				fresh[p] = g
				mu.Unlock()
			}
		})
	}
	for p := range files {
		paths <- p
	}
	close(paths)
	wait.Wait()
	d.known = fresh
	if fault != nil {
		clear(d.known)
		return fmt.Errorf("hashing %s: %w", d.folder, fault)
	}
	return nil
}

func (d *Digests) read(p string) (digest, error) {
	f, err := os.Open(filepath.Join(d.folder, p))
	if err != nil {
		return digest{}, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return digest{}, err
	}
	s, ok := i.Sys().(*syscall.Stat_t)
	if !ok {
		return digest{}, errors.New("no inode number")
	}
	now := digest{seen: seen{s.Ino, s.Size, s.Ctim}}
	if before, there := d.known[p]; there && before.seen == now.seen {
		return before, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return digest{}, err
	}
	h.Sum(now.sum[:0])
	return now, nil
}

// Differs names the first path whose content is another, or nothing. Both must
// have been updated with equal names.
func (d *Digests) Differs(from *Digests) string {
	var other []string
	for p, g := range d.known {
		if from.known[p].sum != g.sum {
			other = append(other, p)
		}
	}
	if len(other) == 0 {
		return ""
	}
	return fmt.Sprintf("%q has another content (%d such files)", slices.Min(other), len(other))
}

// Gone tells whether an error of Update means that a file went meanwhile.
func Gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
