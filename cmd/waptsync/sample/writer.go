package sample

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// receive stores an upload: a temporary name without extension beside the
// target, then unlink of the target, then rename (waptserver's
// upload_packages and upload_host).
func (r *Repository) receive(folder, file string, data []byte) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_"
	temp := []byte("wapt")
	for range 8 {
		temp = append(temp, letters[r.rng.IntN(len(letters))])
	}
	from, to := r.path(folder, string(temp)), r.path(folder, file)
	if err := os.WriteFile(from, data, 0o644); err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(from, to)
}

// writeIndex replaces the index as update_packages_index does: for a moment
// there is no `Packages`.
func (r *Repository) writeIndex(now time.Time) error {
	data, err := buildIndex(r.packages, r.signer, now)
	if err != nil {
		return err
	}
	temp, index := r.path("wapt", "Packages."+now.Format("20060102150405")), r.path("wapt", "Packages")
	if err := os.WriteFile(temp, data, 0o644); err != nil {
		return err
	}
	if err := os.Remove(index); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(temp, index)
}
