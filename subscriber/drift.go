package subscriber

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"waptsync/bus"
)

// compareStep is how many paths are compared between two looks at the state.
const compareStep = 1024

// A step of the comparison is followed by a pause of restTimes its own time, at
// most mostRest: nobody waits for it, and a service that is idle costs nothing. A
// million paths take some minutes so.
const (
	restTimes = 50
	mostRest  = time.Second
)

// rest pauses after a step of the comparison that began then.
func rest(ctx context.Context, began time.Time) error {
	t := time.NewTimer(min(restTimes*time.Since(began), mostRest))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// watchTree compares the folder with what it should be: after a reconcile's last
// event with what the main has, else when it has caught up, and again from time
// to time. It suspects only; what to do is decided under the commit lock.
func (s *session) watchTree(ctx context.Context) error {
	if s.reconciling {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.marker:
		}
		if err := s.waitShown(ctx); err != nil {
			return err
		}
		if err := s.removeUnconfirmed(ctx); err != nil {
			return err
		}
	} else if err := s.waitCaughtUp(ctx); err != nil {
		return err
	}
	compared := s.reconciling
	for {
		if !compared {
			if err := s.healDrift(ctx); err != nil {
				return err
			}
		}
		compared = false
		if err := s.clearParts(); err != nil {
			return err
		}
		if err := s.expireGrace(); err != nil {
			return err
		}
		if err := s.r.expireTrash(ctx, s.tree); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.r.log.Warn().Err(err).Msg("the trash could not be looked at")
		}
		if err := s.sleepRescan(ctx); err != nil {
			return err
		}
		if err := s.r.intact(s.tree); err != nil {
			return err
		}
		if err := s.keepTime(); err != nil {
			return err
		}
	}
}

// sleepRescan returns when it is time for the next comparison. Meanwhile files that
// an index waits for are healed, and what an index kept from being removed goes
// when that index is replaced.
func (s *session) sleepRescan(ctx context.Context) error {
	rescan := time.After(s.r.o.Rescan)
	for {
		var shown chan struct{}
		if s.left.Load() {
			shown = s.r.shown
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rescan:
			return nil
		case <-s.drifted:
			s.r.commit.Lock()
			suspects := s.drifts
			s.drifts = nil
			s.r.commit.Unlock()
			if err := s.heal(suspects); err != nil {
				return err
			}
		case <-shown:
			if err := s.findExtra(ctx); err != nil {
				return err
			}
		}
	}
}

// idlePause is how long nothing must come before a stream that ends with gaps is
// taken as seen to its end.
const idlePause = 5 * time.Second

// waitCaughtUp returns when all that the main had at the hello is on disk. Before
// that, a file that a killed predecessor brought in and had not noted yet would
// be taken for a local change.
func (s *session) waitCaughtUp(ctx context.Context) error {
	for {
		if s.win.passedSeq() >= s.welcome.Last {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.progress:
		case <-time.After(idlePause):
			if moved, _ := s.win.moved(); s.win.settled() && !moved {
				return nil
			}
		}
	}
}

// waitShown returns when the feed has once delivered all that there was: what the
// main published behind its marker is not known to be missing before.
func (s *session) waitShown(ctx context.Context) error {
	for !s.win.allShown() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.progress:
		case <-time.After(idlePause):
		}
	}
	return nil
}

// keepTime stores the main's time while nothing happens, so that an idle share
// is not taken for one that was away for long.
func (s *session) keepTime() error {
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	if _, idle := s.win.moved(); !idle || !s.comparedAll() {
		return nil
	}
	return broken("writing the state", s.r.state.update(func(tx *stateTx) error {
		p := tx.progress()
		p.Position.MainTime = s.mainNow()
		return tx.setProgress(p)
	}))
}

// healDrift undoes what was changed in the folder by others.
func (s *session) healDrift(ctx context.Context) error {
	if err := s.compareRecords(ctx); err != nil {
		return err
	}
	return s.findExtra(ctx)
}

// compareRecords looks at every path that should be there, one lstat each.
func (s *session) compareRecords(ctx context.Context) error {
	last, more := "", true
	for more {
		began := time.Now()
		var recs []record
		err := s.r.state.view(func(tx *stateTx) error {
			last, more = tx.walkRecords(last, compareStep, func(_ string, r record) { recs = append(recs, r) })
			return nil
		})
		if err != nil {
			return broken("reading the state", err)
		}
		v := s.tree.visit()
		var suspects []string
		for i := range recs {
			if s.isDrifted(v, &recs[i]) {
				suspects = append(suspects, recs[i].Event.Path)
			}
		}
		v.close()
		if err := s.heal(suspects); err != nil {
			return err
		}
		if err := rest(ctx, began); err != nil {
			return err
		}
	}
	return nil
}

// isDrifted says whether a path is not as it was left.
func (s *session) isDrifted(v *visit, r *record) bool {
	st, err := v.lstat(r.Event.Path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	want := s.r.attributes(&r.Event)
	return !r.vouches(st) || r.Event.Kind != bus.KindSymlink && want.differs(st)
}

// heal puts the last event of each path that drifted back among those to be
// applied.
func (s *session) heal(suspects []string) error {
	if len(suspects) == 0 {
		return nil
	}
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	if err := s.r.intact(s.tree); err != nil {
		return err
	}
	v := s.tree.visit()
	defer v.close()
	healed := 0
	var marked []string
	err := s.r.state.update(func(tx *stateTx) error {
		for _, p := range suspects {
			r, ok := tx.record(p)
			if !ok || s.win.pending(p) || !s.isDrifted(v, &r) {
				continue
			}
			if _, waits := tx.waiting(p); waits {
				continue
			}
			w := waiting{Seq: r.Seq, At: s.r.now(), Event: r.Event}
			if !s.r.catalog.claimed(p) {
				w.Next = s.r.now() // behind what an index names
			}
			if err := tx.putWaiting(&w); err != nil {
				return err
			}
			marked = append(marked, p)
			healed++
			s.r.log.Debug().Str("path", p).Msg("changed by others; putting it back")
		}
		return nil
	})
	if err != nil {
		return broken("writing the state", err)
	}
	for _, p := range marked {
		s.r.catalog.damage(p)
	}
	if healed > 0 {
		s.r.drift.Add(int64(healed))
		s.r.log.Warn().Int("paths", healed).Msg("files were changed or removed here by others; putting them back")
		poke(s.r.retried)
	}
	return nil
}

// findExtra moves what the state does not know to the trash.
func (s *session) findExtra(ctx context.Context) error {
	s.left.Store(false)
	return s.dispose(ctx, rest, func(tx *stateTx, p string) bool {
		if tx.files().Get([]byte(p)) != nil || tx.waits().Get([]byte(p)) != nil {
			return false
		}
		return !s.win.pending(p)
	}, func(n int64) {
		s.r.drift.Add(n)
		s.r.log.Warn().Int64("paths", n).Msg("files were added here by others; moved to the trash")
	})
}

// dispose walks the share and moves to the trash what should not be there;
// directories that are empty then are removed. rest is called between steps, gone
// with how many went.
func (s *session) dispose(ctx context.Context, rest func(context.Context, time.Time) error, extra func(tx *stateTx, p string) bool, gone func(n int64)) error {
	type found struct {
		path string
		kind bus.Kind
	}
	var seen []found
	total := int64(0)
	began := time.Now()
	s.kept = 0
	flush := func() error {
		var suspects []string
		err := s.r.state.view(func(tx *stateTx) error {
			for _, f := range seen {
				if extra(tx, f.path) {
					suspects = append(suspects, f.path)
				}
			}
			return nil
		})
		seen = seen[:0]
		if err != nil {
			return broken("reading the state", err)
		}
		n, err := s.remove(suspects, extra)
		total += n
		return err
	}
	err := walkTree(ctx, s.tree, "", func(p string, kind bus.Kind) error {
		seen = append(seen, found{p, kind})
		if len(seen) < compareStep {
			return nil
		}
		if err := flush(); err != nil {
			return err
		}
		err := rest(ctx, began)
		began = time.Now()
		return err
	})
	if err == nil {
		err = flush()
	}
	if total > 0 {
		gone(total)
	}
	if err == nil {
		s.r.extra.Store(s.kept)
	}
	return err
}

// remove takes suspects away that still should not be there, under the commit
// lock.
func (s *session) remove(suspects []string, extra func(tx *stateTx, p string) bool) (n int64, err error) {
	if len(suspects) == 0 {
		return 0, nil
	}
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	if err := s.r.intact(s.tree); err != nil {
		return 0, err
	}
	var still []string
	err = s.r.state.view(func(tx *stateTx) error {
		for _, p := range suspects {
			if extra(tx, p) {
				still = append(still, p)
			}
		}
		return nil
	})
	if err != nil {
		return 0, broken("reading the state", err)
	}
	if s.r.catalog == nil { // between two sessions
		if err := s.r.loadCatalog(context.Background(), s.tree, false); err != nil {
			return 0, err
		}
	}
	b := newBatch(s, nil)
	defer b.v.close()
	for _, p := range still { // children stand before their directories
		st, err := b.v.lstat(p)
		if errors.Is(err, fs.ErrNotExist) {
			b.forget(p)
			continue
		}
		if err == nil && st.kind != bus.KindDir && b.stays(p, st) {
			continue
		}
		if err == nil && st.kind == bus.KindDir {
			b.removeEmpty(p)
			continue
		}
		if err == nil {
			err = b.toTrash(p)
		}
		if err != nil {
			s.r.log.Warn().Err(err).Str("path", p).Msg("what the main does not have could not be moved to the trash")
			continue
		}
		n++
	}
	if err := b.syncTouched(); err != nil {
		return n, err
	}
	if err := s.r.state.update(b.store); err != nil {
		s.r.catalog = nil
		return n, broken("writing the state", err)
	}
	b.tellCatalog()
	return n, nil
}

// stays says whether something that the main does not have is left alone: while a
// visible index names it or its grace time lasts or, where that was asked for,
// because it did not come from the main.
func (b *batch) stays(p string, st stat) bool {
	s := b.s
	if s.r.catalog.keeps(p) || !b.graceOf(p).IsZero() {
		s.left.Store(true)
		return true
	}
	if rec, known := b.record(p); s.r.o.KeepExtra && !(known && rec.vouches(st)) {
		s.kept++
		return true
	}
	return false
}

// removeEmpty removes a directory, unless something is in it that stays.
func (b *batch) removeEmpty(p string) {
	dir, base := split(p)
	b.v.forget(p)
	f, err := b.v.folder(dir)
	if err != nil {
		return
	}
	if f.rmdir(base) == nil {
		b.touched[dir] = true
		b.forget(p)
	}
}
