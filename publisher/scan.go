package publisher

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"

	"waptsync/bus"
)

// found is one difference between the folder and the tree.
type found struct {
	path   string
	st     stat
	exists bool  // otherwise the tree knows a path that was not seen
	err    error // the path could not be looked at
	list   bool  // err is about reading the directory at path
}

// scanBatch bounds how many names are read from a directory, and how many
// differences are handed over, at a time.
const scanBatch = 512

// scan compares directories of the folder with the tree. It watches each
// directory before it reads it, so that nothing falls between.
type scan struct {
	folder *folder
	tree   *tree
	watch  func(dir string)
	emit   func(context.Context, []found) error
	deep   bool // descend into directories

	// seen counts what was looked at, differing or not.
	files, bytes atomic.Int64

	batch []found
	ahead readAhead
}

// run scans the directory at path, "" being the share's top. It ends early only
// when ctx does; what cannot be read is among the differences.
func (s *scan) run(ctx context.Context, path string) error {
	todo := []string{path}
	for len(todo) > 0 {
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		subs, err := s.directory(ctx, dir)
		if err != nil {
			return err
		}
		if s.deep {
			todo = append(todo, subs...)
		}
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// directory scans one directory and returns those in it.
func (s *scan) directory(ctx context.Context, dir string) (subs []string, err error) {
	s.watch(dir)
	list, err := s.open(dir)
	if err != nil {
		if absent(err) != nil {
			return nil, s.add(ctx, found{path: dir, err: err, list: true})
		}
		return nil, s.missing(ctx, dir)
	}
	defer func() { _ = list.Close() }()
	before, deletes := s.tree.size(dir)
	hits := 0
	for {
		entries, err := list.ReadDir(scanBatch)
		for _, e := range entries {
			p := join(dir, e.Name())
			if s.folder.exclude.Match(p, e.IsDir()) {
				continue
			}
			known, have := s.tree.getAhead(p, &s.ahead)
			if have {
				hits++
			}
			fi, err := e.Info() // of when the names were read
			if err != nil {
				if err = absent(err); err != nil || have {
					if err := s.add(ctx, found{path: p, err: err}); err != nil {
						return nil, err
					}
				}
				continue
			}
			st := statOf(fi)
			if st.kind == bus.KindDir {
				subs = append(subs, p)
			}
			s.files.Add(1)
			s.bytes.Add(st.size)
			if have && s.same(p, known, st) {
				continue
			}
			if err := s.add(ctx, found{path: p, st: st, exists: true}); err != nil {
				return nil, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			after, now := s.tree.size(dir)
			if hits == before && hits == after && deletes == now {
				return subs, nil
			}
			return subs, s.missing(ctx, dir)
		case err != nil && absent(err) == nil: // removed while it was read
			return nil, s.missing(ctx, dir)
		case err != nil:
			return subs, s.add(ctx, found{path: dir, err: err, list: true})
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
}

func (s *scan) open(dir string) (*os.File, error) {
	if dir == "" {
		return s.folder.root.Open(".")
	}
	// A symbolic link is not followed: its name is a path of its own.
	fi, err := s.folder.root.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		return nil, os.ErrNotExist
	}
	return s.folder.root.Open(dir)
}

// same says whether nothing about the path needs a second look.
func (s *scan) same(p string, known entry, st stat) bool {
	switch st.kind {
	case bus.KindFile:
		return known.sameFile(st)
	case bus.KindDir:
		return known.kind == bus.KindDir && uint32(known.mode) == st.mode
	case bus.KindSymlink:
		if known.kind != bus.KindSymlink {
			return false
		}
		target, err := s.folder.link(p)
		return err == nil && target == known.target()
	}
	return false
}

// missing emits what the tree knows in dir and the folder does not hold. It
// looks at each name again rather than to remember those seen, so a flat folder
// of any size costs no memory.
func (s *scan) missing(ctx context.Context, dir string) error {
	for _, name := range s.tree.list(dir) {
		p := join(dir, name)
		if now, err := s.folder.look(p); now.ok || err != nil {
			continue
		}
		if err := s.add(ctx, found{path: p}); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) add(ctx context.Context, f found) error {
	s.batch = append(s.batch, f)
	if len(s.batch) < scanBatch {
		return nil
	}
	return s.flush(ctx)
}

func (s *scan) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	batch := s.batch
	s.batch = nil
	return s.emit(ctx, batch)
}
