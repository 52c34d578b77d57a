//go:build linux

package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Tree is the files of a folder: the path from the folder, and the size.
type Tree map[string]int64

// Bytes is the size of all files.
func (t Tree) Bytes() int64 {
	var sum int64
	for _, n := range t {
		sum += n
	}
	return sum
}

// own are the names in which systems keep what is not of the share.
var own = []string{".stfolder", ".stversions", ".syncthing", ".waptsync", ".~tmp~"}

func skipped(name string) bool {
	return slices.ContainsFunc(own, func(p string) bool { return strings.HasPrefix(name, p) })
}

// Count is the number of files below the folder, by reading folders only. A
// folder that goes meanwhile counts nothing.
func Count(folder string) (int, error) {
	n := 0
	err := walk(folder, "", func(_ string, e fs.DirEntry) error {
		if e.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n, err
}

// List returns the files below the folder, and when it last changed: the
// newest change time of its files and folders, which also a removal leaves on
// its folder. Paths that go meanwhile are left out.
func List(folder string) (Tree, time.Time, error) {
	t := make(Tree)
	var newest time.Time
	note := func(i fs.FileInfo) {
		if c := changeTime(i); c.After(newest) {
			newest = c
		}
	}
	if i, err := os.Stat(folder); err == nil {
		note(i)
	}
	err := walk(folder, "", func(p string, e fs.DirEntry) error {
		i, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		note(i)
		if i.Mode().IsRegular() {
			t[p] = i.Size()
		}
		return nil
	})
	return t, newest, err
}

// Disk is how many bytes of disk all below the folder takes, also what systems keep
// for themselves.
func Disk(folder string) (sum int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := e.Info()
		if err != nil {
			return err
		}
		if s, ok := i.Sys().(*syscall.Stat_t); ok {
			sum += s.Blocks * 512
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("looking what disk a tree takes: %w", err)
	}
	return sum, nil
}

// Changed is the change time of one path: of a file that was made under another
// name, the time of its renaming.
func Changed(path string) (time.Time, error) {
	i, err := os.Lstat(path)
	if err != nil {
		return time.Time{}, err
	}
	return changeTime(i), nil
}

func changeTime(i fs.FileInfo) time.Time {
	s, ok := i.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(s.Ctim.Unix())
}

// walk calls see for all below the folder, in no order.
func walk(folder, below string, see func(p string, e fs.DirEntry) error) error {
	d, err := os.Open(filepath.Join(folder, below))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at a tree: %w", err)
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(1024)
		for _, e := range entries {
			if skipped(e.Name()) {
				continue
			}
			p := filepath.Join(below, e.Name())
			if err := see(p, e); err != nil {
				return fmt.Errorf("looking at a tree: %w", err)
			}
			if e.IsDir() {
				if err := walk(folder, p, see); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking at a tree: %w", err)
		}
	}
}

// Difference names one path in which two trees differ in name or size, or
// nothing when they are equal.
func Difference(want, got Tree) string {
	if maps.Equal(want, got) {
		return ""
	}
	for _, p := range slices.Sorted(maps.Keys(want)) {
		n, there := got[p]
		switch {
		case !there:
			return fmt.Sprintf("%q is missing", p)
		case n != want[p]:
			return fmt.Sprintf("%q has %d bytes of %d", p, n, want[p])
		}
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if _, there := want[p]; !there {
			return fmt.Sprintf("%q is too many", p)
		}
	}
	return ""
}
