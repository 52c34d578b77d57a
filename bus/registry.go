package bus

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nkeys"

	"waptsync/bandwidth"
)

const (
	registryFile    = "registry.json"
	registryVersion = 1
	inboxTokenBytes = 16
)

// ErrUnknownRemote is returned for a name that no remote has.
var ErrUnknownRemote = errors.New("no such remote")

// Remote is a remote that the main knows.
type Remote struct {
	Name   string   `json:"name"`
	ID     string   `json:"id"`    // public NKey, U…
	Inbox  string   `json:"inbox"` // random token of its inbox prefix; not for others' eyes
	Shares []string `json:"shares"`
	Paused bool     `json:"paused,omitempty"`
	// Managed: it comes from a list, see [Registry.Sync].
	Managed bool `json:"managed,omitempty"`
	// Bandwidth is the main's rule for this remote's line; the remote hears of it
	// with the answer to each report.
	Bandwidth bandwidth.Rule `json:"bandwidth,omitzero"`
	Added     time.Time      `json:"added"`
}

// inbox is the prefix of all subjects to which this remote may be answered.
func (r *Remote) inbox() string { return inboxPrefix + "." + r.Inbox }

// crossed says whether a message came from another account, so that an answer
// to its reply goes back to where it came from, and nowhere else.
func crossed(reply string) bool { return strings.HasPrefix(reply, replyPrefix) }

// Registry is the main's list of remotes and open invitations, kept in a file of mode 0600.
// Its methods may be called concurrently; each change is on disk when it returns.
// A change holds for live connections after [Server.Apply].
type Registry struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	state registryState // replaced as a whole, after it was written
}

// registryState is the content of the registry's file.
type registryState struct {
	Version     int          `json:"version"`
	Remotes     []Remote     `json:"remotes"` // in order of their names
	Invitations []invitation `json:"invitations,omitempty"`
}

// LoadRegistry reads the registry of dir; a missing file is an empty registry.
func LoadRegistry(dir string) (*Registry, error) { return loadRegistry(dir, time.Now) }

func loadRegistry(dir string, now func() time.Time) (*Registry, error) {
	if err := makePrivateDir(dir); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	r := &Registry{path: filepath.Join(dir, registryFile), now: now, state: registryState{Version: registryVersion}}
	b, err := readPrivate(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var s registryState
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("registry: %s: %w", r.path, err)
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("registry: %s: %w", r.path, err)
	}
	s.sort()
	r.state = s
	return r, nil
}

// validate checks everything that becomes part of the server's configuration,
// since the file may have been edited.
func (s *registryState) validate() error {
	if s.Version != registryVersion {
		return fmt.Errorf("version %d: want %d", s.Version, registryVersion)
	}
	names, keys := make(map[string]bool), make(map[string]bool)
	for _, m := range s.Remotes {
		if err := errors.Join(ValidName(m.Name), validID(m.ID), validToken(m.Inbox), validShares(m.Shares)); err != nil {
			return err
		}
		if names[m.Name] || keys[m.ID] {
			return fmt.Errorf("remote %s (%s) is there twice", m.Name, m.ID)
		}
		names[m.Name], keys[m.ID] = true, true
	}
	for _, i := range s.Invitations {
		if err := errors.Join(ValidName(i.Name), validID(i.Key), validShares(i.Shares)); err != nil {
			return err
		}
		if keys[i.Key] {
			return fmt.Errorf("the key %s is there twice", i.Key)
		}
		keys[i.Key] = true
	}
	return nil
}

func (s *registryState) sort() {
	slices.SortFunc(s.Remotes, func(a, b Remote) int { return strings.Compare(a.Name, b.Name) })
}

func (s *registryState) clone() registryState {
	c := registryState{Version: s.Version, Remotes: slices.Clone(s.Remotes), Invitations: slices.Clone(s.Invitations)}
	for i := range c.Remotes {
		c.Remotes[i].Shares = slices.Clone(c.Remotes[i].Shares)
	}
	for i := range c.Invitations {
		c.Invitations[i].Shares = slices.Clone(c.Invitations[i].Shares)
	}
	return c
}

// remote returns the index of the first remote for which is holds, or -1.
func (s *registryState) remote(is func(*Remote) bool) int {
	return slices.IndexFunc(s.Remotes, func(m Remote) bool { return is(&m) })
}

func (s *registryState) byName(name string) int {
	return s.remote(func(m *Remote) bool { return m.Name == name })
}

func (s *registryState) byID(id string) int {
	return s.remote(func(m *Remote) bool { return m.ID == id })
}

// add makes a remote known, if neither its name nor its ID is taken.
func (s *registryState) add(name, id string, shares []string, now time.Time) (Remote, error) {
	if err := errors.Join(ValidName(name), validID(id), validShares(shares)); err != nil {
		return Remote{}, err
	}
	if s.byName(name) >= 0 {
		return Remote{}, nameTaken(name)
	}
	if i := s.byID(id); i >= 0 {
		return Remote{}, fmt.Errorf("the ID %s belongs to remote %s already: revoke that one first (waptsync remote revoke %s)",
			id, s.Remotes[i].Name, s.Remotes[i].Name)
	}
	// An invitation's key as a remote's would be two users with one key, and
	// the server would refuse the whole configuration.
	if slices.ContainsFunc(s.Invitations, func(i invitation) bool { return i.Key == id }) {
		return Remote{}, fmt.Errorf("the ID %s is the key of an invitation, not of a remote", id)
	}
	m := Remote{Name: name, ID: id, Inbox: randomToken(), Shares: uniqueShares(shares), Added: now.UTC()}
	s.Remotes = append(s.Remotes, m)
	s.sort()
	return m, nil
}

// change lets fn edit a copy of the state, writes that, and then puts it in
// force; an error of either leaves everything as it was.
func (r *Registry) change(fn func(*registryState) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.state.clone()
	if err := fn(&next); err != nil {
		return err
	}
	b, err := json.MarshalIndent(&next, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the registry: %w", err)
	}
	if err := WriteDurably(r.path, append(b, '\n')); err != nil {
		return fmt.Errorf("writing the registry: %w", err)
	}
	r.state = next
	return nil
}

// snapshot is a copy of everything.
func (r *Registry) snapshot() registryState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.clone()
}

// Remotes returns the remotes in order of their names.
func (r *Registry) Remotes() []Remote { return r.snapshot().Remotes }

// RemoteByName returns the remote of that name.
func (r *Registry) RemoteByName(name string) (Remote, bool) {
	return r.find(func(s *registryState) int { return s.byName(name) })
}

// RemoteByID returns the remote with that public NKey.
func (r *Registry) RemoteByID(id string) (Remote, bool) {
	return r.find(func(s *registryState) int { return s.byID(id) })
}

func (r *Registry) find(index func(*registryState) int) (Remote, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := index(&r.state)
	if i < 0 {
		return Remote{}, false
	}
	m := r.state.Remotes[i]
	m.Shares = slices.Clone(m.Shares)
	return m, true
}

// Add makes a remote known by its public ID.
func (r *Registry) Add(name, id string, shares []string) (Remote, error) {
	var m Remote
	err := r.change(func(s *registryState) (err error) {
		m, err = s.add(name, id, shares, r.now())
		return err
	})
	if err != nil {
		return Remote{}, fmt.Errorf("adding remote %q: %w", name, err)
	}
	m.Shares = slices.Clone(m.Shares)
	return m, nil
}

// Remove forgets a remote, and withdraws an open invitation of that name. It
// gives ErrUnknownRemote when there was neither.
func (r *Registry) Remove(name string) error {
	return r.change(func(s *registryState) error {
		before := len(s.Remotes) + len(s.Invitations)
		s.Remotes = slices.DeleteFunc(s.Remotes, func(m Remote) bool { return m.Name == name })
		s.Invitations = slices.DeleteFunc(s.Invitations, func(i invitation) bool { return i.Name == name })
		if len(s.Remotes)+len(s.Invitations) == before {
			return fmt.Errorf("removing %q: %w", name, ErrUnknownRemote)
		}
		return nil
	})
}

// SetPaused keeps a remote from connecting, or lets it again.
func (r *Registry) SetPaused(name string, paused bool) error {
	return r.edit("pausing or resuming", name, func(m *Remote) error { m.Paused = paused; return nil })
}

// SetShares replaces the shares that a remote may have.
func (r *Registry) SetShares(name string, shares []string) error {
	return r.edit("changing the shares of", name, func(m *Remote) error {
		m.Shares = uniqueShares(shares)
		return validShares(shares)
	})
}

// SetBandwidth replaces the rule for the remote's line; the zero Rule is none. It
// holds for the remote once that reports, and needs no [Server.Apply].
func (r *Registry) SetBandwidth(name string, rule bandwidth.Rule) error {
	return r.edit("changing the bandwidth of", name, func(m *Remote) error { m.Bandwidth = rule; return nil })
}

func (r *Registry) edit(what, name string, fn func(*Remote) error) error {
	err := r.change(func(s *registryState) error {
		i := s.byName(name)
		if i < 0 {
			return ErrUnknownRemote
		}
		return fn(&s.Remotes[i])
	})
	if err != nil {
		return fmt.Errorf("%s remote %q: %w", what, name, err)
	}
	return nil
}

func nameTaken(name string) error {
	return fmt.Errorf("a remote %s is known already: to let another host have the name, revoke it first (waptsync remote revoke %s)",
		name, name)
}

func validID(id string) error {
	if !nkeys.IsValidPublicUserKey(id) {
		return fmt.Errorf("ID %q: want the public key of a remote, U and 55 more characters, as waptsync id prints it there", id)
	}
	return nil
}

// randomToken is a part of an inbox prefix that nobody can guess.
func randomToken() string {
	token := make([]byte, inboxTokenBytes)
	rand.Read(token) // never fails, says its documentation
	return hex.EncodeToString(token)
}

func validToken(s string) error {
	if b, err := hex.DecodeString(s); err != nil || len(b) != inboxTokenBytes {
		return fmt.Errorf("inbox token: want %d hexadecimal digits", hex.EncodedLen(inboxTokenBytes))
	}
	return nil
}

func validShares(shares []string) error {
	if len(shares) == 0 {
		return errors.New("no share is named")
	}
	for _, s := range shares {
		if err := ValidName(s); err != nil {
			return fmt.Errorf("share: %w", err)
		}
	}
	return nil
}

func uniqueShares(shares []string) []string {
	c := slices.Clone(shares)
	slices.Sort(c)
	return slices.Compact(c)
}
