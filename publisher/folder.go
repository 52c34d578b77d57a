package publisher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"waptsync/bus"
)

// folder is a share's folder, opened once: whatever is put in its place later
// is noticed, never read by mistake. Its methods may be called concurrently.
type folder struct {
	dir     string
	root    *os.Root
	id      identity
	mount   uint64 // of the folder's file system, 0 where that is not to be had
	exclude *Excludes
}

func openFolder(dir string, x *Excludes) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	top, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	defer func() { _ = top.Close() }()
	fi, err := top.Stat()
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	id, _ := folderIdentity(fi)
	return &folder{dir: dir, root: root, id: id, mount: mountOf(top), exclude: x}, nil
}

func (f *folder) close() { _ = f.root.Close() }

// check says why the folder is no longer the one that was opened, or nil.
func (f *folder) check() error {
	fi, err := os.Stat(f.dir)
	if err != nil {
		return fmt.Errorf("the folder is not there: %w", err)
	}
	if id, _ := folderIdentity(fi); id != f.id {
		return fmt.Errorf("another folder is in the place of %s", f.dir)
	}
	// A disk that failed and came back has the same numbers: what was opened
	// before would fail for ever.
	if mountAt(f.dir) != f.mount {
		return fmt.Errorf("the file system of %s was mounted anew", f.dir)
	}
	fi, err = f.root.Stat(".")
	if err != nil {
		return fmt.Errorf("the folder is not usable: %w", err)
	}
	if _, alive := folderIdentity(fi); !alive {
		return fmt.Errorf("the folder %s was removed", f.dir)
	}
	return nil
}

// empty says whether the folder holds nothing that is not excluded.
func (f *folder) empty() (bool, error) {
	d, err := f.root.Open(".")
	if err != nil {
		return false, err
	}
	defer func() { _ = d.Close() }()
	for {
		list, err := d.ReadDir(64)
		for _, e := range list {
			if !f.exclude.Match(e.Name(), e.IsDir()) {
				return false, nil
			}
		}
		if err != nil || len(list) == 0 {
			return true, nil
		}
	}
}

// sight is what stands at a path.
type sight struct {
	stat
	ok     bool   // something that can be published
	target string // of a symbolic link
	skip   error  // why what is there is left out on purpose
}

// look returns what is at p now. What is excluded counts as absent, and so does
// all beneath a folder that became a symbolic link: it is no path of the share.
func (f *folder) look(p string) (sight, error) {
	for i := range len(p) {
		if p[i] != '/' {
			continue
		}
		if f.exclude.Match(p[:i], true) {
			return sight{}, nil
		}
		fi, err := f.root.Lstat(p[:i])
		if err != nil {
			return sight{}, absent(err)
		}
		if !fi.IsDir() {
			return sight{}, nil
		}
	}
	fi, err := f.root.Lstat(p)
	if err != nil {
		return sight{}, absent(err)
	}
	if f.exclude.Match(p, fi.IsDir()) {
		return sight{}, nil
	}
	return f.judge(p, statOf(fi))
}

// judge says whether what was seen at p can be published.
func (f *folder) judge(p string, st stat) (sight, error) {
	if err := bus.ValidPath(p); err != nil {
		return sight{stat: st, skip: err}, nil
	}
	switch st.kind {
	case bus.KindFile, bus.KindDir:
		return sight{stat: st, ok: true}, nil
	case bus.KindSymlink:
		target, err := f.link(p)
		var out errLink
		if errors.As(err, &out) {
			return sight{stat: st, skip: err}, nil
		}
		if err != nil {
			return sight{}, absent(err)
		}
		return sight{stat: st, ok: true, target: target}, nil
	}
	return sight{stat: st, skip: errSpecial}, nil
}

var errSpecial = errors.New("neither a file, a directory nor a symbolic link")

// absent turns the errors that mean "nothing is there" into nil.
func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// errLink is why a symbolic link is not published.
type errLink string

func (e errLink) Error() string { return string(e) }

// link returns the target of the symbolic link at p. A link is published only
// when it is relative and stays inside the share, by its text and when it is
// followed; the error is an errLink otherwise.
func (f *folder) link(p string) (string, error) {
	target, err := f.root.Readlink(p)
	if err != nil {
		return "", err
	}
	target = filepath.ToSlash(target)
	if target == "" || path.IsAbs(target) || filepath.IsAbs(target) {
		return "", errLink("link to the absolute path " + target)
	}
	if end := path.Join(path.Dir(p), target); end == ".." || strings.HasPrefix(end, "../") {
		return "", errLink("link out of the share to " + target)
	}
	if climbsBehindName(target) {
		return "", errLink("link with .. behind a name to " + target)
	}
	// Following may pass other links. One that leads nowhere yet is fine.
	if _, err := f.root.Stat(p); err != nil && absent(err) != nil {
		return "", errLink("link that cannot be followed inside the share to " + target)
	}
	return target, nil
}

// climbsBehindName says whether target has a ".." behind a name. The name may be
// a link, now or later, and no remote could tell where the target leads.
func climbsBehindName(target string) bool {
	named := false
	for element := range strings.SplitSeq(target, "/") {
		if element == ".." && named {
			return true
		}
		named = named || element != "" && element != "." && element != ".."
	}
	return false
}

// open opens the file at p for reading, without waiting for a fifo's writer or
// for whoever holds a lease.
func (f *folder) open(p string) (*os.File, stat, error) {
	file, err := f.root.OpenFile(p, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, stat{}, err
	}
	fi, err := file.Stat()
	if err != nil {
		return nil, stat{}, errors.Join(err, file.Close())
	}
	st := statOf(fi)
	if st.kind != bus.KindFile {
		_ = file.Close()
		return nil, st, errNotFile
	}
	return file, st, nil
}

var errNotFile = errors.New("not a regular file any more")
