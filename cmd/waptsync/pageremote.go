package main

import (
	"context"
	"time"

	"waptsync/bus"
	"waptsync/console"
)

// remotePage lets the page show a remote.
type remotePage struct{ s *subscribeService }

var _ console.Replica = remotePage{}

// Status implements console.Replica.
func (p remotePage) Status(context.Context) (*console.ReplicaStatus, error) {
	st := p.s.Status()
	out := &console.ReplicaStatus{
		Version: st.Version, Name: st.Name, Main: st.Main, Time: st.Time, Connected: st.Connected, Trouble: st.Cause,
		Received: st.Wire, Verified: showVerified(p.s.lastVerified()), Shares: showCopies(st.Shares, st.Time),
		Bandwidth: showBandwidth(st.Bandwidth, st.Bandwidth.Main, st.Time), Dirs: make(map[string]string),
	}
	for name, c := range p.s.config.Shares {
		out.Dirs[name] = c.Dir
	}
	return out, nil
}

// timedBus tells how long fetches take.
type timedBus struct {
	*bus.Client
	took func(time.Duration)
}

// Fetch implements subscriber.Bus.
func (b timedBus) Fetch(ctx context.Context, share string, items []bus.Item, sink func(bus.Piece) error) ([]error, error) {
	began := time.Now()
	errs, err := b.Client.Fetch(ctx, share, items, sink)
	if err == nil {
		b.took(time.Since(began))
	}
	return errs, err
}
