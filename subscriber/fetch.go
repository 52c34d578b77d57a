package subscriber

import (
	"context"
	"errors"
	"time"

	"waptsync/bus"
)

// requestsAtOnce is how many requests of a share are under way: the main takes
// four of a remote. Those of another share may still make it refuse one.
const requestsAtOnce = 4

// largeAtOnce is how many of these may be for large files, so that a small one
// never waits for its turn behind them.
const largeAtOnce = 3

// Pauses after the main said that too much is under way.
const (
	leastBusyPause = 10 * time.Millisecond
	mostBusyPause  = time.Second
)

// fetch is Bus.Fetch, and asks again for what the main was too busy to give.
func (s *session) fetch(ctx context.Context, items []bus.Item, sink func(bus.Piece) error) ([]error, error) {
	if err := s.requests.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.requests.Release(1)
	errs := make([]error, len(items))
	left := make([]int, len(items)) // of items, as asked for
	for i := range left {
		left[i] = i
	}
	for pause := leastBusyPause; ; pause = min(2*pause, mostBusyPause) {
		ask := items
		if len(left) < len(items) {
			ask = make([]bus.Item, len(left))
			for i, item := range left {
				ask[i] = items[item]
			}
		}
		began, sent := time.Now(), int64(0)
		got, err := s.r.o.Bus.Fetch(ctx, s.r.o.Share, ask, func(p bus.Piece) error {
			sent += p.Sent()
			p.Item = left[p.Item]
			return sink(p)
		})
		if err != nil {
			return errs, err
		}
		s.pace.took(sent, time.Since(began))
		var busy []int
		for i, err := range got {
			errs[left[i]] = err
			if isBusy(err) {
				busy = append(busy, left[i])
			}
		}
		if len(busy) == 0 {
			s.linkWorks()
			return errs, nil
		}
		left = busy
		select {
		case <-ctx.Done():
			return errs, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// isBusy says whether the main had too much under way to give it now.
func isBusy(err error) bool { return hasCode(err, bus.FetchBusy) }

// isGone says whether the main's file is not what was asked for any more.
func isGone(err error) bool { return hasCode(err, bus.FetchGone) }

func hasCode(err error, code bus.FetchCode) bool {
	fe := (*bus.FetchError)(nil)
	return errors.As(err, &fe) && fe.Code == code
}
