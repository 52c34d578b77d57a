package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"waptsync/bus"
	"waptsync/console"
	"waptsync/publisher"
)

// mainPage lets the page show and change a main.
type mainPage struct {
	s *publishService

	mu   sync.Mutex
	sent sentBytes
}

// sentBytes adds up what was sent to remotes over all their connections, of
// which each counts from 0.
type sentBytes struct {
	total  int64
	before map[string]int64
}

// add takes the present counts. Where one is smaller a connection went, and what
// it sent after the last look is missed.
func (b *sentBytes) add(now map[string]int64) int64 {
	for name, n := range now {
		b.total += max(0, n-b.before[name])
	}
	b.before = now
	return b.total
}

var _ console.Main = (*mainPage)(nil)

// Status implements console.Main.
func (p *mainPage) Status(ctx context.Context) (*console.MainStatus, error) {
	st := p.s.Status(ctx)
	out := &console.MainStatus{
		Version: st.Version, Listen: st.Listen, Time: st.Time, Trouble: st.Trouble,
		Abilities: console.Abilities{ForceSync: true, Verify: true},
		Shares:    make(map[string]console.Share), Remotes: make(map[string]console.Remote),
		Invitations: []console.Invitation{},
	}
	var err error
	if out.Host, err = os.Hostname(); err != nil {
		out.Host = st.Listen
	}
	for name, sh := range st.Shares {
		out.Shares[name] = console.Share{
			Dir: sh.Dir, State: sh.State, Held: sh.Held, Files: sh.Files, Bytes: sh.Bytes, Newest: sh.Newest, Scanned: sh.Scanned,
			Index: showIndex(sh.Indexes), Errors: sh.Errors, Skipped: sh.Skipped, Problems: showProblems(sh.Problems),
		}
	}
	list := p.s.Remotes()
	managed := make(map[string]bool)
	for _, r := range list.Remotes {
		managed[r.Name] = r.Managed && p.s.config.Remotes != ""
	}
	sent := make(map[string]int64)
	for name, r := range st.Remotes {
		sent[name] = r.Sent
		out.Remotes[name] = console.Remote{
			Connected: r.Connected, Paused: r.Paused, Managed: managed[name], Address: r.Address, Since: r.Since, RTT: r.RTT,
			Host: r.Host, Version: r.Version, Reported: r.Reported, Verified: showVerified(r.Verified), Shares: showCopies(r.Shares, st.Time),
			Bandwidth: showBandwidth(r.Bandwidth, r.Rule, st.Time),
		}
	}
	for _, i := range list.Invitations {
		out.Invitations = append(out.Invitations, console.Invitation{Name: i.Name, Shares: i.Shares, Expires: i.Expires})
	}
	p.mu.Lock()
	out.Sent = p.sent.add(sent)
	p.mu.Unlock()
	return out, nil
}

func showIndex(all []publisher.IndexStatus) string {
	if len(all) == 0 {
		return console.IndexNone
	}
	for _, i := range all {
		if i.State != publisher.IndexComplete {
			return console.IndexIncomplete
		}
	}
	return console.IndexComplete
}

// Invite implements console.Main.
func (p *mainPage) Invite(_ context.Context, in console.Invite) (string, error) {
	out, err := p.s.Invite(inviteRequest{Name: in.Name, Shares: in.Shares, Expires: Duration(in.Expires.Round(time.Second))})
	return out.Line, forPage(err)
}

// SetPaused implements console.Main.
func (p *mainPage) SetPaused(_ context.Context, remote string, paused bool) error {
	return forPage(p.s.SetPaused(remote, paused))
}

// Revoke implements console.Main.
func (p *mainPage) Revoke(ctx context.Context, remote string) error {
	return forPage(p.s.Revoke(ctx, remote))
}

// SetShares implements console.Main.
func (p *mainPage) SetShares(ctx context.Context, remote string, shares []string) error {
	return forPage(p.s.SetShares(ctx, remote, shares))
}

// SetBandwidth implements console.Main.
func (p *mainPage) SetBandwidth(_ context.Context, remote, rule string) error {
	if strings.TrimSpace(rule) == "" {
		rule = noRule
	}
	return forPage(p.s.SetBandwidth(remote, bandwidthRequest{rule}))
}

// Approve implements console.Main.
func (p *mainPage) Approve(_ context.Context, share string) error { return forPage(p.s.Approve(share)) }

// Rescan implements console.Main.
func (p *mainPage) Rescan(_ context.Context, share string) error { return forPage(p.s.Rescan(share)) }

// ForceSync implements console.Main.
func (p *mainPage) ForceSync(_ context.Context, remote string) error {
	return forPage(p.s.Order(remote, bus.OrderReconcile))
}

// Verify implements console.Main.
func (p *mainPage) Verify(_ context.Context, remote string) error {
	return forPage(p.s.Order(remote, bus.OrderVerify))
}

// forPage keeps an error's hint and kind.
func forPage(err error) error {
	if err == nil {
		return nil
	}
	return &console.ActError{Status: statusOf(err), Text: err.Error(), Hint: hintOf(err)}
}
