//go:build linux

package main

import (
	"archive/zip"
	"crypto/sha256"
	"fmt"
	"io"
)

// changedMembers weighs the next version of a zip: the compressed bytes of all
// members, and of those that the version before does not have byte for byte,
// under whatever name. That is the least that a look at members can fetch.
func changedMembers(before, after string) (all, new int64, err error) {
	known := make(map[[sha256.Size]byte]bool)
	if _, err := eachMember(before, func(sum [sha256.Size]byte, _ int64) { known[sum] = true }); err != nil {
		return 0, 0, err
	}
	all, err = eachMember(after, func(sum [sha256.Size]byte, size int64) {
		if !known[sum] {
			known[sum] = true // a second time it is a copy
			new += size
		}
	})
	return all, new, err
}

// eachMember hashes what is compressed, as it is, and returns the sum.
func eachMember(file string, see func(sum [sha256.Size]byte, size int64)) (int64, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", file, err)
	}
	defer z.Close()
	var all int64
	for _, f := range z.File {
		r, err := f.OpenRaw()
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", file, err)
		}
		h := sha256.New()
		n, err := io.Copy(h, r)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", file, err)
		}
		see([sha256.Size]byte(h.Sum(nil)), n)
		all += n
	}
	return all, nil
}
