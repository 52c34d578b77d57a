package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"waptsync/bus"
	"waptsync/subscriber"
)

// Order asks a remote to do something; it hears of it with the answer to its
// next report. One that is asked for the same twice before that does it once.
func (s *publishService) Order(remote, do string) error {
	if _, err := s.remote(remote); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory(remote)
	if slices.ContainsFunc(m.orders, func(o bus.Order) bool { return o.Do == do }) {
		return nil
	}
	// The clock, so that numbers grow over restarts of the main.
	m.number = max(m.number+1, uint64(time.Now().UnixNano()))
	m.orders = append(m.orders, bus.Order{Number: m.number, Do: do})
	return nil
}

// orders are what a remote that reports still has to take.
func (s *publishService) orders(remote string, r bus.Report) []bus.Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory(remote)
	m.orders = slices.DeleteFunc(m.orders, func(o bus.Order) bool { return o.Number <= r.Taken })
	return slices.Clone(m.orders)
}

// obey does what the main asks and was not taken before. It says whether there
// was anything. A verification goes on until ctx ends.
func (s *subscribeService) obey(ctx context.Context, orders []bus.Order) bool {
	any := false
	for _, o := range orders {
		if o.Number <= s.taken {
			continue
		}
		s.taken, any = o.Number, true
		s.log.Info().Str("order", o.Do).Msg("the main asks for it")
		switch o.Do {
		case bus.OrderReconcile:
			s.line.pass(true)
			for _, r := range s.shares {
				r.Reconcile()
			}
		case bus.OrderVerify:
			if s.verifying.CompareAndSwap(false, true) {
				s.working.Go(func() {
					defer s.verifying.Store(false)
					s.verifyAll(ctx)
				})
			}
		default:
			s.log.Warn().Str("order", o.Do).Msg("this version does not know what the main asks for")
		}
	}
	return any
}

// verifyAll compares all shares with the main and puts right what differs.
func (s *subscribeService) verifyAll(ctx context.Context) {
	var sum bus.Verification
	for _, share := range slices.Sorted(maps.Keys(s.shares)) {
		one, err := s.Verify(ctx, share, true, func(f subscriber.Finding) {
			s.log.Warn().Str("share", share).Str("path", f.Path).Str("what", f.What).Str("detail", f.Detail).
				Bool("repaired", f.Repaired).Msg("a file is not as the main published it")
		})
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				s.log.Error().Err(err).Str("share", share).Msg("the verification that the main asked for ended early")
			}
			return
		}
		sum.Files += one.Files
		sum.Differences += differences(one)
	}
	s.log.Info().Int64("files", sum.Files).Int64("differences", sum.Differences).Msg("all shares are verified")
	s.noteVerified(sum)
}

func differences(s subscriber.Summary) int64 { return s.Bad + s.Missing + s.Extra + s.Unreadable }

// noteVerified remembers how a verification of all shares ended, and has it reported.
func (s *subscribeService) noteVerified(v bus.Verification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.Time = time.Now()
	s.verified = v
	s.tell()
}

func (s *subscribeService) lastVerified() bus.Verification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.verified
}
