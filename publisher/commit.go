package publisher

import (
	"context"
	"time"

	"waptsync/bus"
)

// committed is what became of a batch.
type committed struct {
	seq uint64
	err error // the session is over
}

const (
	appendRetryMin = 500 * time.Millisecond
	appendRetryMax = 30 * time.Second
)

// logProblem is the path under which a status tells that the log does not take events.
const logProblem = "./events"

// startCommit hands what is ready to the committer, if that has nothing to do.
// So one event alone goes at once, and while thousands come the next batch
// gathers during the sync of the last.
func (s *session) startCommit() {
	if len(s.batch) > 0 || s.held() || s.ended != nil {
		return
	}
	for len(s.batch) < maxBatch {
		w := s.ready.peek()
		if w == nil {
			break
		}
		s.ready.drop()
		if w.event == nil { // taken back
			continue
		}
		w.phase = committing
		s.batch = append(s.batch, w)
	}
	if len(s.batch) == 0 {
		return
	}
	events := make([]*bus.Event, len(s.batch))
	for i, w := range s.batch {
		events[i] = w.event
		if w.event.Kind == bus.KindFile {
			s.announced.Store(w.path, entryOf(w.event))
		}
	}
	s.group.Go(func() {
		seq, err := s.commit(s.ctx, events)
		select {
		case s.committed <- committed{seq, err}:
		case <-s.ctx.Done():
		}
	})
}

// flush sees to it that the window has what events promise.
func (s *session) flush(ctx context.Context, events []*bus.Event) {
	promised := false
	for _, e := range events {
		promised = promised || e.InWindow
	}
	if !promised {
		return
	}
	if err := s.o.Window.Flush(ctx); err != nil {
		s.log.Warn().Err(err).Msg("the window did not take new objects: remotes will fetch them")
		for _, e := range events {
			e.InWindow = false
		}
	}
}

// settleCommit brings the tree up to what the log has now.
func (s *session) settleCommit(c committed) {
	batch := s.batch
	s.batch = nil
	if c.err != nil {
		s.ended = c.err
		return
	}
	if s.o.Log.Generation() != s.generation {
		s.ended = errAgain
		return
	}
	now := time.Now()
	marked := false
	for _, w := range batch {
		switch w.event.Kind {
		case bus.KindMarker:
			marked = true
			continue
		case bus.KindDeleted:
			s.tree.delete(w.path)
			s.buried(w.path)
		default:
			if _, known := s.tree.get(w.path); !known {
				s.recent.appeared()
			}
			s.tree.put(w.path, entryOf(w.event))
		}
	}
	s.announced.Clear()
	s.p.appended(len(batch), now, marked)
	for _, w := range batch {
		if w.event.Kind == bus.KindMarker {
			continue
		}
		s.settled(w.path, w)
		s.indexPublished(w.path, w.event)
		if w.dirty {
			s.hint(w.path, s.recheckKind(w, w.written))
		}
	}
	if marked {
		s.another = ""
		if err := s.p.change(func(m *memory) { m.Folder = memoryOf(s.folder) }); err != nil {
			s.log.Warn().Err(err).Msg("another folder in this one's place will not be noticed after a restart")
		}
		s.log.Info().Stringer("generation", s.generation).Msg("all of the folder is published")
	}
}
