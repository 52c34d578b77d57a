package subscriber

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"waptsync/bus"
)

// stat is what lstat says of a name, as far as a replica cares.
type stat struct {
	kind  bus.Kind // 0 for what is neither file, directory nor symbolic link
	mode  uint32   // permission bits
	uid   int
	gid   int
	size  int64
	mtime int64 // nanoseconds since 1970
	ctime int64 // likewise; 0 where the system does not tell
	inode uint64
	dev   uint64
}

// kindOf maps a file mode to the kind of event that makes it.
func kindOf(m fs.FileMode) bus.Kind {
	switch m.Type() {
	case 0:
		return bus.KindFile
	case fs.ModeDir:
		return bus.KindDir
	case fs.ModeSymlink:
		return bus.KindSymlink
	}
	return 0
}

// errNotDir is returned where a path leads through something that is no directory.
var errNotDir = fmt.Errorf("a part of the path is no directory: %w", syscall.ENOTDIR)

// attributes are what a staged or visible file is given.
type attributes struct {
	mode  uint32
	uid   int // -1: keep
	gid   int // -1: keep
	mtime int64
}

// tree is the replica's folder, opened once: what is done through it stays in
// that folder, even when another is put in its place.
type tree struct {
	root *os.Root
	top  *folder
}

func openTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	top, err := openTop(root)
	if err != nil {
		root.Close()
		return nil, err
	}
	return &tree{root: root, top: top}, nil
}

func (t *tree) close() {
	t.top.close()
	t.root.Close()
}

// maxOpenFolders bounds the descriptors of one visit.
const maxOpenFolders = 128

// visit keeps the folders open that one piece of work passes through, so that a
// path costs one system call and not one an element. It is short-lived on
// purpose: a folder moved away meanwhile must not be written to for long. It
// belongs to one goroutine.
type visit struct {
	t    *tree
	open map[string]*folder
	keep bool // however many there are
}

func (t *tree) visit() *visit {
	return &visit{t: t, open: make(map[string]*folder)}
}

func (v *visit) close() {
	for _, f := range v.open {
		f.close()
	}
	clear(v.open)
}

// split parts a path into its folder ("" for the top) and its last element.
func split(p string) (dir, base string) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p
	}
	return p[:i], p[i+1:]
}

// folder opens dir without following any symbolic link. The result is valid
// until the next call of folder, create or forget.
func (v *visit) folder(dir string) (*folder, error) {
	return v.walk(dir, nil)
}

// create opens dir and makes what is missing, with the given mode. inTheWay is
// called for an element that is no directory, to clear it away, and made for
// each that was made.
func (v *visit) create(dir string, mode uint32, inTheWay func(p string) error, made func(p string)) (*folder, error) {
	return v.walk(dir, func(parent *folder, p, name string) error {
		if _, err := parent.lstat(name); err == nil {
			if err := inTheWay(p); err != nil {
				return err
			}
			up, _ := split(p)
			if parent, err = v.folder(up); err != nil {
				return err
			}
		}
		if err := parent.mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		made(p)
		return nil
	})
}

func (v *visit) walk(dir string, missing func(parent *folder, p, name string) error) (*folder, error) {
	if dir == "" {
		return v.t.top, nil
	}
	if f := v.open[dir]; f != nil {
		return f, nil
	}
	up, name := split(dir)
	parent, err := v.walk(up, missing)
	if err != nil {
		return nil, err
	}
	f, err := parent.child(name)
	if err != nil && missing != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) {
		if err := missing(parent, dir, name); err != nil {
			return nil, err
		}
		// Clearing the way may have closed parent.
		if parent, err = v.walk(up, missing); err != nil {
			return nil, err
		}
		f, err = parent.child(name)
	}
	if err != nil {
		return nil, err
	}
	if len(v.open) >= maxOpenFolders && !v.keep {
		v.close()
	}
	v.open[dir] = f
	return f, nil
}

// forget closes dir and what is open beneath it, because it goes away.
func (v *visit) forget(dir string) {
	for p, f := range v.open {
		if within(p, dir) {
			f.close()
			delete(v.open, p)
		}
	}
}

// lstat looks at a path of the share. fs.ErrNotExist covers a missing folder
// and one that is no directory.
func (v *visit) lstat(p string) (stat, error) {
	dir, base := split(p)
	f, err := v.folder(dir)
	if err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return stat{}, fs.ErrNotExist
		}
		return stat{}, err
	}
	return f.lstat(base)
}

// openFile opens a regular file of the share for reading.
func (v *visit) openFile(p string) (*os.File, error) {
	dir, base := split(p)
	f, err := v.folder(dir)
	if err != nil {
		return nil, err
	}
	return f.openFile(base)
}

// within says whether p is dir or lies beneath it.
func within(p, dir string) bool {
	return len(p) >= len(dir) && p[:len(dir)] == dir && (len(p) == len(dir) || p[len(dir)] == '/')
}

// staysInside says whether a symbolic link at p with that target leads to a
// place of the share, judged by the names alone. The hidden folder is none.
func staysInside(p, target string) bool {
	if path.IsAbs(target) || strings.ContainsAny(target, "\x00\\") && os.PathSeparator == '\\' {
		return false
	}
	dir, _ := split(p)
	// Only the elements of the link's own folder are known to be directories. A
	// name in the target may be a link, now or later, so what ".." behind it means
	// cannot be told: "d/top/../secret" leads out where d/top is a link to "..".
	depth := 0
	if dir != "" {
		depth = strings.Count(dir, "/") + 1
	}
	named := false
	for element := range strings.SplitSeq(target, "/") {
		switch element {
		case "", ".":
		case "..":
			if depth--; depth < 0 || named {
				return false
			}
		default:
			named = true
		}
	}
	return !ignored(path.Join(dir, target))
}

// hidden is the replica's own folder at the top of the share.
const hidden = ".waptsync"

// ignored says whether p is no content of a share: the replica's own folder,
// and what a file system keeps at its top.
func ignored(p string) bool {
	return within(p, hidden) || within(p, "lost+found")
}
