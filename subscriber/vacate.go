package subscriber

import (
	"errors"
	"fmt"
	"io/fs"

	"waptsync/bus"
)

// delete takes a path away because the main has it no more.
func (b *batch) delete(o *op) {
	_, err := b.v.lstat(o.event.Path)
	if err == nil {
		if until := b.graceOf(o.event.Path); !until.IsZero() {
			b.postpone(o, until)
			return
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.forget(o.event.Path)
	case err == nil:
		_, err = b.vacate(o.event.Path, o.seq)
		if err != nil {
			b.failed(o, problemOf("deleting", err))
			return
		}
	default:
		b.failed(o, problemOf("looking at the path", err))
		return
	}
	b.succeeded(o)
}

// vacate takes away what lies at a path and all beneath. What the state knows
// and finds unchanged is unlinked, for the main had it; anything else goes to
// the trash. kept: something beneath came with an event newer than seq, so the
// directory stays.
func (b *batch) vacate(path string, seq uint64) (kept bool, err error) {
	st, err := b.v.lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		b.forget(path)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	rec, known := b.record(path)
	if known && rec.Seq > seq {
		return true, nil
	}
	if !b.own[path] && b.s.r.catalog.keeps(path) {
		return false, errGuarded
	}
	dir, base := split(path)
	if st.kind == bus.KindDir {
		if kept, err := b.vacateChildren(path, seq); err != nil || kept {
			return kept, err
		}
		b.v.forget(path)
		parent, err := b.v.folder(dir)
		if err != nil {
			return false, err
		}
		if err := parent.rmdir(base); err != nil {
			return false, err
		}
		b.touched[dir] = true
		b.forget(path)
		return false, nil
	}
	if !known || !rec.vouches(st) {
		return false, b.toTrash(path)
	}
	parent, err := b.v.folder(dir)
	if err != nil {
		return false, err
	}
	if err := parent.unlink(base); err != nil {
		return false, err
	}
	b.touched[dir] = true
	b.forget(path)
	return false, nil
}

// vacateChildren empties a directory. It reads the names again as long as some
// go, since a listing need not show all while names are removed.
func (b *batch) vacateChildren(path string, seq uint64) (kept bool, err error) {
	for {
		gone := 0
		kept = false
		f, err := b.v.folder(path)
		if err != nil {
			return false, err
		}
		err = eachName(f, func(name string) error {
			stays, err := b.vacate(path+"/"+name, seq)
			if err != nil {
				return fmt.Errorf("%q beneath: %w", name, err)
			}
			if stays {
				kept = true
			} else {
				gone++
			}
			return nil
		})
		if err != nil {
			return false, err
		}
		if gone == 0 {
			return kept, nil
		}
	}
}

// toTrash moves a path to the trash, because the main does not know what lies
// there.
func (b *batch) toTrash(path string) error {
	dir, _ := split(path)
	if err := b.s.r.moveToTrash(b.v, path); err != nil {
		return err
	}
	b.touched[dir] = true
	b.forget(path)
	return nil
}
