package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"waptsync/bus"
	"waptsync/console"
)

// pageServer is the page on its open port.
type pageServer struct {
	*console.Server
	listener net.Listener
	log      zerolog.Logger
}

// Run serves until ctx ends.
func (p *pageServer) Run(ctx context.Context) error {
	p.log.Info().Str("http", p.listener.Addr().String()).Msg("serving the page")
	return p.Serve(ctx, p.listener)
}

// Close gives the port back; Run does too.
func (p *pageServer) Close() { p.listener.Close() }

// openPage returns nil if the address cannot be had and need not be.
func openPage(address string, must bool, o console.Options, log zerolog.Logger) (*pageServer, error) {
	s, err := console.New(o)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil && !must {
		log.Warn().Err(err).Msg("no page, metrics and health checks: set http to another address, or to nothing")
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the page's port: %w", err)
	}
	return &pageServer{s, l, log}, nil
}

// openMainPage opens the page of a main; nil if none is configured.
func openMainPage(s *publishService, log zerolog.Logger) (*pageServer, error) {
	c := s.config
	address, must := c.address(httpMain)
	if address == "" {
		return nil, nil
	}
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	o.Main, o.Data, o.Version, o.Log = &mainPage{s: s}, c.Data, s.version, log
	o.Names = pageNames(c)
	// The certificate is for the same names, and for this host itself.
	if o.TLS, err = s.authority.PageTLS(append(slices.Clone(o.Names), "localhost", "127.0.0.1", "::1")); err != nil {
		return nil, err
	}
	return openPage(address, must, o, log)
}

// pageNames are the names and addresses by which browsers may reach a main's
// page: what is configured, this host's name, and where it listens.
func pageNames(c *PublishConfig) []string {
	names := slices.Clone(c.HTTPNames)
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	for _, address := range []string{c.HTTP, c.Listen, c.Advertise} {
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err == nil && host != "" && (ip == nil || !ip.IsUnspecified()) {
			names = append(names, host)
		}
	}
	slices.Sort(names[len(c.HTTPNames):])
	return slices.Compact(names)
}

// openRemotePage opens the page of a remote; nil if none is configured.
// It has to be called before the service runs.
func openRemotePage(s *subscribeService, log zerolog.Logger) (*pageServer, error) {
	c := s.config
	address, must := c.address(httpRemote)
	if address == "" {
		return nil, nil
	}
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	o.Replica, o.Data, o.Version, o.Log = &remotePage{s}, c.Data, s.version, log
	if !c.local() {
		pair := &reloadedPair{cert: c.ServeCert, key: c.ServeKey, log: log}
		if _, err := pair.get(nil); err != nil {
			return nil, err
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: pair.get}
		if name, err := os.Hostname(); err == nil {
			o.Names = append(o.Names, name)
		}
	}
	p, err := openPage(address, must, o, log)
	if p == nil {
		return nil, err
	}
	s.fetched = p.ObserveFetch
	return p, nil
}

// showProblems are problems as the page shows them.
func showProblems(all []bus.PathProblem) []console.Problem {
	out := make([]console.Problem, 0, len(all))
	for _, p := range all {
		out = append(out, console.Problem{Path: p.Path, Op: p.Op, Cause: p.Cause, Hint: p.Hint, Tries: p.Tries, Next: p.Next})
	}
	return out
}

// showCopy is a share on a remote as the page shows it.
func showCopy(s remoteShare, now time.Time) console.RemoteShare {
	out := console.RemoteShare{
		State: s.State, Files: s.Files, Bytes: s.Bytes, LagEvents: s.LagEvents, LagBytes: s.LagBytes, LagAge: s.LagSeconds,
		Received: s.Received, Reused: s.Reused, Errors: s.Errors, Problems: showProblems(s.Problems),
	}
	if s.Until.After(now) {
		out.Until = showMoment(s.Until, now)
	}
	for _, t := range s.Transfers {
		out.Transfers = append(out.Transfers, console.Transfer{Path: t.Path, Done: t.Done, Size: t.Size})
	}
	return out
}

func showCopies(shares map[string]remoteShare, now time.Time) map[string]console.RemoteShare {
	out := make(map[string]console.RemoteShare, len(shares))
	for name, s := range shares {
		out[name] = showCopy(s, now)
	}
	return out
}

// showBandwidth is how a line is used as the page shows it; mains is the rule that
// the main gives, and b what the remote told, or nil.
func showBandwidth(b *bus.BandwidthReport, mains string, now time.Time) console.Bandwidth {
	out := console.Bandwidth{Main: mains}
	if b == nil {
		out.Awaited = mains != ""
		return out
	}
	out.Own, out.Awaited, out.Now, out.Passing = b.Own, b.Main != mains, b.Now, b.Passing
	if b.Until.After(now) {
		out.Until = showMoment(b.Until, now)
	}
	return out
}

func showVerified(v bus.Verification) console.Verified {
	return console.Verified{Time: v.Time, Files: v.Files, Differences: v.Differences}
}
