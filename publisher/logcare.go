package publisher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waptsync/bus"
)

const (
	// checkPeriod is between looks at the event stream while nothing is
	// appended: a stream that was lost then shows by nothing else.
	checkPeriod  = 30 * time.Second
	checkTimeout = 10 * time.Second
	// slowAppend is when an append that got no answer makes somebody look at
	// the stream: a server whose disk is full never answers.
	slowAppend = 2 * time.Second
	// fullRetry is between looks at whether a full disk has room again.
	fullRetry = 4 * time.Second
)

// logLost says whether err means that a session cannot go on with the event
// stream as it is. While the store's disk is full nothing better is to be had.
func logLost(err error) bool {
	return logUseless(err) && !errors.Is(err, bus.ErrStoreFull)
}

// logUseless says whether err means that the stream takes nothing any more.
func logUseless(err error) bool {
	return errors.Is(err, bus.ErrLogLost) || errors.Is(err, bus.ErrRolledBack) || errors.Is(err, bus.ErrLogBroken)
}

func logAdvice(err error) string {
	switch {
	case errors.Is(err, bus.ErrStoreFull):
		return "make room on the disk of the data folder: publishing then goes on by itself"
	case errors.Is(err, bus.ErrLogBroken), errors.Is(err, context.DeadlineExceeded):
		return "see whether the disk of the data folder is full, slow or faulty"
	}
	return ""
}

// checkLog looks at the event stream without keeping the session waiting.
func (s *session) checkLog(now time.Time) {
	s.nextCheck = now.Add(s.p.checkPeriod)
	if s.checking {
		return
	}
	s.checking = true
	s.group.Go(func() {
		err := s.lookAtLog(s.ctx)
		select {
		case s.checked <- err:
		case <-s.ctx.Done():
		}
	})
}

// lookAtLog returns what is wrong with the stream. That nobody answers is not
// known to be wrong.
func (s *session) lookAtLog(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return s.o.Log.Check(ctx)
}

func (s *session) logChecked(err error) {
	s.checking = false
	switch {
	case err == nil:
		if len(s.batch) == 0 {
			s.problems.clear(logProblem)
		}
	case logLost(err):
		s.ended = fmt.Errorf("%w: %w", errAgain, err)
	default:
		s.problems.note(logProblem, "check", err.Error(), logAdvice(err))
		s.log.Warn().Err(err).Str("hint", logAdvice(err)).Msg("the event stream is not well")
	}
}

// commit appends events, however long that takes: appending some of them twice
// changes nothing.
func (s *session) commit(ctx context.Context, events []*bus.Event) (uint64, error) {
	s.p.committing.Turn()
	defer s.p.committing.Rest()
	s.flush(ctx, events)
	for pause := appendRetryMin; ; pause = min(2*pause, appendRetryMax) {
		s.p.committing.Turn()
		seq, err := s.append(ctx, events)
		if err == nil {
			s.problems.clear(logProblem)
			return seq, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if s.o.Log.Generation() != s.generation || logLost(err) {
			return 0, fmt.Errorf("%w: %w", errAgain, err) // Run mends the log
		}
		s.problems.note(logProblem, "append", err.Error(), logAdvice(err))
		s.log.Error().Err(err).Int("events", len(events)).Str("hint", logAdvice(err)).Dur("again", pause).
			Msg("events not stored, will be tried again")
		if errors.Is(err, bus.ErrStoreFull) {
			pause = min(pause, fullRetry)
		}
		s.p.committing.Rest()
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// append is one try. If there is no answer the stream may tell why, and an
// answer to what it is not able to do need not be waited for.
func (s *session) append(ctx context.Context, events []*bus.Event) (uint64, error) {
	if s.storeFull {
		// Each append would wait in vain.
		err := s.lookAtLog(ctx)
		if logUseless(err) {
			return 0, err
		}
		s.storeFull = false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		seq uint64
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		seq, err := s.o.Log.Append(ctx, events)
		answered <- answer{seq, err}
	}()
	look := time.NewTicker(slowAppend)
	defer look.Stop()
	for {
		select {
		case a := <-answered:
			if a.err != nil && !logLost(a.err) && ctx.Err() == nil {
				if err := s.lookAtLog(ctx); err != nil {
					a.err = fmt.Errorf("%w: %w", err, a.err)
				}
			}
			s.storeFull = errors.Is(a.err, bus.ErrStoreFull)
			return a.seq, a.err
		case <-look.C:
			if err := s.lookAtLog(ctx); logUseless(err) {
				cancel()
				<-answered // the log takes one at a time
				s.storeFull = errors.Is(err, bus.ErrStoreFull)
				return 0, err
			}
		}
	}
}
