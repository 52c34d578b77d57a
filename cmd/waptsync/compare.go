package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// entry is what two trees are compared by.
type entry struct {
	kind   fs.FileMode // type bits
	size   int64
	mtime  time.Time // of files only: a folder's is not replicated
	target string    // of symbolic links
	sum    [sha256.Size]byte
}

// readTree reads what dir holds, without the hidden folder of a remote. Files
// are hashed if content is true. A name that vanishes meanwhile is left out.
func readTree(dir string, content bool) (map[string]entry, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	out := make(map[string]entry)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) || path == "." {
			return nil
		}
		if err != nil {
			return err
		}
		if path == ".waptsync" {
			return fs.SkipDir
		}
		e, err := readEntry(root, path, content)
		if os.IsNotExist(err) {
			return nil
		}
		out[path] = e
		return err
	})
	return out, err
}

func readEntry(root *os.Root, path string, content bool) (e entry, err error) {
	info, err := root.Lstat(path)
	if err != nil {
		return e, err
	}
	e.kind = info.Mode().Type()
	switch {
	case e.kind == fs.ModeSymlink:
		e.target, err = root.Readlink(path)
	case e.kind.IsRegular():
		e.size, e.mtime = info.Size(), info.ModTime()
		if content {
			e.sum, err = hashFile(root, path)
		}
	}
	return e, err
}

func hashFile(root *os.Root, path string) (sum [sha256.Size]byte, err error) {
	f, err := root.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

// mostBumps bounds the seconds that a copy's time may be ahead.
const mostBumps = 60

// sameTime says whether a copy's time is right. Agents compare Last-Modified,
// which has whole seconds, for equality: where a content changed again within
// one second, a remote puts its time whole seconds ahead of the main's.
func sameTime(main, remote time.Time) bool {
	ahead := remote.Sub(main)
	return ahead >= 0 && ahead <= mostBumps*time.Second && ahead%time.Second == 0
}

// firstDifference names the first path, in order, in which a copy differs from
// the main's folder, or is empty.
func firstDifference(main, remote string, content bool) (string, error) {
	left, err := readTree(main, content)
	if err != nil {
		return "", err
	}
	right, err := readTree(remote, content)
	if err != nil {
		return "", err
	}
	for _, path := range slices.Sorted(maps.Keys(left)) {
		l, r := left[path], right[path]
		if _, there := right[path]; !there {
			return path + " is missing", nil
		}
		if !sameTime(l.mtime, r.mtime) {
			return fmt.Sprintf("%s has time %v instead of %v", path, r.mtime.UTC(), l.mtime.UTC()), nil
		}
		l.mtime, r.mtime = time.Time{}, time.Time{} // one moment, two zones
		if l != r {
			return path + " has another content", nil
		}
	}
	for _, path := range slices.Sorted(maps.Keys(right)) {
		if _, there := left[path]; !there {
			return path + " should not be there", nil
		}
	}
	return "", nil
}

// count is the number of files of a host's shares and their bytes.
func count(www string) (files int, bytes int64, err error) {
	shares, err := os.ReadDir(www)
	if err != nil {
		return 0, 0, err
	}
	for _, share := range shares {
		tree, err := readTree(filepath.Join(www, share.Name()), false)
		if err != nil {
			return 0, 0, err
		}
		for _, e := range tree {
			if e.kind.IsRegular() {
				files, bytes = files+1, bytes+e.size
			}
		}
	}
	return files, bytes, nil
}
