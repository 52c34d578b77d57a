package subscriber

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"

	"waptsync/bus"
)

// placeTogether makes indexes visible, and with them the files that they name
// otherwise than the visible ones do. There is no call that replaces two files at
// once, so this keeps the time between the first rename and the last short: all
// is staged, durable and written to a journal before, and nothing but renames
// happens between.
//
// What is read first is replaced first: InRelease, Release, other indexes, then
// files. Between two renames a client may then see a new index and an old file,
// but only if it reads both in that time. The other way round it
// would suffice to read the index in that time, and the file at any time later.
// A client that has read the old index before meets the new file in both cases.
//
// done is false when it was put off, because something changed or failed before
// the first rename.
func (b *batch) placeTogether(ops []*op) (done bool, err error) {
	slices.SortFunc(ops, func(x, y *op) int {
		return cmp.Or(cmp.Compare(placeOrder(x), placeOrder(y)), cmp.Compare(x.event.Path, y.event.Path))
	})
	var moves, gone []*op
	var unsynced []string
	for i, o := range ops {
		if o.event.Kind == bus.KindDeleted {
			gone = append(gone, o)
			continue
		}
		before := b.troubles()
		if b.prepare(o) {
			moves = append(moves, o)
			if !o.synced {
				unsynced = append(unsynced, o.staged)
			}
		} else if b.troubles() > before {
			b.putOff(slices.Concat(moves, gone, ops[i+1:])...)
			return false, nil
		}
	}
	for _, o := range moves { // the journal names them
		if err := b.s.stage.tie(o.staged); err != nil {
			return false, broken("naming staged files", err)
		}
	}
	if err := b.s.stage.sync(unsynced); err != nil {
		return false, broken("syncing staged files", err)
	}
	if err := b.s.r.at("synced"); err != nil {
		return false, err
	}
	heads := make(map[*listing]*listing)
	for _, o := range ops {
		if old := b.s.r.catalog.visible[o.event.Path]; o.head && old != nil {
			heads[old] = o.listing
		}
	}
	b.freed = append(b.freed, b.s.r.catalog.freed(heads)...)
	for _, o := range gone {
		b.delete(o)
	}
	if len(moves) == 0 {
		return true, nil
	}
	return b.renameAll(moves)
}

// placeOrder is the order of renames: as clients read.
func placeOrder(o *op) int {
	if o.head {
		return readOrder(o.event.Path)
	}
	return readOrder("") + 1
}

// renameAll renames all, with nothing between.
func (b *batch) renameAll(moves []*op) (done bool, err error) {
	// A visit of its own, so that no folder is closed again before its turn.
	v := b.s.tree.visit()
	v.keep = true
	defer v.close()
	to := make([]*folder, len(moves))
	bases := make([]string, len(moves))
	for i, o := range moves {
		var dir string
		dir, bases[i] = split(o.event.Path)
		b.touched[dir] = true
		if to[i], err = v.folder(dir); err != nil {
			b.failed(o, problemOf("opening the folder", err))
			b.putOff(slices.Concat(moves[:i], moves[i+1:])...)
			return false, nil
		}
	}
	if len(moves) > 1 {
		if err := b.s.stage.beginJournal(moves); err != nil {
			return false, broken("writing the journal", err)
		}
		b.journal = true
	}
	names := make([]renaming, len(moves))
	for i, o := range moves {
		if names[i], err = newRenaming(o.staged, to[i], bases[i]); err != nil {
			return false, broken("renaming into place", err)
		}
	}
	at := b.s.r.failpoint
	errs := make([]error, len(moves))
	runtime.Gosched() // so that the scheduler has no reason to interrupt what follows
	for i := range names {
		if errs[i] = b.s.stage.dir.renameNow(&names[i]); errs[i] != nil && i == 0 {
			break
		}
		if at != nil && moves[i].head && (i+1 == len(moves) || !moves[i+1].head) {
			if err := at("renamed-index"); err != nil {
				return false, err
			}
		}
	}
	if errs[0] != nil {
		b.failed(moves[0], problemOf("renaming into place", errs[0]))
		b.putOff(moves[1:]...)
		if b.journal {
			b.s.stage.endJournal()
		}
		return false, nil
	}
	if err := b.s.r.at("renamed-files"); err != nil {
		return false, err
	}
	for i, o := range moves {
		st, err := to[i].lstat(bases[i])
		if errs[i] != nil {
			err = errs[i]
		}
		if err != nil {
			b.failed(o, problemOf("renaming into place", fmt.Errorf("with its index: %w", err)))
			continue
		}
		b.put(o, st)
		b.succeeded(o)
	}
	return true, nil
}
