package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"waptsync/bandwidth"
)

// ManagedRemote is an entry of a list of remotes that somebody else keeps, most
// often configuration management.
type ManagedRemote struct {
	Name   string
	ID     string
	Shares []string
	// Paused, if not nil, is so from now on; nil leaves it as an administrator
	// set it, so that pausing by hand outlives the next change of the list.
	Paused *bool
	// Bandwidth is as Paused: nil leaves the rule as an administrator set it.
	Bandwidth *bandwidth.Rule
}

// SyncResult names the remotes that Sync changed.
type SyncResult struct{ Added, Changed, Removed []string }

// Empty says that nothing changed.
func (r *SyncResult) Empty() bool { return len(r.Added)+len(r.Changed)+len(r.Removed) == 0 }

// Sync makes the remotes that come from a list be what the list says: it adds,
// changes and removes. Remotes that were invited or added by hand stay as they
// are; one of them that the list names with the same ID belongs to the list
// from then on. A remote whose ID changed is a new one, with a new inbox. It is
// all or nothing: an error names all that is wrong with the list.
func (r *Registry) Sync(list []ManagedRemote) (SyncResult, error) {
	var done SyncResult
	next := r.snapshot()
	if err := next.sync(list, r.now(), &done); err != nil {
		return SyncResult{}, fmt.Errorf("taking over the list of remotes: %w", err)
	}
	if done.Empty() {
		return done, nil // no need to write
	}
	err := r.change(func(s *registryState) error {
		done = SyncResult{}
		return s.sync(list, r.now(), &done)
	})
	if err != nil {
		return SyncResult{}, fmt.Errorf("taking over the list of remotes: %w", err)
	}
	return done, nil
}

func (s *registryState) sync(list []ManagedRemote, now time.Time, done *SyncResult) error {
	list = slices.SortedFunc(slices.Values(list), func(a, b ManagedRemote) int { return strings.Compare(a.Name, b.Name) })
	if err := validList(list); err != nil {
		return err
	}
	listed := func(m *Remote) *ManagedRemote {
		for i := range list {
			if list[i].Name == m.Name && list[i].ID == m.ID {
				return &list[i]
			}
		}
		return nil
	}
	// First those that go, so that a name or an ID may move to another entry.
	s.Remotes = slices.DeleteFunc(s.Remotes, func(m Remote) bool {
		gone := m.Managed && listed(&m) == nil
		if gone {
			done.Removed = append(done.Removed, m.Name)
		}
		return gone
	})
	var errs []error
	for i := range list {
		want := &list[i]
		n := s.remote(func(m *Remote) bool { return m.Name == want.Name && m.ID == want.ID })
		if n < 0 {
			if _, err := s.add(want.Name, want.ID, want.Shares, now); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", want.Name, err))
				continue
			}
			n = s.byName(want.Name)
			if k := slices.Index(done.Removed, want.Name); k >= 0 {
				done.Removed = slices.Delete(done.Removed, k, k+1)
				done.Changed = append(done.Changed, want.Name)
			} else {
				done.Added = append(done.Added, want.Name)
			}
			s.Remotes[n].apply(want)
		} else if s.Remotes[n].apply(want) {
			done.Changed = append(done.Changed, want.Name)
		}
	}
	return errors.Join(errs...)
}

// apply makes m what the list says, and tells whether that is a change.
func (m *Remote) apply(want *ManagedRemote) (changed bool) {
	was := *m
	m.Managed, m.Shares = true, uniqueShares(want.Shares)
	if want.Paused != nil {
		m.Paused = *want.Paused
	}
	if want.Bandwidth != nil {
		m.Bandwidth = *want.Bandwidth
	}
	return was.Managed != m.Managed || was.Paused != m.Paused || !slices.Equal(was.Shares, m.Shares) ||
		was.Bandwidth.String() != m.Bandwidth.String()
}

func validList(list []ManagedRemote) error {
	var errs []error
	names, ids := make(map[string]bool), make(map[string]bool)
	for _, m := range list {
		if err := errors.Join(ValidName(m.Name), validID(m.ID), validShares(m.Shares)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
		}
		if names[m.Name] || ids[m.ID] {
			errs = append(errs, fmt.Errorf("%s: its name or its ID is there twice", m.Name))
		}
		names[m.Name], ids[m.ID] = true, true
	}
	return errors.Join(errs...)
}
