package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waptsync/bus"
)

// remoteList is what the registry holds.
type remoteList struct {
	Remotes     []remoteInfo     `json:"remotes"`
	Invitations []bus.Invitation `json:"invitations"` // open ones
}

// remoteInfo is an entry of the registry without its inbox, which is a secret.
type remoteInfo struct {
	Name   string    `json:"name"`
	ID     string    `json:"id"`
	Shares []string  `json:"shares"`
	Paused bool      `json:"paused"`
	Added  time.Time `json:"added"`
	// Managed: it comes from the list of remotes.
	Managed bool `json:"managed,omitempty"`
}

// Remotes lists the registry.
func (s *publishService) Remotes() remoteList {
	out := remoteList{Remotes: []remoteInfo{}, Invitations: s.registry.Invitations()}
	for _, r := range s.registry.Remotes() {
		out.Remotes = append(out.Remotes, remoteInfo{r.Name, r.ID, r.Shares, r.Paused, r.Added, r.Managed})
	}
	return out
}

// addRequest makes a remote known without an invitation.
type addRequest struct {
	Name      string   `json:"name"`
	ID        string   `json:"id"`
	Shares    []string `json:"shares"`    // none means all
	Advertise string   `json:"advertise"` // as in inviteRequest
}

// AddRemote makes a remote known by its ID and returns the membership that its
// own side needs.
func (s *publishService) AddRemote(in addRequest) (*bus.Membership, error) {
	shares, err := s.pickShares(in.Shares)
	if err != nil {
		return nil, err
	}
	address, err := s.address(in.Advertise)
	if err != nil {
		return nil, err
	}
	r, err := s.registry.Add(in.Name, in.ID, shares)
	if err != nil {
		return nil, err
	}
	if err := s.apply(); err != nil {
		return nil, err
	}
	return s.authority.Membership(r, address)
}

// membershipRequest asks for what a remote's own side needs.
type membershipRequest struct {
	Advertise string `json:"advertise"` // as in inviteRequest
}

// Membership is what the own side of a known remote needs.
func (s *publishService) Membership(name string, in membershipRequest) (*bus.Membership, error) {
	r, err := s.remote(name)
	if err != nil {
		return nil, err
	}
	address, err := s.address(in.Advertise)
	if err != nil {
		return nil, err
	}
	return s.authority.Membership(r, address)
}

// SetPaused keeps a remote from connecting, or lets it again.
func (s *publishService) SetPaused(name string, paused bool) error {
	if _, err := s.remote(name); err != nil {
		return err
	}
	if err := s.registry.SetPaused(name, paused); err != nil {
		return err
	}
	return s.apply()
}

// SetBandwidth replaces the main's rule for a remote's line. It travels in the
// answer to the remote's next report.
func (s *publishService) SetBandwidth(name string, in bandwidthRequest) error {
	if _, err := s.remote(name); err != nil {
		return err
	}
	rule, err := in.parse()
	if err != nil {
		return err
	}
	return s.registry.SetBandwidth(name, rule)
}

// Bandwidth tells the rules of all remotes.
func (s *publishService) Bandwidth() bandwidthReply {
	out := bandwidthReply{Role: rolePublisher, Remotes: make(map[string]remoteBandwidth)}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.registry.Remotes() {
		out.Remotes[r.Name] = s.bandwidth(r)
	}
	return out
}

// bandwidth is what is known of a remote's rules; s.mu must be held.
func (s *publishService) bandwidth(r bus.Remote) remoteBandwidth {
	return remoteBandwidth{r.Bandwidth.String(), s.memory(r.Name).last.Bandwidth}
}

// Revoke forgets a remote or an open invitation, cuts its connections and deletes what the bus keeps for it.
func (s *publishService) Revoke(ctx context.Context, name string) error {
	if err := s.managed(name); err != nil {
		return err
	}
	err := s.registry.Remove(name)
	if errors.Is(err, bus.ErrUnknownRemote) {
		return noRemote(name)
	}
	if err != nil {
		return err
	}
	if err := s.apply(); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.reports, name)
	s.mu.Unlock()
	return s.tidy(ctx, name)
}

// SetShares replaces the shares that a remote may have.
func (s *publishService) SetShares(ctx context.Context, name string, shares []string) error {
	if _, err := s.remote(name); err != nil {
		return err
	}
	if err := s.managed(name); err != nil {
		return err
	}
	if len(shares) == 0 {
		return withHint(withCode(exitUsage, fmt.Errorf("no share is named for %s", name)),
			"name one with --share, or use `waptsync remote revoke "+name+"`")
	}
	shares, err := s.pickShares(shares)
	if err != nil {
		return err
	}
	if err := s.registry.SetShares(name, shares); err != nil {
		return err
	}
	if err := s.apply(); err != nil {
		return err
	}
	return s.tidy(ctx, name)
}

// tidy deletes what the bus keeps and may not any more.
func (s *publishService) tidy(ctx context.Context, who string) error {
	if err := s.service.Tidy(ctx); err != nil {
		return fmt.Errorf("the rights of %s are changed, but the bus still keeps its place: %w", who, err)
	}
	return nil
}

// managed refuses a change that the list of remotes would undo. Pausing is not
// one, so that there is a brake that needs no configuration management.
func (s *publishService) managed(name string) error {
	if r, ok := s.registry.RemoteByName(name); ok && r.Managed && s.config.Remotes != "" {
		return withHint(fmt.Errorf("remote %s comes from %s", name, s.config.Remotes),
			"change it there, which takes effect at once; `waptsync remote pause "+name+"` cuts it off until then")
	}
	return nil
}

func (s *publishService) remote(name string) (bus.Remote, error) {
	if r, ok := s.registry.RemoteByName(name); ok {
		return r, nil
	}
	return bus.Remote{}, noRemote(name)
}

func noRemote(name string) error {
	return withHint(fmt.Errorf("remote %q: %w", name, errNotFound), "`waptsync remote list` names them")
}
