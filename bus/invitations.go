package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// redeemGrace is how long after its use an invitation still answers the remote
// that used it, and no other: on a bad link the answer may be lost after the
// main has written it down.
const redeemGrace = 10 * time.Minute

// The answers to a remote that may not join; they are shown to its administrator.
var (
	errNoInvitation   = errors.New("the invitation is not known here, was withdrawn, or has expired: ask for a new one")
	errInvitationUsed = errors.New("the invitation was used already, by another remote: ask for a new one")
)

// invitation is an open invitation as the main keeps it: without the secret, so
// that nobody can join with what is stored.
type invitation struct {
	Name    string    `json:"name"`
	Key     string    `json:"key"` // public NKey of the one-time secret
	Shares  []string  `json:"shares"`
	Expires time.Time `json:"expires"`
	UsedBy  string    `json:"used_by,omitempty"` // ID of the remote that joined with it
}

// Invitation is an invitation that waits for its remote.
type Invitation struct {
	Name    string    `json:"name"`
	Shares  []string  `json:"shares"`
	Expires time.Time `json:"expires"`
}

// Invite opens an invitation for a remote of that name and returns its one line.
// An earlier invitation of the same name that was not used is withdrawn; the
// name of a known remote is refused. address is the host:port by which the
// remote will reach the main, trusted what [Authority.Trust] gives for it.
func (r *Registry) Invite(name string, shares []string, address, trusted string, ttl time.Duration) (string, error) {
	line, err := r.invite(name, shares, address, trusted, ttl)
	if err != nil {
		return "", fmt.Errorf("inviting %q: %w", name, err)
	}
	return line, nil
}

func (r *Registry) invite(name string, shares []string, address, trusted string, ttl time.Duration) (string, error) {
	if err := errors.Join(ValidName(name), validShares(shares)); err != nil {
		return "", err
	}
	if ttl <= 0 {
		return "", fmt.Errorf("life of %v: want more than 0", ttl)
	}
	line, public, err := newInvitationLine(name, address, trusted)
	if err != nil {
		return "", err
	}
	err = r.change(func(s *registryState) error {
		if s.byName(name) >= 0 {
			return nameTaken(name)
		}
		s.Invitations = slices.DeleteFunc(s.Invitations, func(i invitation) bool { return i.Name == name })
		s.Invitations = append(s.Invitations, invitation{
			Name: name, Key: public, Shares: uniqueShares(shares), Expires: r.now().Add(ttl).UTC(),
		})
		return nil
	})
	if err != nil {
		return "", err
	}
	return line, nil
}

// Invitations returns the open invitations in order of their names.
func (r *Registry) Invitations() []Invitation {
	now := r.now()
	var open []Invitation
	for _, i := range r.snapshot().Invitations {
		if i.UsedBy == "" && now.Before(i.Expires) {
			open = append(open, Invitation{Name: i.Name, Shares: i.Shares, Expires: i.Expires})
		}
	}
	slices.SortFunc(open, func(a, b Invitation) int { return strings.Compare(a.Name, b.Name) })
	return open
}

// redeem makes the remote with that ID known by the invitation with that key.
// The invitation is spent thereby; only the same remote gets the same answer
// again, for redeemGrace.
func (r *Registry) redeem(key, id string) (Remote, error) {
	var m Remote
	err := r.change(func(s *registryState) (err error) {
		now := r.now()
		n := slices.IndexFunc(s.Invitations, func(i invitation) bool { return i.Key == key })
		if n < 0 || !now.Before(s.Invitations[n].Expires) {
			return errNoInvitation
		}
		i := &s.Invitations[n]
		switch i.UsedBy {
		case "":
			if m, err = s.add(i.Name, id, i.Shares, now); err != nil {
				return err
			}
			i.UsedBy, i.Expires = id, now.Add(redeemGrace).UTC()
		case id:
			k := s.byID(id)
			if k < 0 {
				return errNoInvitation
			}
			m = s.Remotes[k]
		default:
			return errInvitationUsed
		}
		return nil
	})
	m.Shares = slices.Clone(m.Shares)
	return m, err
}

// sweep drops invitations that have expired, and says whether there were any.
func (r *Registry) sweep() (dropped bool, err error) {
	now := r.now()
	expired := func(i invitation) bool { return !now.Before(i.Expires) }
	if !slices.ContainsFunc(r.snapshot().Invitations, expired) {
		return false, nil
	}
	err = r.change(func(s *registryState) error {
		s.Invitations = slices.DeleteFunc(s.Invitations, expired)
		return nil
	})
	return err == nil, err
}

// nextExpiry is when the next invitation expires; zero if there is none.
func (r *Registry) nextExpiry() time.Time {
	var next time.Time
	for _, i := range r.snapshot().Invitations {
		if next.IsZero() || i.Expires.Before(next) {
			next = i.Expires
		}
	}
	return next
}
