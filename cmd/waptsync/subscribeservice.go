package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"waptsync/alive"
	"waptsync/bandwidth"
	"waptsync/bus"
	"waptsync/index"
	"waptsync/subscriber"
)

// subscribeService is a running remote. Its methods are what the control API,
// and later the page, offer; they may be called concurrently.
type subscribeService struct {
	config     *SubscribeConfig
	version    string
	log        zerolog.Logger
	membership *bus.Membership
	client     *bus.Client
	state      *subscriber.State
	line       *remoteLine
	shares     map[string]*subscriber.Replica
	fetched    func(time.Duration) // hears how long each fetch took; set before Run

	taken     uint64 // number of the newest order; the reporter's own
	verifying atomic.Bool
	working   sync.WaitGroup // for what the main ordered
	hasNews   atomic.Bool    // the main shall hear at once
	look      chan struct{}  // a report may say something else
	reporting alive.Loop

	mu       sync.Mutex
	verified bus.Verification // the newest of all shares
}

// startSubscribe opens the state and begins to connect; Run then replicates.
// It does not wait for the main. On an error nothing is left running.
func startSubscribe(ctx context.Context, c *SubscribeConfig, data *dataDir, version string, log zerolog.Logger) (_ *subscribeService, err error) {
	s := &subscribeService{config: c, version: version, log: log, shares: make(map[string]*subscriber.Replica), fetched: func(time.Duration) {}, look: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.membership, err = loadMembership(data.path); err != nil {
		return nil, err
	}
	identity, err := bus.LoadIdentity(data.path)
	if err != nil {
		return nil, err
	}
	if s.state, err = subscriber.OpenState(data.join("state.db")); err != nil {
		return nil, err
	}
	if why := s.state.Replaced(); why != nil {
		log.Error().Err(why).Msg("the state could not be read and was moved aside: all folders are compared with the main")
	}
	if s.line, err = openLine(data, c.Bandwidth.Rule, log); err != nil {
		return nil, err
	}
	if s.client, err = bus.Connect(ctx, bus.ClientOptions{Membership: s.membership, Identity: identity, Log: log}); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Shares)) {
		if err := s.openShare(name); err != nil {
			return nil, fmt.Errorf("opening share %s: %w", name, err)
		}
	}
	return s, nil
}

func (s *subscribeService) openShare(name string) error {
	c := s.config.Shares[name]
	o := subscriber.Options{
		Share: name, Dir: c.Dir, State: s.state,
		Bus:   timedBus{s.client, func(d time.Duration) { s.fetched(d) }},
		Trash: time.Duration(s.config.Trash), Rescan: time.Duration(s.config.Rescan), MinFree: int64(s.config.MinFree),
		Logger: s.log, Line: s.line.line, Changed: s.lookAgain,
	}
	o.DeleteGrace, o.KeepExtra = time.Duration(c.DeleteGrace), c.Adopt == adoptKeep
	var err error
	if o.Index, err = index.NewRule(c.indexPatterns()); err != nil {
		return err
	}
	if o.Owner, err = parseOwner(c.Owner); err != nil {
		return err
	}
	if o.FileMode, err = parseMode(c.FileMode); err != nil {
		return err
	}
	if o.DirMode, err = parseMode(c.DirMode); err != nil {
		return err
	}
	s.shares[name], err = subscriber.New(o)
	return err
}

// loadMembership reads what the join gave. Which shares it names is no more
// than what they were then: the main may have changed them, and says so itself.
func loadMembership(data string) (*bus.Membership, error) {
	m, err := bus.LoadMembership(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(errors.New("this host has not joined a main yet"),
			"join first: `waptsync invite NAME` on the main prints a line for `waptsync join` here")
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Run replicates and reports until ctx ends or a share cannot go on.
func (s *subscribeService) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		s.reportAll(ctx)
	}()
	done := make(chan error, 1)
	go func() { done <- runAll(ctx, s.shares) }()
	select {
	case err := <-done:
		cancel()
		<-reported
		s.working.Wait()
		return err
	case <-s.state.Damaged():
		// Who waits for a transaction may wait for ever.
		return errStateDamaged
	}
}

// errStateDamaged ends the service: a state is begun when it starts.
var errStateDamaged = withHint(errors.New("the disk damaged the state, which was moved aside"),
	"start the service again, as systemd does: it begins a new state and compares all folders with the main")

// stuck says what has not gone on for longer than limit.
func (s *subscribeService) stuck(limit time.Duration) error {
	var all []error
	for _, r := range s.shares {
		all = append(all, r.Stuck(limit))
	}
	return errors.Join(append(all, s.reporting.Check("reporting to the main", limit))...)
}

// Close disconnects and closes the state. Run must have returned.
func (s *subscribeService) Close() {
	if s.client != nil {
		s.client.Close()
	}
	if s.state != nil {
		if err := s.state.Close(); err != nil {
			s.log.Error().Err(err).Msg("closing the state failed; the next start may compare more than needed")
		}
	}
}

func (s *subscribeService) reports() map[string]bus.ShareReport {
	out := make(map[string]bus.ShareReport)
	for name, r := range s.shares {
		out[name] = r.Report()
	}
	return out
}

// Shares is the state of every share now.
func (s *subscribeService) Shares() map[string]remoteShare {
	now := time.Now()
	out := make(map[string]remoteShare)
	for name, r := range s.reports() {
		sh := remoteShare{ShareReport: r}
		if (r.LagEvents > 0 || r.LagBytes > 0) && !r.Oldest.IsZero() {
			sh.LagSeconds = max(0, now.Sub(r.Oldest).Seconds())
		}
		out[name] = sh
	}
	return out
}

// Status is the state of this remote now.
func (s *subscribeService) Status() *remoteStatus {
	out := &remoteStatus{
		header: header{roleSubscriber, s.version, time.Now()},
		Name:   s.membership.Name, Main: s.membership.Address,
		Connected: s.client.Connected(), Wire: s.client.Received(),
		Bandwidth: s.line.report(), Shares: s.Shares(),
	}
	if err := s.client.Trouble(); err != nil && !out.Connected {
		out.Cause = err.Error()
	}
	return out
}

// SetBandwidth replaces this remote's own rule for its line.
func (s *subscribeService) SetBandwidth(in bandwidthRequest) error {
	if in.Rule == configuredRule {
		return s.setOwn(nil)
	}
	rule, err := in.parse()
	if err != nil {
		return err
	}
	return s.setOwn(&rule)
}

func (s *subscribeService) setOwn(rule *bandwidth.Rule) error {
	err := s.line.SetOwn(rule)
	if err == nil {
		s.tell()
	}
	return err
}

func (s *subscribeService) share(name string) (*subscriber.Replica, error) {
	if r := s.shares[name]; r != nil {
		return r, nil
	}
	return nil, withHint(fmt.Errorf("share %q: %w", name, errNotFound),
		"replicated here: "+strings.Join(slices.Sorted(maps.Keys(s.shares)), ", "))
}
