package bus

import (
	"context"
	"errors"
)

// Membership is what a remote knows after it joined a main.
type Membership struct {
	Name    string   `json:"name"`
	Address string   `json:"address"`
	CA      string   `json:"ca"` // PEM
	Inbox   string   `json:"inbox"`
	Shares  []string `json:"shares"`
}

// Join uses an invitation's line once and returns the membership it gave.
func Join(ctx context.Context, line string, id *Identity) (*Membership, error) {
	return nil, errors.New("not built")
}

// SaveMembership writes m to dir (mode 0600, synced).
func SaveMembership(dir string, m *Membership) error { return errors.New("not built") }

// LoadMembership reads what SaveMembership wrote; fs.ErrNotExist before the first join.
func LoadMembership(dir string) (*Membership, error) { return nil, errors.New("not built") }
