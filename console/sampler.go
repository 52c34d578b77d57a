package console

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	watchedPeriod = time.Second // between samples while somebody looks
	quietPeriod   = historyStep // and while nobody does: for the history
	sampleTimeout = 10 * time.Second
	sampleFresh   = time.Second // age of a sample that metrics and health still take
)

// sample is what one look at the service said.
type sample struct {
	at      time.Time
	main    *MainStatus
	replica *ReplicaStatus
	away    time.Duration // since a replica was last seen connected
}

// sampler looks at the service, and has what it saw shown. Its methods may be
// called concurrently.
type sampler struct {
	o     Options
	board *board
	poked chan struct{}

	mu    sync.Mutex // also held while looking, so that there is one look at a time
	last  *sample
	rates meters
	past  *history
	heard time.Time // when a replica was last connected, or first looked at
}

func newSampler(o Options) *sampler {
	return &sampler{o: o, board: newBoard(), poked: make(chan struct{}, 1), rates: make(meters), past: newHistory()}
}

// poke has it look now: somebody came to watch, or changed something.
func (s *sampler) poke() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

// run looks until ctx ends. A service is asked for its state and does not tell
// of changes, so this is a timer; it is slow while nobody watches.
func (s *sampler) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		fresh := time.Duration(0)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			fresh = watchedPeriod / 2 // metrics may have looked just now
		case <-s.poked:
		}
		if _, err := s.within(ctx, fresh); err != nil && ctx.Err() == nil {
			s.o.Log.Warn().Err(err).Msg("the page cannot show the service's state")
			s.board.put(map[string]any{"trouble": err.Error()})
		}
		period := quietPeriod
		if s.board.watchers() > 0 {
			period = watchedPeriod
		}
		timer.Reset(period)
	}
}

// within returns a sample that is not older than age.
func (s *sampler) within(ctx context.Context, age time.Duration) (*sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.last != nil && now.Sub(s.last.at) < age {
		return s.last, nil
	}
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	next := &sample{}
	var err error
	if s.o.Main != nil {
		next.main, err = s.o.Main.Status(ctx)
	} else {
		next.replica, err = s.o.Replica.Status(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the state: %w", err)
	}
	next.at = time.Now()
	if s.heard.IsZero() || next.replica != nil && next.replica.Connected {
		s.heard = next.at
	}
	next.away = next.at.Sub(s.heard)
	s.measure(next)
	s.last = next
	s.board.put(next.parts())
	return next, nil
}

// measure fills the rates and feeds the history; s.mu must be held.
func (s *sampler) measure(n *sample) {
	seen := make(map[string]bool)
	meter := func(key string, total int64) float64 {
		seen[key] = true
		return s.rates.rate(key, total, n.at)
	}
	totals := make(map[string]int64)
	if m := n.main; m != nil {
		totals[""] = m.Sent
		for name, r := range m.Remotes {
			r.Rate = measureShares(name, r.Shares, meter)
			for share, sh := range r.Shares {
				totals[name] += sh.Received
				if !r.Connected { // what was measured before is over
					sh.Rate, sh.ETA = 0, 0
					r.Shares[share] = sh
				}
			}
			if !r.Connected {
				r.Rate = 0
			}
			m.Remotes[name] = r
		}
	} else {
		totals[""] = n.replica.Received
		n.replica.Rate = meter("", n.replica.Received)
		measureShares("", n.replica.Shares, meter)
	}
	s.rates.keep(seen)
	if point, ok := s.past.add(totals, n.at); ok {
		s.board.addPoint(point, s.past.all())
	}
}

// measureShares fills the rates of a remote's shares and returns their sum. A
// path and a name cannot hold a NUL, so the keys are unique.
func measureShares(remote string, shares map[string]RemoteShare, meter func(string, int64) float64) float64 {
	sum := 0.0
	for name, sh := range shares {
		sh.Rate = meter(remote+"\x00"+name, sh.Received)
		sum += sh.Rate
		if sh.Rate > 0 && sh.LagBytes > 0 {
			sh.ETA = float64(sh.LagBytes) / sh.Rate
		}
		sh.Transfers = slices.Clone(sh.Transfers)
		for i := range sh.Transfers {
			t := &sh.Transfers[i]
			t.Rate = meter(remote+"\x00"+name+"\x00"+t.Path, t.Done)
			if t.Rate > 0 && t.Size > t.Done {
				t.ETA = float64(t.Size-t.Done) / t.Rate
			}
		}
		shares[name] = sh
	}
	return sum
}

// parts cuts a sample into what changes by itself.
func (n *sample) parts() map[string]any {
	out := map[string]any{"trouble": ""}
	if n.replica != nil {
		head := *n.replica
		head.Time, head.Shares, head.Dirs = time.Time{}, nil, nil
		out["head"] = head
		for name, sh := range n.replica.Shares {
			out["share/"+name] = struct {
				RemoteShare
				Dir string `json:"dir"`
			}{sh, n.replica.Dirs[name]}
		}
		return out
	}
	head := *n.main
	head.Time, head.Shares, head.Remotes, head.Invitations = time.Time{}, nil, nil, nil
	out["head"] = head
	out["invitations"] = slices.Clone(n.main.Invitations)
	out["names"] = slices.Sorted(maps.Keys(n.main.Shares))
	for name, sh := range n.main.Shares {
		out["share/"+name] = sh
	}
	for name, r := range n.main.Remotes {
		out["remote/"+name] = r
	}
	return out
}
