package bus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxPrivateFile bounds what is read of a file of this package: a registry of
// ten thousand remotes is about 4 MiB.
const maxPrivateFile = 64 << 20

// writeDurably replaces path by data, mode 0600, so that after a crash the old
// or the new content is there, whole. The new one is on disk when it returns.
func writeDurably(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // CreateTemp's mode is 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	// From here on the new content is in place; nothing is taken back.
	return errors.Join(f.Close(), syncDir(dir))
}

// readPrivate reads a file that holds a secret. It refuses one that others than
// its owner may read, since the secret may then be known already. A file that
// is not there gives fs.ErrNotExist.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if openToOthers(fi) {
		return nil, &ExposedFileError{Path: path, Mode: fi.Mode().Perm()}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPrivateFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxPrivateFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxPrivateFile)
	}
	return b, nil
}

// makePrivateDir makes dir, mode 0700, and its parents. A folder that is there
// keeps its mode: it may be one that an administrator shares with others.
func makePrivateDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}

// ExposedFileError is returned for a file with a secret that others can read.
type ExposedFileError struct {
	Path string
	Mode fs.FileMode
}

func (e *ExposedFileError) Error() string {
	return fmt.Sprintf("%s holds a secret, but its mode %#o lets others read or change it: if nobody did, run: chmod 600 %s",
		e.Path, e.Mode, e.Path)
}
