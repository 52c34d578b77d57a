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

// WriteDurably replaces path by data, mode 0600, so that after a crash the old
// or the new content is there, whole. The new one is on disk when it returns.
func WriteDurably(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // CreateTemp's mode is 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close()) // Windows renames no open file
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
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

// makeSecretDir is makePrivateDir for a folder that is this package's alone: one
// that others can read is refused, since what is in it may be known already.
func makeSecretDir(dir string) error {
	if err := makePrivateDir(dir); err != nil {
		return err
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if openToOthers(fi) {
		return &ExposedFileError{Path: dir, Mode: fi.Mode().Perm(), dir: true}
	}
	return nil
}

// ExposedFileError is returned for a file or a folder with secrets that others can read.
type ExposedFileError struct {
	Path string
	Mode fs.FileMode
	dir  bool
}

func (e *ExposedFileError) Error() string {
	what, mode := "holds a secret", 0o600
	if e.dir {
		what, mode = "is a folder with secrets", 0o700
	}
	return fmt.Sprintf("%s %s, but its mode %#o lets others read or change it: if nobody did, run: chmod %o %s",
		e.Path, what, e.Mode, mode, e.Path)
}
