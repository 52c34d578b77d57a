package subscriber

import (
	"context"
	"errors"
	"io/fs"
	"runtime"

	"waptsync/bus"
)

// packable is the size in bytes up to which a whole content is fetched in one
// piece, several to a request, when nothing on disk resembles it.
const packable = 1 << 20

// examine compares events with the records and what lstat says, and sends each
// to whoever can make it true.
func (s *session) examine(ctx context.Context, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	calm := s.win.calm()
	v := s.tree.visit()
	defer v.close()
	var equal, confirm, ready []*item
	next := make(map[*item]chan *item)
	err := s.r.state.view(func(tx *stateTx) error {
		for _, it := range items {
			ev, seq, ok := s.win.current(it)
			if !ok {
				continue
			}
			// Only at its first time no newer event can have joined it meanwhile.
			first := !it.examined
			it.examined = true
			if p := decided(&ev); p != nil {
				it.fail = p
				ready = append(ready, it)
				continue
			}
			if ev.Kind != bus.KindFile {
				it.plan = planOf(ev.Kind)
				ready = append(ready, it)
				continue
			}
			rec, known := tx.record(ev.Path)
			st, err := v.lstat(ev.Path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				it.fail = problemOf("looking at the path", err)
				ready = append(ready, it)
				continue
			}
			it.fresh = err != nil
			if st.kind == bus.KindDir {
				s.win.endanger(it) // what is beneath will be cleared away
			}
			it.plan, it.staged, it.synced = planConfirm, "", false
			if known && sameContent(&rec.Event, &ev) && rec.vouches(st) {
				_, waits := tx.waiting(ev.Path)
				if first && !waits && !s.confirmOnly(&rec, seq) && s.r.asWanted(&rec, &ev, st) {
					equal = append(equal, it)
				} else {
					confirm = append(confirm, it)
				}
				continue
			}
			next[it] = s.route(tx, &ev, st)
		}
		return nil
	})
	if err != nil {
		return broken("reading the state", err)
	}
	if calm {
		equal = s.win.resolve(equal)
	}
	confirm = append(confirm, equal...)
	for _, it := range append(confirm, ready...) {
		s.give(it)
	}
	for _, it := range items {
		if c := next[it]; c != nil {
			if err := send(ctx, c, it); err != nil {
				return err
			}
		}
	}
	return nil
}

// planOf is the plan for what is no file.
func planOf(k bus.Kind) plan {
	switch k {
	case bus.KindDir:
		return planDir
	case bus.KindSymlink:
		return planLink
	}
	return planDelete
}

// decided returns a problem for events that no try could make true.
func decided(ev *bus.Event) *problem {
	if err := bus.ValidPath(ev.Path); err != nil {
		return problemOf("judging the path", err)
	}
	if err := refusedOn(runtime.GOOS, ev); err != nil {
		return problemOf("judging the name", err)
	}
	if ev.Kind == bus.KindSymlink && !staysInside(ev.Path, ev.Target) {
		return problemOf("judging the link", errOutside)
	}
	return nil
}

// confirmOnly says whether the record's sequence is from another life of the
// stream, and has to be replaced: deletions compare with it.
func (s *session) confirmOnly(rec *record, seq uint64) bool {
	return s.reconciling && rec.Seq != seq
}

// asWanted says whether nothing has to be done for ev where rec vouches for st.
func (r *Replica) asWanted(rec *record, ev *bus.Event, st stat) bool {
	want := r.attributes(ev)
	return !want.differs(st) && rec.Event.MTime == ev.MTime && rec.Event.Mode == ev.Mode && rec.Event.Incomplete == ev.Incomplete
}

// route says who brings a content: the own disk is looked at when something
// there may be the same, then the main is asked for the whole or for objects.
func (s *session) route(tx *stateTx, ev *bus.Event, st stat) chan *item {
	if st.kind == bus.KindFile && st.size == ev.Content.Size && st.size > 0 {
		return s.hash
	}
	if _, ok := wholeHolder(tx, ev); ok {
		return s.hash
	}
	return s.channel(ev, st.kind == bus.KindFile || hasRelatives(tx, ev.Path))
}

// channel chooses between a packed request and single objects.
func (s *session) channel(ev *bus.Event, relatives bool) chan *item {
	c := &ev.Content
	if c.Size <= packable && (c.Objects <= 1 || !relatives) {
		return s.small
	}
	return s.large
}

// wholeHolder returns another path of the share that should hold ev's content.
func wholeHolder(tx *stateTx, ev *bus.Event) (path string, ok bool) {
	if ev.Content.Size == 0 {
		return "", false
	}
	if ev.From != "" && ev.From != ev.Path {
		if rec, ok := tx.record(ev.From); ok && sameContent(&rec.Event, ev) {
			return ev.From, true
		}
	}
	if ev.Content.Size < contentsFrom {
		return "", false
	}
	path, ok = tx.holder(ev.Content.Digest)
	return path, ok && path != ev.Path
}

// hasRelatives says whether the share has another file of the same package.
func hasRelatives(tx *stateTx, path string) (found bool) {
	prefix, ok := bus.PackagePrefix(path)
	if !ok {
		return false
	}
	tx.walkPrefix(prefix, func(p string, rec record) bool {
		found = p != path && rec.Event.Kind == bus.KindFile && rec.Event.Content.Size > 0
		return !found && p == path
	})
	return found
}
