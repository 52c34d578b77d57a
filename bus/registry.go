package bus

import (
	"errors"
	"time"
)

// Remote is a remote that the main knows.
type Remote struct {
	Name   string    `json:"name"`
	ID     string    `json:"id"`    // public NKey, U…
	Inbox  string    `json:"inbox"` // random token of its inbox prefix; not for others' eyes
	Shares []string  `json:"shares"`
	Paused bool      `json:"paused,omitempty"`
	Added  time.Time `json:"added"`
}

// Registry is the main's list of remotes and open invitations, kept in a file of mode 0600.
// Its methods may be called concurrently; each change is on disk when it returns.
type Registry struct{}

// LoadRegistry reads the registry of dir; a missing file is an empty registry.
func LoadRegistry(dir string) (*Registry, error) { return nil, errors.New("not built") }

// Remotes returns the remotes in order of their names.
func (r *Registry) Remotes() []Remote { return nil }

// Invite opens an invitation for a remote of that name and returns its one line.
func (r *Registry) Invite(name string, shares []string, address, fingerprint string, ttl time.Duration) (string, error) {
	return "", errors.New("not built")
}

// Add makes a remote known by its public ID.
func (r *Registry) Add(name, id string, shares []string) (Remote, error) {
	return Remote{}, errors.New("not built")
}

// Remove forgets a remote.
func (r *Registry) Remove(name string) error { return errors.New("not built") }

// SetPaused keeps a remote from connecting, or lets it again.
func (r *Registry) SetPaused(name string, paused bool) error { return errors.New("not built") }

// SetShares replaces the shares that a remote may have.
func (r *Registry) SetShares(name string, shares []string) error { return errors.New("not built") }
