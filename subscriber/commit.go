package subscriber

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"waptsync/alive"
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
	tick := time.NewTicker(alive.Period)
	defer tick.Stop()
	for {
		s.r.following.Turn()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.win.ready:
		case <-late:
		case <-tick.C:
			continue
		}
		for {
			s.r.following.Turn()
			if err := s.bury(ctx); err != nil {
				return err
			}
			b, passed, wait, err := s.step(stored)
			if err != nil {
				return err
			}
			late = nil
			if b == nil {
				if wait > 0 {
					late = time.After(wait)
				}
				break
			}
			if err := s.finish(ctx, b, passed); err != nil {
				return err
			}
			s.r.changed()
			stored = time.Now()
		}
	}
}

// bury cleans up after items that a newer event superseded at the last moment.
func (s *session) bury(ctx context.Context) error {
	dead := s.win.reap()
	if len(dead) == 0 {
		return nil
	}
	s.r.commit.Lock()
	for _, it := range dead {
		s.r.catalog.remove(it.listing)
		it.listing = nil
	}
	s.r.commit.Unlock()
	var orphans []*item
	for _, it := range dead {
		s.stage.discard(it.staged)
		orphans = append(orphans, s.claims.release(it.content.Digest, it)...)
	}
	return s.examine(ctx, orphans)
}

// step plans and commits one batch. b is nil when there is nothing to do; then
// the committer looks again after wait, or when something comes up if it is 0.
func (s *session) step(stored time.Time) (b *batch, passed reached, wait time.Duration, err error) {
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	defer func() {
		if err != nil {
			s.r.catalog = nil // what is on disk is not what it says
		}
	}()
	if err := s.park(); err != nil {
		return nil, reached{}, 0, err
	}
	ops, err := s.plan()
	if err != nil {
		return nil, reached{}, 0, err
	}
	if len(ops) == 0 {
		moved, idle := s.win.moved()
		if left := positionPause - time.Since(stored); moved && !idle && left > 0 {
			moved, wait = false, left
		}
		if !moved {
			if d, ok := s.win.parkIn(); ok && (wait == 0 || d < wait) {
				wait = max(d, time.Millisecond)
			}
			return nil, reached{}, wait, nil
		}
	}
	b, passed, err = s.commit(ops)
	return b, passed, 0, err
}

// park moves events that many others have overtaken, or that wait for an index,
// from the stream to the waiting bucket, so that one slow file does not keep the
// bus from delivering.
func (s *session) park() error {
	return s.win.park(func(waits []waiting) error {
		s.r.catalog.waitsChanged = true
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

// commit makes one batch true: on disk and in the state.
func (s *session) commit(ops []op) (*batch, reached, error) {
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
	if err != nil {
		return nil, reached{}, broken("writing the state", err)
	}
	b.tellCatalog()
	return b, passed, s.r.at("stored")
}

// finish acknowledges a batch and sends on what comes of it.
func (s *session) finish(ctx context.Context, b *batch, passed reached) error {
	if err := s.feed.Ack(passed.seq); err != nil {
		s.r.log.Debug().Err(err).Msg("acknowledging failed; the next hello says where we are")
	}
	if err := s.r.at("acked"); err != nil {
		return err
	}
	examine := s.win.settle(b.done, b.later, b.again)
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

	known    map[string]*record // as stored before the batch, nil for what was not
	changed  map[string]*record // nil: forgotten
	encoding map[string][]byte  // manifests of changed ones
	touched  map[string]bool    // folders whose entries changed
	inPlace  []string           // files whose attributes changed where they lie

	own     map[string]bool // paths of ops
	freed   []string        // what only an index named that went
	journal bool            // there is one to be ended
	shown   map[string]shownSeconds
	// paths whose shown changed; settledWaits: the waiting bucket lost something.
	shownChanged []string
	settledWaits bool
	graced       []string // deletions that wait for their grace time

	done     []op // to be resolved: applied, of no effect, or moved to the waiting bucket
	later    []op // untouched, because something they depend on failed
	again    []op // what they were planned on changed meanwhile
	waits    []waiting
	failures int
	unwanted []objects.ID // contents that waited, and were overtaken by a newer event
}

func newBatch(s *session, ops []op) *batch {
	return &batch{
		s: s, ops: ops, v: s.tree.visit(),
		known:    make(map[string]*record),
		changed:  make(map[string]*record),
		encoding: make(map[string][]byte),
		touched:  make(map[string]bool),
		own:      make(map[string]bool, len(ops)),
		shown:    make(map[string]shownSeconds),
	}
}

// run changes the folder. What concerns one path becomes a waiting event; the
// error is about all.
//
// New files come first, then back to back the indexes and the named files that
// they replace, then deletions, each made durable before the next.
func (b *batch) run() error {
	if err := b.load(); err != nil {
		return err
	}
	var dirs, files, together, lateDirs, deletions []*op
	for i := range b.ops {
		o := &b.ops[i]
		b.own[o.event.Path] = true
		switch {
		case o.fail != nil:
			b.failed(o, o.fail)
		case o.event.Kind == bus.KindDir && (o.swap || o.head):
			lateDirs = append(lateDirs, o)
		case o.event.Kind == bus.KindDir:
			dirs = append(dirs, o)
		case o.head, o.swap && o.event.Kind != bus.KindDeleted:
			together = append(together, o)
		case o.event.Kind == bus.KindDeleted:
			deletions = append(deletions, o)
		default:
			files = append(files, o)
		}
	}
	if err := b.s.r.at("staged"); err != nil {
		return err
	}
	b.s.r.following.Turn()
	untroubled := b.troubles()
	b.makeDirs(dirs)
	if err := b.place(files); err != nil {
		return err
	}
	if b.troubles() > untroubled && len(together) > 0 {
		b.putOff(slices.Concat(together, lateDirs, deletions)...)
		return b.syncTouched()
	}
	if len(together) > 0 {
		// A power cut must not leave an index without the files it names, so the
		// renames before it are made durable first; and it before what goes.
		if err := b.syncTouched(); err != nil {
			return err
		}
		done, err := b.placeTogether(together)
		if err != nil {
			return err
		}
		if !done {
			b.putOff(slices.Concat(lateDirs, deletions)...)
			return b.syncTouched()
		}
		if err := b.syncTouched(); err != nil {
			return err
		}
		if b.journal {
			b.s.stage.endJournal()
		}
	}
	b.makeDirs(lateDirs)
	slices.SortFunc(deletions, byPath)
	for _, o := range slices.Backward(deletions) {
		b.delete(o)
	}
	if err := b.s.r.at("deleted"); err != nil {
		return err
	}
	return b.syncTouched()
}

func byPath(x, y *op) int { return cmp.Compare(x.event.Path, y.event.Path) }

// troubles counts what did not go as planned.
func (b *batch) troubles() int { return len(b.waits) + len(b.again) }

// putOff leaves ops for another batch.
func (b *batch) putOff(ops ...*op) {
	for _, o := range ops {
		b.later = append(b.later, *o)
	}
}

func (b *batch) makeDirs(dirs []*op) {
	slices.SortFunc(dirs, byPath)
	for _, o := range dirs {
		b.makeDir(o)
	}
}

// load reads the records of all paths of the batch.
func (b *batch) load() error {
	return broken("reading the state", b.s.r.state.view(func(tx *stateTx) error {
		for i := range b.ops {
			path := b.ops[i].event.Path
			if r, ok := tx.record(path); ok {
				b.known[path] = &r
			} else {
				b.known[path] = nil
			}
			if h := tx.shownSeconds(path); len(h) > 0 {
				b.shown[path] = h
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
		if r == nil {
			return record{}, false
		}
		return *r, true
	}
	var r record
	var ok bool
	_ = b.s.r.state.view(func(tx *stateTx) error { // cannot fail but by a closed file, which the store then tells
		r, ok = tx.record(path)
		return nil
	})
	return r, ok
}

// forget notes that nothing lies at a path any more.
func (b *batch) forget(path string) {
	if old, ok := b.record(path); ok {
		b.changed[path] = nil
		b.noteShown(&old)
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
	old, ok := b.record(o.event.Path)
	if ok && sameContent(&old.Event, &r.Event) && !r.Event.Content.HasMD5 {
		r.Event.Content.MD5, r.Event.Content.HasMD5 = old.Event.Content.MD5, old.Event.Content.HasMD5
	}
	if ok && old == *r {
		return
	}
	b.changed[o.event.Path] = r
	if ok {
		b.noteShown(&old)
	}
	if o.manifest != nil {
		b.encoding[o.event.Path] = o.manifest
	}
}

// store writes what changed to the state.
func (b *batch) store(tx *stateTx) error {
	// In the order of the state's pages.
	for _, path := range slices.Sorted(maps.Keys(b.changed)) {
		r := b.changed[path]
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
	if err := b.storeShown(tx); err != nil {
		return err
	}
	if err := b.storeGrace(tx); err != nil {
		return err
	}
	if k, _ := tx.waits().Cursor().First(); k != nil {
		for i := range b.done {
			if o := &b.done[i]; o.fail == nil && !slices.Contains(b.graced, o.event.Path) {
				digest, err := tx.settleWaiting(o.event.Path, o.seq)
				if err != nil {
					return err
				}
				b.settledWaits = true
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
