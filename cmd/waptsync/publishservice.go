package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"waptsync/bus"
	"waptsync/publisher"
)

// publishService is a running main. Its methods are what the control API, and
// later the page, offer; they may be called concurrently.
type publishService struct {
	config    *PublishConfig
	version   string
	log       zerolog.Logger
	authority *bus.Authority
	registry  *bus.Registry
	server    *bus.Server
	service   *bus.Service
	logs      map[string]*bus.Log
	shares    publisher.Set
	manifests []*publisher.BoltManifests
	// windowNotes say of shares why their windows are not as configured.
	windowNotes map[string]bus.PathProblem

	mu      sync.Mutex
	reports map[string]*reportMemory // by remote
	// remotesErr is why the list of remotes is not in force as it is.
	remotesErr error
}

const startTimeout = 30 * time.Second // for the bus to take the answering side's subscriptions

// startPublish starts the bus and opens every share; Run then publishes.
// On an error nothing is left running.
func startPublish(ctx context.Context, c *PublishConfig, data *dataDir, version string, log zerolog.Logger) (_ *publishService, err error) {
	s := &publishService{config: c, version: version, log: log, logs: make(map[string]*bus.Log),
		shares: make(publisher.Set), reports: make(map[string]*reportMemory), windowNotes: make(map[string]bus.PathProblem)}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.authority, err = bus.LoadAuthority(data.join("tls")); err != nil {
		return nil, err
	}
	if s.registry, err = bus.LoadRegistry(data.path); err != nil {
		return nil, err
	}
	if c.TLSCert != "" {
		if err = s.authority.UseCertificate(c.TLSCert, c.TLSKey); err != nil {
			return nil, err
		}
	}
	if c.Remotes != "" {
		if _, err = s.syncRemotes(); err != nil {
			return nil, withCode(exitUsage, err)
		}
	}
	names := slices.Sorted(maps.Keys(c.Shares))
	s.server, err = bus.StartServer(ctx, bus.ServerOptions{
		Dir: data.join("bus"), Listen: c.Listen, Authority: s.authority, Registry: s.registry,
		Shares: names, MaxStore: int64(c.MaxStore), Log: log,
	})
	if err != nil {
		return nil, err
	}
	if err = s.openShares(ctx, names, data); err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s.service, err = bus.StartService(starting, s.server, bus.ServiceOptions{
		Files: s.shares, Logs: s.logs, OnReport: s.takeReport, Orders: s.orders, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Run publishes until ctx ends or a share cannot go on.
func (s *publishService) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	s.server.LayUpSpare()
	if s.config.Remotes != "" {
		following.Go(func() { s.followRemotes(ctx) })
	}
	return runAll(ctx, s.shares)
}

// stuck says what has not gone on for longer than limit.
func (s *publishService) stuck(limit time.Duration) error {
	var all []error
	for _, p := range s.shares {
		all = append(all, p.Stuck(limit))
	}
	return errors.Join(all...)
}

// Close stops answering, then the bus. Run must have returned.
func (s *publishService) Close() {
	if s.service != nil {
		s.service.Close()
	}
	if s.server != nil {
		s.server.Close()
	}
	for _, m := range s.manifests {
		if err := m.Close(); err != nil {
			s.log.Warn().Err(err).Msg("closing a manifest store failed; it is made again from the files")
		}
	}
}

func (s *publishService) takeReport(remote string, r bus.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory(remote).take(r, time.Now())
}

// memory is what is remembered of a remote; s.mu must be held.
func (s *publishService) memory(remote string) *reportMemory {
	m := s.reports[remote]
	if m == nil {
		m = &reportMemory{}
		s.reports[remote] = m
	}
	return m
}

// Status is the state of all shares and remotes now. What the bus cannot tell
// at the moment is left out, and why is said.
func (s *publishService) Status(ctx context.Context) *mainStatus {
	now := time.Now()
	out := &mainStatus{
		header: header{rolePublisher, s.version, now},
		Listen: s.server.Addr(), Fingerprint: s.authority.Fingerprint(), Served: s.service.Served(),
		Shares: make(map[string]mainShare), Remotes: make(map[string]mainRemote),
	}
	out.Refused = s.server.Refusals()
	out.Refused.Requests = s.service.Refused()
	s.mu.Lock()
	trouble := errors.Join(s.server.Health(), s.remotesErr)
	s.mu.Unlock()
	for name, p := range s.shares {
		share := showShare(p.Status())
		if note, ok := s.windowNotes[name]; ok {
			share.Problems = append(share.Problems, note)
		}
		out.Shares[name] = share
	}
	connections := s.server.Connections()
	for _, r := range s.registry.Remotes() {
		pending := make(map[string]int64)
		for _, share := range r.Shares {
			log := s.logs[share]
			if log == nil {
				continue // not published any more
			}
			n, err := log.Pending(ctx, r.Name)
			if err != nil {
				trouble, n = errors.Join(trouble, fmt.Errorf("how far %s is with %s: %w", r.Name, share, err)), -1
			}
			pending[share] = n
		}
		c, connected := connections[r.Name]
		out.Remotes[r.Name] = s.showRemote(r, c, connected, pending, now)
	}
	if trouble != nil {
		out.Trouble = trouble.Error()
	}
	return out
}

func (s *publishService) showRemote(r bus.Remote, c bus.Connection, connected bool, pending map[string]int64, now time.Time) mainRemote {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memory(r.Name)
	out := mainRemote{
		Connected: connected, Paused: r.Paused, Address: c.Address, Since: c.Since, RTT: c.RTT.Seconds(), Sent: c.Sent,
		Host: m.last.Host, Version: m.last.Version, Reported: m.came, Verified: m.last.Verified, remoteBandwidth: s.bandwidth(r),
		Shares: make(map[string]remoteShare),
	}
	for share, n := range pending {
		sh := m.share(share, connected, n, r.Added, now)
		if r.Paused {
			sh.State = statePaused
		}
		out.Shares[share] = sh
	}
	return out
}

// inviteRequest asks for an invitation.
type inviteRequest struct {
	Name      string   `json:"name"`
	Shares    []string `json:"shares"`    // none means all
	Advertise string   `json:"advertise"` // empty means the configured or the guessed address
	Expires   Duration `json:"expires"`
}

type inviteReply struct {
	Line string `json:"line"`
}

const maxExpiry = Duration(30 * day)

// Invite opens an invitation and returns its one line.
func (s *publishService) Invite(in inviteRequest) (inviteReply, error) {
	shares, err := s.pickShares(in.Shares)
	if err != nil {
		return inviteReply{}, err
	}
	if err := bus.ValidName(in.Name); err != nil {
		return inviteReply{}, withCode(exitUsage, err)
	}
	if in.Expires <= 0 || in.Expires > maxExpiry {
		return inviteReply{}, withCode(exitUsage, fmt.Errorf("an invitation's expiry must be between 0 and 30 days (got %s)", in.Expires))
	}
	address, err := s.address(in.Advertise)
	if err != nil {
		return inviteReply{}, err
	}
	trusted, err := s.authority.Trust(address)
	if err != nil {
		return inviteReply{}, withHint(err, "name another address with --advertise HOST:PORT")
	}
	line, err := s.registry.Invite(in.Name, shares, address, trusted, time.Duration(in.Expires))
	if err != nil {
		return inviteReply{}, err
	}
	return inviteReply{line}, s.apply()
}

// pickShares checks that the shares are published; none means all.
func (s *publishService) pickShares(shares []string) ([]string, error) {
	if len(shares) == 0 {
		return slices.Sorted(maps.Keys(s.shares)), nil
	}
	for _, share := range shares {
		if s.shares[share] == nil {
			return nil, s.noShare(share)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(shares))), nil
}

func (s *publishService) noShare(share string) error {
	return withHint(fmt.Errorf("share %q: %w", share, errNotFound),
		"published here: "+strings.Join(slices.Sorted(maps.Keys(s.shares)), ", "))
}

// address is where remotes shall connect: what is wished, what is configured,
// the listening address if it is a certain one, else this host's name.
func (s *publishService) address(wished string) (string, error) {
	if wished == "" {
		wished = s.config.Advertise
	}
	if wished != "" {
		host, _, err := net.SplitHostPort(wished)
		if err != nil || host == "" {
			return "", withCode(exitUsage, fmt.Errorf("address %q: want HOST:PORT", wished))
		}
		return wished, nil
	}
	host, port, err := net.SplitHostPort(s.server.Addr())
	if err != nil {
		return "", fmt.Errorf("reading the listening address: %w", err)
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return net.JoinHostPort(host, port), nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", withHint(fmt.Errorf("finding this host's name: %w", err), "name the address with --advertise HOST:PORT")
	}
	return net.JoinHostPort(name, port), nil
}

// apply makes the registry's state hold for the bus.
func (s *publishService) apply() error {
	if err := s.server.Apply(); err != nil {
		return fmt.Errorf("telling the bus about its remotes: %w", err)
	}
	return nil
}
