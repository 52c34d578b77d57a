package subscriber

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sync/errgroup"

	"waptsync/bus"
)

// fewSyncs is how many files or folders are synced one by one; above, one call
// for the whole file system is cheaper.
const fewSyncs = 8

// place brings staged contents and links in. First all is made ready and
// durable in the stage, then renamed: at no time is a visible file not whole.
func (b *batch) place(ops []*op) error {
	var renames []*op
	var unsynced []string
	for _, o := range ops {
		if !b.prepare(o) {
			continue
		}
		renames = append(renames, o)
		if !o.synced {
			unsynced = append(unsynced, o.staged)
		}
	}
	if err := b.s.stage.sync(unsynced); err != nil {
		return broken("syncing staged files", err)
	}
	if err := b.s.r.at("synced"); err != nil {
		return err
	}
	b.s.r.following.Turn()
	for _, o := range renames {
		if err := b.rename(o); err != nil {
			b.failed(o, problemOf("renaming into place", err))
		}
	}
	return b.s.r.at("renamed-files")
}

// sync makes staged files durable.
func (s *stage) sync(names []string) error {
	if len(names) > fewSyncs {
		if err := s.dir.syncAll(); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	var g errgroup.Group // at once: the file system's journal takes them together
	g.SetLimit(fewSyncs)
	for _, name := range names {
		g.Go(func() error {
			if fd, ok := s.loose.get(name); ok {
				return syncLoose(fd)
			}
			st, err := s.dir.lstat(name)
			if err != nil || st.kind != bus.KindFile {
				return err // a link's target is in its inode, which the folder's sync brings
			}
			f, err := s.dir.openStaged(name)
			if err != nil {
				return err
			}
			err = f.Sync()
			if cerr := f.Close(); err == nil {
				err = cerr
			}
			return err
		})
	}
	return g.Wait()
}

// prepare judges an op by what lies at its path now, and returns true when only
// the rename is left to do.
func (b *batch) prepare(o *op) bool {
	st, err := b.v.lstat(o.event.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.failed(o, problemOf("looking at the path", err))
		return false
	}
	rec, known := b.record(o.event.Path)
	if known && rec.Seq > o.seq && !b.s.reconciling {
		b.settled(o, "", nil) // something newer was applied
		return false
	}
	switch o.plan {
	case planConfirm:
		if !known || !sameContent(&rec.Event, &o.event) || !rec.vouches(st) {
			b.retry(o)
			return false
		}
		b.settleInPlace(o, st, &rec, known)
		return false
	case planAdopt:
		if st.kind != bus.KindFile || st.size != o.seen.size || localOf(st) != localOf(o.seen) {
			b.retry(o)
			return false
		}
		b.settleInPlace(o, st, &rec, known)
		return false
	case planLink:
		if b.linked(o, st) {
			return false
		}
	}
	if obsolete, err := b.clear(o, st); err != nil || obsolete {
		b.settled(o, "making way", err)
		return false
	}
	if err := b.dress(o, st, &rec, known); err != nil {
		b.failed(o, problemOf("preparing the staged file", err))
		return false
	}
	return true
}

// settled ends an op that was overtaken, or failed.
func (b *batch) settled(o *op, what string, err error) {
	if err != nil {
		b.failed(o, problemOf(what, err))
		return
	}
	b.s.stage.discard(o.staged)
	b.succeeded(o)
}

// clear makes way for something that replaces what lies at the path: folders
// above it are made, a directory at it goes. obsolete: what is beneath that
// directory is newer than the event.
func (b *batch) clear(o *op, st stat) (obsolete bool, err error) {
	dir, _ := split(o.event.Path)
	if _, err := b.folderFor(dir, o.seq); err != nil {
		return false, err
	}
	if st.kind == bus.KindDir {
		return b.vacate(o.event.Path, o.seq)
	}
	if st.kind == 0 && st.inode != 0 {
		return false, b.toTrash(o.event.Path) // a pipe, a socket, a device: none of ours
	}
	return false, nil
}

// folderFor opens the folder of a path and makes it if need be; its own event
// may come later.
func (b *batch) folderFor(dir string, seq uint64) (*folder, error) {
	return b.v.create(dir, b.s.r.dirMode(newDirMode), func(p string) error {
		obsolete, err := b.vacate(p, seq)
		if obsolete {
			return fmt.Errorf("%q: %w", p, errNotDir)
		}
		return err
	}, b.touchParent)
}

func (b *batch) touchParent(path string) {
	dir, _ := split(path)
	b.touched[dir] = true
}

// dress gives the staged file its attributes, which must be there before it
// is visible.
func (b *batch) dress(o *op, st stat, rec *record, known bool) error {
	want := b.s.r.attributes(&o.event)
	dir := b.s.stage.dir
	if o.plan == planLink {
		o.staged = b.s.stage.name()
		if err := dir.symlink(o.event.Target, o.staged); err != nil {
			return err
		}
		if want.uid >= 0 || want.gid >= 0 {
			if err := dir.chown(o.staged, want.uid, want.gid); err != nil {
				return err
			}
		}
		return dir.setMTime(o.staged, want.mtime)
	}
	want.mtime = b.visibleMTime(&o.event, st, rec, known)
	if o.have == want {
		return nil
	}
	if err := b.s.stage.tie(o.staged); err != nil {
		return err
	}
	if o.have.mode != want.mode || o.have == (attributes{}) {
		if err := dir.chmod(o.staged, want.mode); err != nil {
			return err
		}
		if want.uid >= 0 || want.gid >= 0 {
			if err := dir.chown(o.staged, want.uid, want.gid); err != nil {
				return err
			}
		}
	}
	if err := dir.setMTime(o.staged, want.mtime); err != nil {
		return err
	}
	o.have, o.synced = want, false
	return nil
}

// rename brings a staged file or link in.
func (b *batch) rename(o *op) error {
	dir, base := split(o.event.Path)
	to, err := b.v.folder(dir)
	if err != nil {
		return err
	}
	st, err := b.s.stage.bring(o.staged, to, base)
	b.touched[dir] = true
	if err != nil {
		return err
	}
	b.put(o, st)
	b.succeeded(o)
	return nil
}

// linked says whether the link is there already, and settles the op then.
func (b *batch) linked(o *op, st stat) bool {
	if st.kind != bus.KindSymlink {
		return false
	}
	dir, base := split(o.event.Path)
	f, err := b.v.folder(dir)
	if err != nil {
		return false
	}
	if target, err := f.readlink(base); err != nil || target != o.event.Target {
		return false
	}
	b.put(o, st)
	b.succeeded(o)
	return true
}

// settleInPlace gives a file whose content is right the attributes that differ.
func (b *batch) settleInPlace(o *op, st stat, rec *record, known bool) {
	want := b.s.r.attributes(&o.event)
	want.mtime = b.adoptedMTime(&o.event, st, rec, known)
	now, changed, err := b.amend(o.event.Path, st, want)
	if err != nil {
		b.failed(o, problemOf("setting attributes", err))
		return
	}
	if changed {
		b.inPlace = append(b.inPlace, o.event.Path)
	}
	b.put(o, now)
	b.succeeded(o)
}

// amend sets what differs of a visible file or directory and looks at it again.
func (b *batch) amend(path string, st stat, want attributes) (now stat, changed bool, err error) {
	dir, base := split(path)
	f, err := b.v.folder(dir)
	if err != nil {
		return st, false, err
	}
	if want.differs(st) {
		changed = true
		if want.uid >= 0 || want.gid >= 0 {
			if err := f.chown(base, want.uid, want.gid); err != nil {
				return st, true, err
			}
		}
		if err := f.chmod(base, want.mode); err != nil {
			return st, true, err
		}
	}
	if st.kind == bus.KindFile && st.mtime != want.mtime {
		changed = true
		if err := f.setMTime(base, want.mtime); err != nil {
			return st, true, err
		}
	}
	if !changed {
		return st, false, nil
	}
	now, err = f.lstat(base)
	return now, true, err
}

// makeDir makes a directory as its event says.
func (b *batch) makeDir(o *op) {
	if _, err := b.folderFor(o.event.Path, o.seq); err != nil {
		b.failed(o, problemOf("making the folder", err))
		return
	}
	st, err := b.v.lstat(o.event.Path)
	if err == nil {
		_, _, err = b.amend(o.event.Path, st, b.s.r.attributes(&o.event))
	}
	if err != nil {
		b.failed(o, problemOf("making the folder", err))
		return
	}
	b.put(o, stat{})
	b.succeeded(o)
}

// syncTouched makes the entries of all folders that changed durable, and
// attributes that were changed in place.
func (b *batch) syncTouched() error {
	if len(b.touched) == 0 && len(b.inPlace) == 0 {
		return nil
	}
	defer func() {
		clear(b.touched)
		b.inPlace = nil
	}()
	if len(b.touched)+len(b.inPlace) > fewSyncs {
		if err := b.s.stage.dir.syncAll(); !errors.Is(err, errors.ErrUnsupported) {
			return broken("syncing", err)
		}
	}
	for dir := range b.touched {
		f, err := b.v.folder(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue // deleted in the same batch
		}
		if err == nil {
			err = f.sync()
		}
		if err != nil {
			return broken("syncing the folder "+dir, err)
		}
	}
	for _, p := range b.inPlace {
		f, err := b.v.openFile(p)
		if err != nil {
			continue // gone, or not readable: its attributes are looked at again
		}
		err = f.Sync()
		f.Close()
		if err != nil {
			return broken("syncing "+p, err)
		}
	}
	return nil
}
