package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// dataDir is a service's data folder, locked for it.
type dataDir struct {
	path string
	lock *os.File
}

// openData makes the data folder if it is not there, refuses one that others
// can read, and takes its lock, so that two services never share it: the bus's
// store has no lock of its own.
func openData(path string) (*dataDir, error) {
	if err := makeData(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data folder's lock: %w", err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		if errors.Is(err, errLocked) {
			return nil, withHint(fmt.Errorf("the data folder %s is in use by another waptsync service", path),
				"stop that service, or give this one its own folder with --data")
		}
		return nil, fmt.Errorf("locking the data folder %s: %w", path, err)
	}
	return &dataDir{path, f}, nil
}

// makeData makes the folder if it is not there, and refuses one that others
// than its owner can reach.
func makeData(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading the data folder: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the data folder %s is not a folder", path)
	}
	// Windows keeps no such bits; access lists of the parent rule there.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return withHint(fmt.Errorf("the data folder %s has mode %04o: others could read its keys", path, mode), "chmod 700 "+path)
	}
	return nil
}

// errLocked is returned by lockFile when another process has the lock.
var errLocked = errors.New("locked by another process")

// join is the path of a name in the folder.
func (d *dataDir) join(name string) string { return filepath.Join(d.path, name) }

// Close gives the lock back.
func (d *dataDir) Close() error { return d.lock.Close() }
