package subscriber

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"waptsync/bus"
)

// loadCatalog reads the visible indexes: those that the state knows and, with
// walk, all that lie in the folder, as a copy by another tool left them. The
// caller holds the commit lock.
func (r *Replica) loadCatalog(ctx context.Context, t *tree, walk bool) error {
	if r.catalog != nil && !walk {
		return nil
	}
	c := newCatalog()
	paths := make(map[string]bool) // whether the main said that it is incomplete
	err := r.state.view(func(tx *stateTx) error {
		k := tx.files().Cursor()
		for p, _ := k.First(); p != nil; p, _ = k.Next() {
			if r.o.Index.IsIndex(string(p)) {
				rec, _ := tx.record(string(p))
				paths[string(p)] = rec.Event.Incomplete
			}
		}
		k = tx.waits().Cursor()
		for p, _ := k.First(); p != nil; p, _ = k.Next() {
			if r.o.Index.IsIndex(string(p)) {
				if w, ok := tx.waiting(string(p)); ok && w.Event.Kind == bus.KindFile && w.Cause != "" {
					c.failing[string(p)] = struct{}{}
				}
			}
		}
		return nil
	})
	if err != nil {
		return broken("reading the state", err)
	}
	if walk {
		err := walkTree(ctx, t, "", func(p string, kind bus.Kind) error {
			if kind == bus.KindFile && r.o.Index.IsIndex(p) && !paths[p] {
				paths[p] = false
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	v := t.visit()
	defer v.close()
	for p, incomplete := range paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		l, err := readListing(v, p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			l = blindListing(p)
		}
		l.incomplete = incomplete
		err = r.state.view(func(tx *stateTx) error {
			c.add(l, lookIn(tx, v, nil))
			return nil
		})
		if err != nil {
			return broken("reading the state", err)
		}
		c.visible[p] = l
	}
	c.waitsChanged = true
	r.catalog = c
	return nil
}

// readListing reads the index that lies at a path.
func readListing(v *visit, p string) (*listing, error) {
	f, err := v.openFile(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := readEntries(p, f)
	if err != nil {
		return nil, err
	}
	return newListing(p, entries), nil
}

// lookIn tells what lies at a path. Its record is believed as far as lstat bears
// it out: after a kill the folder is ahead of the state. drifted, if not nil, is
// called with the paths where it does not.
func lookIn(tx *stateTx, v *visit, drifted func(path string)) func(path string) found {
	waits := tx.waitingCount() > 0
	return func(path string) found {
		st, err := v.lstat(path)
		if err != nil {
			st = stat{}
		}
		r, known := tx.record(path)
		switch {
		case known && waits && mends(tx, &r):
			return damaged
		case known && r.vouches(st):
			return foundBy(&r)
		case known && drifted != nil:
			drifted(path)
		}
		return found{kind: st.kind, size: st.size}
	}
}

// mends says whether an event waits that brings back what a record tells of.
func mends(tx *stateTx, r *record) bool {
	w, ok := tx.waiting(r.Event.Path)
	return ok && w.Seq == r.Seq && sameContent(&w.Event, &r.Event)
}

// damaged is what lies at a path where something else should be, by its record.
var damaged = found{kind: bus.KindFile, size: -1}

// plan takes in the indexes that became ready and chooses the next batch. The
// caller holds the commit lock.
func (s *session) plan() ([]op, error) {
	for {
		if err := s.register(); err != nil {
			return nil, err
		}
		ops, unsure := s.win.take(s.r.catalog)
		if len(unsure) == 0 {
			return ops, nil
		}
		for _, it := range unsure {
			f, err := s.openItem(it)
			var sum [16]byte
			if err == nil {
				sum, err = md5Of(f)
				f.Close()
			}
			s.win.setMD5(it, sum, err)
		}
	}
}

// register gives the catalog what it does not know yet.
func (s *session) register() error {
	c, fresh := s.r.catalog, s.win.takeFresh()
	if len(fresh) == 0 && !c.waitsChanged && len(c.unsure) == 0 {
		return nil
	}
	v := s.tree.visit()
	defer v.close()
	err := s.r.state.view(func(tx *stateTx) error {
		look := lookIn(tx, v, func(p string) { s.drifts = append(s.drifts, p) })
		for _, it := range fresh {
			c.remove(it.listing)
			it.listing = nil
			if it.blind != nil {
				continue
			}
			it.listing = newListing(it.path, it.entries)
			it.listing.item, it.entries = it, nil
			c.add(it.listing, look)
		}
		if len(fresh) > 0 || c.waitsChanged {
			for l := range c.staged {
				l.parked = parkedOf(tx, l)
			}
			c.waitsChanged = false
		}
		return nil
	})
	if err != nil {
		return broken("reading the state", err)
	}
	if len(s.drifts) > 0 {
		poke(s.drifted)
	}
	return s.sumRecords(v)
}

// parkedOf returns the claimed paths that the waiting bucket has an event of.
func parkedOf(tx *stateTx, l *listing) map[string]bool {
	if tx.waitingCount() == 0 {
		return nil
	}
	parked := make(map[string]bool)
	for _, cl := range l.claims {
		if w, ok := tx.waiting(cl.Path); ok {
			right, _ := cl.holds(&w.Event)
			parked[cl.Path] = right && cl.Optional && cl.absent && w.Event.Kind == bus.KindFile
		}
	}
	return parked
}

// sumRecords finds the MD5 of files that an index names by it and whose events
// came without.
func (s *session) sumRecords(v *visit) error {
	c := s.r.catalog
	for p := range c.unsure {
		delete(c.unsure, p)
		var rec record
		var known bool
		err := s.r.state.view(func(tx *stateTx) error { rec, known = tx.record(p); return nil })
		if err != nil {
			return broken("reading the state", err)
		}
		if !known || rec.Event.Kind != bus.KindFile || rec.Event.Content.HasMD5 {
			continue
		}
		if err := sumRecord(v, &rec); err != nil {
			s.r.log.Debug().Err(err).Str("path", p).Msg("the MD5 of a file could not be had")
			c.set(p, damaged)
			continue
		}
		if err := s.r.state.update(func(tx *stateTx) error { return tx.putRecord(&rec, nil) }); err != nil {
			return broken("writing the state", err)
		}
		c.set(p, foundBy(&rec))
	}
	return nil
}

func sumRecord(v *visit, rec *record) error {
	f, err := v.openFile(rec.Event.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if rec.Event.Content.MD5, err = md5Of(f); err != nil {
		return err
	}
	if st, err := statFile(f); err != nil || !rec.vouches(st) {
		return fmt.Errorf("it is not as it was left: %w", err)
	}
	rec.Event.Content.HasMD5 = true
	return nil
}

// tellCatalog notes what a batch made of the folder; it is in the state already.
func (b *batch) tellCatalog() {
	c := b.s.r.catalog
	if c == nil {
		return
	}
	for path, r := range b.changed {
		switch {
		case r == nil:
			c.set(path, found{})
			c.hide(path)
		case r.Event.Kind != bus.KindFile:
			c.set(path, foundBy(r))
			c.hide(path)
		default:
			c.set(path, foundBy(r))
		}
	}
	c.waitsChanged = c.waitsChanged || len(b.waits) > 0 || b.settledWaits
	for i := range b.again {
		it := b.again[i].item
		c.remove(it.listing)
		it.listing = nil
	}
	for i := range b.done {
		if o := &b.done[i]; o.index {
			b.tellIndex(c, o)
		}
	}
}

func (b *batch) tellIndex(c *catalog, o *op) {
	l := o.item.listing
	o.item.listing = nil
	if o.fail != nil {
		c.remove(l)
		c.failing[o.event.Path] = struct{}{}
		return
	}
	delete(c.failing, o.event.Path)
	r, ok := b.record(o.event.Path)
	if !ok || r.Seq != o.seq || r.Event.Kind != bus.KindFile {
		c.remove(l) // something newer was there
		return
	}
	if l == nil {
		l = blindListing(o.event.Path)
	}
	c.show(l, r.Event.Incomplete)
	poke(b.s.r.shown)
}
