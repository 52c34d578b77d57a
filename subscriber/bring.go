package subscriber

import (
	"context"
	"errors"
	"fmt"
	"os"

	"waptsync/bus"
	"waptsync/objects"
)

// bring puts a content of several objects together in the stage: from what an
// interrupted transfer left, from files that resemble it, the rest from the main,
// or from the window if the main's file is another by now. It is verified as a
// whole, and object by object only where that is wrong.
func (s *session) bring(ctx context.Context, it *item) error {
	workCtx, ev, ok := s.win.begin(ctx, it)
	if !ok {
		return s.examine(ctx, s.claims.release(it.content.Digest, it))
	}
	if !s.claims.take(ev.Content.Digest, it) {
		return nil // comes back when the other item is through
	}
	s.transfer(it, true)
	err := s.assemble(workCtx, it, &ev)
	s.transfer(it, false)
	link := (*linkError)(nil)
	switch {
	case err == nil:
		if s.give(it) {
			return nil // the committer releases the claim
		}
	case ctx.Err() != nil:
		return ctx.Err()
	case workCtx.Err() != nil:
		s.stage.discard(partName(ev.Content.Digest)) // superseded
	case errors.As(err, &link):
		if err := s.linkFailed(ctx, link.err); err != nil {
			return err
		}
		if err := send(ctx, s.large, it); err != nil {
			return err
		}
		return nil // the claim stays
	default:
		s.failed(it, "bringing the content", err)
		return nil
	}
	return s.examine(ctx, s.claims.release(ev.Content.Digest, it))
}

// transfer notes what is under way, for the report.
func (s *session) transfer(it *item, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		it.done.Store(0)
		s.active[it] = struct{}{}
	} else {
		delete(s.active, it)
	}
}

// linkError says that asking failed, and not the file.
type linkError struct{ err error }

func (e *linkError) Error() string { return e.err.Error() }

func (e *linkError) Unwrap() error { return e.err }

// assembly is one content being put together.
type assembly struct {
	s       *session
	it      *item
	ev      *bus.Event
	m       *objects.Manifest
	offsets []int64 // of each object
	have    []bool  // objects that are in the staged file, before the main is asked
	holes   []span  // of have: objects that are zeroes, and nothing is written there
	f       *os.File
	file    *hollow // f, to be written
	whole   *objects.Hasher
	hashed  int64 // bytes of the file that whole has seen
}

func (s *session) assemble(ctx context.Context, it *item, ev *bus.Event) error {
	rels, err := s.relatives(it, ev)
	if err != nil {
		return broken("reading the state", err)
	}
	m, encoding, err := s.manifest(ctx, ev, rels)
	if err != nil {
		return err
	}
	name := partName(ev.Content.Digest)
	f, err := s.stage.dir.openStaged(name)
	if err != nil {
		return fmt.Errorf("staging: %w", err)
	}
	defer f.Close()
	it.staged = name
	a := &assembly{s: s, it: it, ev: ev, m: m, f: f, file: &hollow{f: f}, have: make([]bool, len(m.Objects)), offsets: make([]int64, len(m.Objects)), whole: objects.NewHasher()}
	defer a.whole.Release()
	off := int64(0)
	for i := range m.Objects {
		a.offsets[i] = off
		off += int64(m.Objects[i].Size)
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	err = a.gather(ctx, rels)
	if isGone(err) && ev.InWindow {
		err = a.fromWindow(ctx, err)
	}
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing the staged file: %w", err)
	}
	it.plan, it.synced, it.manifest = planReplace, true, encoding
	return nil
}

// prepare finds out what an interrupted transfer left, and makes room for the rest.
func (a *assembly) prepare(ctx context.Context) error {
	st, err := statFile(a.f)
	if err != nil {
		return err
	}
	if a.file.blank = st.size == 0; a.file.blank {
		a.markZeroes()
	} else if err := a.resume(ctx, st.size); err != nil {
		return err
	}
	var lacking []span
	for i, o := range a.m.Objects {
		if !a.have[i] {
			lacking = extend(lacking, a.offsets[i], int64(o.Size))
		}
	}
	if err := a.s.stage.disk.take(bytesIn(lacking)); err != nil {
		return err
	}
	if st.size == 0 {
		if err := a.f.Truncate(a.m.Size); err != nil {
			return fmt.Errorf("staging: %w", err)
		}
	}
	reserved, err := reserve(a.f, lacking)
	if reserved {
		a.file.blank = false
	}
	return err
}

// resume keeps what is right of an interrupted transfer, and the room that it takes.
func (a *assembly) resume(ctx context.Context, size int64) error {
	if size != a.m.Size {
		if err := a.f.Truncate(a.m.Size); err != nil {
			return fmt.Errorf("staging: %w", err)
		}
	}
	kept, err := a.check(ctx)
	if kept > 0 {
		a.s.r.log.Debug().Str("path", a.ev.Path).Int64("bytes", kept).Msg("going on where the transfer stood")
	}
	return err
}

func (a *assembly) mark(i int) {
	if !a.have[i] {
		a.have[i] = true
		a.it.done.Add(int64(a.m.Objects[i].Size))
	}
}

// put writes a verified object to its place.
func (a *assembly) put(i int, data []byte) error {
	err := a.file.write(data, a.offsets[i], func(data []byte, offset int64, _ bool) error {
		_, err := a.f.WriteAt(data, offset)
		return err
	})
	if err != nil {
		return fmt.Errorf("writing to the stage: %w", err)
	}
	a.mark(i)
	return nil
}

// linkOr makes a linkError of what a request returned, unless the work was
// stopped.
func linkOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &linkError{err}
}
