package subscriber

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"waptsync/bus"
)

// removeUnconfirmed ends a reconcile: the stream has shown all that the main
// has, so what it did not name goes to the trash, and the position becomes one
// that can be resumed.
func (s *session) removeUnconfirmed(ctx context.Context) error {
	extra := func(_ *stateTx, p string) bool { return !s.confirmed.contains(p) && !s.win.pending(p) }
	if err := s.removeIndexes(extra); err != nil {
		return err
	}
	err := s.dispose(ctx, func(ctx context.Context, _ time.Time) error { return ctx.Err() }, extra, func(n int64) {
		s.r.log.Warn().Int64("paths", n).Msg("the main does not have what was here; moved to the trash")
	})
	if err != nil {
		return err
	}
	if err := s.forgetUnconfirmed(ctx); err != nil {
		return err
	}
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	passed := s.win.pass(nil)
	err = s.r.state.update(func(tx *stateTx) error {
		return tx.setProgress(progress{Position: bus.Position{
			Generation: passed.gen, Seq: passed.known, MainTime: passed.at,
		}})
	})
	if err != nil {
		return broken("writing the state", err)
	}
	s.mu.Lock()
	s.swept = true
	s.mu.Unlock()
	s.r.log.Info().Msg("the folder was compared with all that the main has")
	return nil
}

// removeIndexes removes the indexes that the main does not have, one after the
// other and first what names others: else they would keep what they name.
func (s *session) removeIndexes(extra func(tx *stateTx, p string) bool) error {
	s.r.commit.Lock()
	var paths []string
	if s.r.catalog != nil {
		paths = slices.Collect(maps.Keys(s.r.catalog.visible))
	}
	s.r.commit.Unlock()
	slices.SortFunc(paths, func(a, b string) int {
		return cmp.Or(cmp.Compare(readOrder(a), readOrder(b)), cmp.Compare(a, b))
	})
	for _, p := range paths {
		if _, err := s.remove([]string{p}, extra); err != nil {
			return err
		}
	}
	return nil
}

// forgetUnconfirmed drops the records of paths that the main does not have.
func (s *session) forgetUnconfirmed(ctx context.Context) error {
	last, more := "", true
	for more {
		if err := ctx.Err(); err != nil {
			return err
		}
		var gone []string
		err := s.r.state.view(func(tx *stateTx) error {
			last, more = tx.walkRecords(last, compareStep, func(p string, _ record) {
				if !s.confirmed.contains(p) {
					gone = append(gone, p)
				}
			})
			return nil
		})
		if err != nil {
			return broken("reading the state", err)
		}
		if len(gone) == 0 {
			continue
		}
		s.r.commit.Lock()
		err = s.r.state.update(func(tx *stateTx) error {
			for _, p := range gone {
				if s.confirmed.contains(p) {
					continue
				}
				if err := tx.dropRecord(p); err != nil {
					return err
				}
				s.r.catalog.unrecord(p) // what an index names may still lie there
			}
			return nil
		})
		s.r.commit.Unlock()
		if err != nil {
			return broken("writing the state", err)
		}
	}
	return nil
}
