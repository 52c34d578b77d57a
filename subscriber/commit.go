package subscriber

import (
	"cmp"
	"context"
	"slices"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

// positionPause is how often the position alone is stored while events come
// that need nothing.
const positionPause = 200 * time.Millisecond

// committer makes visible what is ready, batch after batch.
func (s *session) committer(ctx context.Context) error {
	var stored time.Time
	var late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.win.ready:
		case <-late:
		}
		for {
			if err := s.bury(ctx); err != nil {
				return err
			}
			if err := s.park(); err != nil {
				return err
			}
			ops := s.win.take()
			if len(ops) == 0 {
				moved, idle := s.win.moved()
				if !moved {
					break
				}
				if wait := positionPause - time.Since(stored); !idle && wait > 0 {
					late = time.After(wait)
					break
				}
			}
			if err := s.commit(ctx, ops); err != nil {
				return err
			}
			stored, late = time.Now(), nil
		}
	}
}

// bury cleans up after items that a newer event superseded at the last moment.
func (s *session) bury(ctx context.Context) error {
	var orphans []*item
	for _, it := range s.win.reap() {
		s.stage.discard(it.staged)
		orphans = append(orphans, s.claims.release(it.content.Digest, it)...)
	}
	return s.examine(ctx, orphans)
}

// park moves events that many others have overtaken from the stream to the
// waiting bucket, so that one slow file does not keep the bus from delivering.
func (s *session) park() error {
	if !s.win.crowded() {
		return nil
	}
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	return s.win.park(func(waits []waiting) error {
		return broken("writing the state", s.r.state.update(func(tx *stateTx) error {
			for i := range waits {
				if err := tx.putWaiting(&waits[i]); err != nil {
					return err
				}
			}
			return nil
		}))
	})
}

// commit makes one batch true: on disk, in the state, and acknowledged.
func (s *session) commit(ctx context.Context, ops []op) error {
	b, passed, err := s.commitLocked(ops)
	if err != nil {
		return err
	}
	if err := s.feed.Ack(passed.seq); err != nil {
		s.r.log.Debug().Err(err).Msg("acknowledging failed; the next hello says where we are")
	}
	examine := s.win.settle(b.done, b.again)
	for _, o := range slices.Concat(b.done, b.again) {
		examine = append(examine, s.claims.release(o.content.Digest, o.item)...)
	}
	for _, digest := range b.unwanted {
		if !s.claims.taken(digest) {
			s.stage.discard(partName(digest))
		}
	}
	s.noteCommitted(b)
	poke(s.progress)
	if s.reconciling && passed.marker == s.welcome.Generation {
		poke(s.marker)
	}
	if b.failures > 0 || len(b.done) > 0 {
		poke(s.r.retried)
	}
	return s.examine(ctx, examine)
}

func (s *session) commitLocked(ops []op) (*batch, reached, error) {
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	b := newBatch(s, ops)
	defer b.v.close()
	if len(ops) > 0 {
		if err := s.r.intact(s.tree); err != nil {
			return nil, reached{}, err
		}
		if err := b.run(); err != nil {
			return nil, reached{}, err
		}
	}
	passed := s.win.pass(b.done)
	err := s.r.state.update(func(tx *stateTx) error {
		if err := b.store(tx); err != nil {
			return err
		}
		return s.storePosition(tx, passed)
	})
	return b, passed, broken("writing the state", err)
}

// storePosition notes how far all is on disk. While reconciling there is no
// position worth resuming.
func (s *session) storePosition(tx *stateTx, passed reached) error {
	if !s.comparedAll() || passed.gen == (bus.Position{}).Generation {
		return nil
	}
	main := passed.at
	if _, idle := s.win.moved(); idle || main.IsZero() {
		main = s.mainNow()
	}
	return tx.setProgress(progress{Position: bus.Position{Generation: passed.gen, Seq: passed.known, MainTime: main}})
}

func (s *session) comparedAll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swept
}

func (s *session) noteCommitted(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range b.done {
		if !o.retried && o.fail == nil && o.at.After(s.newest) {
			s.newest = o.at
		}
	}
}

// batch is what is committed together.
type batch struct {
	s   *session
	ops []op
	v   *visit

	known    map[string]record  // as stored before the batch
	changed  map[string]*record // nil: forgotten
	encoding map[string][]byte  // manifests of changed ones
	touched  map[string]bool    // folders whose entries changed
	inPlace  []string           // files whose attributes changed where they lie

	done     []op // to be resolved: applied, of no effect, or moved to the waiting bucket
	again    []op // what they were planned on changed meanwhile
	waits    []waiting
	failures int
	unwanted []objects.ID // contents that waited, and were overtaken by a newer event
}

func newBatch(s *session, ops []op) *batch {
	return &batch{
		s: s, ops: ops, v: s.tree.visit(),
		known:    make(map[string]record),
		changed:  make(map[string]*record),
		encoding: make(map[string][]byte),
		touched:  make(map[string]bool),
	}
}

// run changes the folder. What concerns one path becomes a waiting event; the
// error is about all.
func (b *batch) run() error {
	if err := b.load(); err != nil {
		return err
	}
	var dirs, files, indexes, deletions []*op
	for i := range b.ops {
		o := &b.ops[i]
		switch {
		case o.fail != nil:
			b.failed(o, o.fail)
		case o.event.Kind == bus.KindDir:
			dirs = append(dirs, o)
		case o.event.Kind == bus.KindDeleted:
			deletions = append(deletions, o)
		case o.index:
			indexes = append(indexes, o)
		default:
			files = append(files, o)
		}
	}
	byPath := func(x, y *op) int { return cmp.Compare(x.event.Path, y.event.Path) }
	slices.SortFunc(dirs, byPath)
	for _, o := range dirs {
		b.makeDir(o)
	}
	if err := b.place(files); err != nil {
		return err
	}
	if len(indexes) > 0 {
		// A power cut must not leave an index without the files it names, so the
		// renames before it are made durable first; and it before what goes.
		if err := b.syncTouched(); err != nil {
			return err
		}
		if err := b.place(indexes); err != nil {
			return err
		}
		if len(deletions) > 0 {
			if err := b.syncTouched(); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(deletions, byPath)
	for _, o := range slices.Backward(deletions) {
		b.delete(o)
	}
	return b.syncTouched()
}

// load reads the records of all paths of the batch.
func (b *batch) load() error {
	return broken("reading the state", b.s.r.state.view(func(tx *stateTx) error {
		for i := range b.ops {
			if r, ok := tx.record(b.ops[i].event.Path); ok {
				b.known[r.Event.Path] = r
			}
		}
		return nil
	}))
}

// record returns what is known of a path, the batch's own changes included.
func (b *batch) record(path string) (record, bool) {
	if r, ok := b.changed[path]; ok {
		if r == nil {
			return record{}, false
		}
		return *r, true
	}
	if r, ok := b.known[path]; ok {
		return r, true
	}
	var r record
	var ok bool
	_ = b.s.r.state.view(func(tx *stateTx) error { // cannot fail but by a closed file, which the store then tells
		r, ok = tx.record(path)
		return nil
	})
	return r, ok
}

func (b *batch) forget(path string) {
	if _, ok := b.record(path); ok {
		b.changed[path] = nil
	}
}

func (b *batch) succeeded(o *op) { b.done = append(b.done, *o) }

// failed moves an op to the waiting bucket.
func (b *batch) failed(o *op, p *problem) {
	if o.plan == planReplace {
		b.s.stage.discardUnlessPart(o.staged)
	}
	o.fail = p
	tries := o.tries + 1
	b.waits = append(b.waits, p.waitingFor(o.event, o.seq, o.at, tries, b.s.r.now()))
	b.failures++
	b.done = append(b.done, *o)
	log := b.s.r.log.Warn()
	if tries > 1 {
		log = b.s.r.log.Debug()
	}
	log.Err(p.err).Str("path", o.event.Path).Str("op", p.op).Str("hint", p.hint).Int("tries", tries).
		Dur("again_in", p.pause(tries)).Msg("a path could not be made as the main has it")
}

// retry sends an op back to be examined: what it was planned on changed.
func (b *batch) retry(o *op) {
	b.s.stage.discardUnlessPart(o.staged)
	b.again = append(b.again, *o)
}

// put notes what a path is now.
func (b *batch) put(o *op, st stat) {
	r := &record{Seq: o.seq, Event: o.event, Local: localOf(st)}
	r.Event.From, r.Event.InWindow, r.Event.Origin = "", false, bus.Origin{}
	if old, ok := b.record(o.event.Path); ok && old == *r {
		return
	}
	b.changed[o.event.Path] = r
	if o.manifest != nil {
		b.encoding[o.event.Path] = o.manifest
	}
}

// store writes what changed to the state.
func (b *batch) store(tx *stateTx) error {
	for path, r := range b.changed {
		var err error
		if r == nil {
			err = tx.dropRecord(path)
		} else {
			err = tx.putRecord(r, b.encoding[path])
		}
		if err != nil {
			return err
		}
	}
	if k, _ := tx.waits.Cursor().First(); k != nil {
		for i := range b.done {
			if o := &b.done[i]; o.fail == nil {
				digest, err := tx.settleWaiting(o.event.Path, o.seq)
				if err != nil {
					return err
				}
				if !digest.IsZero() && digest != o.content.Digest {
					b.unwanted = append(b.unwanted, digest)
				}
			}
		}
	}
	for i := range b.waits {
		if err := tx.putWaiting(&b.waits[i]); err != nil {
			return err
		}
	}
	return nil
}
