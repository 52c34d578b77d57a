package bus

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// connectionsPerUser bounds what the server itself does not: one remote
	// could take all connections of all remotes. Two to four are in use; the rest are
	// halves of connections that broke and that the server has not missed yet.
	connectionsPerUser = 8

	connectEvents    = "$SYS.ACCOUNT.*.CONNECT"
	disconnectEvents = "$SYS.ACCOUNT.*.DISCONNECT"
	refusedEvents    = "$SYS.SERVER.*.CLIENT.AUTH.ERR"

	presenceRate  = 5 // log lines a second, for remotes on links that come and go
	presenceBurst = 100
)

// presence follows who is connected, from the server's own events: it logs
// remotes that come and go, and cuts the oldest connections of a user that has
// too many.
type presence struct {
	cut   func(connection uint64) // may be of one that is gone
	known func(address string)    // whoever is there has shown a known key
	name  func(key string) (string, bool)
	log   zerolog.Logger
	limit *rate.Limiter

	mu    sync.Mutex
	users map[string][]uint64 // connections by key, the oldest first
}

func newPresence(cut func(uint64), name func(string) (string, bool), log zerolog.Logger) *presence {
	return &presence{
		cut: cut, name: name, log: log, limit: rate.NewLimiter(presenceRate, presenceBurst),
		users: make(map[string][]uint64),
	}
}

// startPresence begins to follow the events. Remotes may have connected since
// the server opened its port, so those are counted first.
func (s *Server) startPresence() error {
	p := newPresence(
		func(id uint64) { _ = s.ns.DisconnectClientByID(id) }, // its only error: there is none such
		func(key string) (string, bool) { r, ok := s.registry.RemoteByID(key); return r.Name, ok },
		s.log)
	p.known = s.doorstep.known
	for subject, handle := range map[string]nats.MsgHandler{
		connectEvents:    func(msg *nats.Msg) { p.event(msg, s.own) },
		disconnectEvents: func(msg *nats.Msg) { p.event(msg, s.own) },
		refusedEvents:    s.strangerRefused,
	} {
		if _, err := s.systemConn.Subscribe(subject, handle); err != nil {
			return fmt.Errorf("following connections: %w", err)
		}
	}
	if err := s.systemConn.FlushTimeout(ownTimeout); err != nil {
		return fmt.Errorf("following connections: %w", err)
	}
	for _, c := range s.connz(server.ConnzOptions{}) {
		p.connected(c.AuthorizedUser, c.Cid, address(c))
	}
	s.presence = p
	return nil
}

// strangerRefused takes the server's word that a key was not good.
func (s *Server) strangerRefused(msg *nats.Msg) {
	var e server.DisconnectEventMsg
	if err := json.Unmarshal(msg.Data, &e); err == nil {
		s.doorstep.refuse(e.Client.Host, e.Reason)
	}
}

// count is how many connections have shown a known key.
func (p *presence) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, all := range p.users {
		n += len(all)
	}
	return n
}

func (p *presence) event(msg *nats.Msg, own map[string]bool) {
	var e server.DisconnectEventMsg // has all that a connect event has
	if err := json.Unmarshal(msg.Data, &e); err != nil {
		p.log.Warn().Err(err).Str("subject", msg.Subject).Msg("an event of the server cannot be read")
		return
	}
	if own[e.Client.User] {
		return
	}
	switch msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:] {
	case "CONNECT":
		p.connected(e.Client.User, e.Client.ID, e.Client.Host)
	case "DISCONNECT":
		p.disconnected(e.Client.User, e.Client.ID, e.Client.Host, e.Reason)
	}
}

func (p *presence) connected(key string, id uint64, address string) {
	p.mu.Lock()
	had := p.users[key]
	if slices.Contains(had, id) {
		p.mu.Unlock()
		return
	}
	have := append(had, id)
	var over []uint64
	if n := len(have) - connectionsPerUser; n > 0 {
		over, have = slices.Clone(have[:n]), slices.Clone(have[n:])
	}
	p.users[key] = have
	p.mu.Unlock()

	if p.known != nil {
		p.known(address)
	}
	for _, id := range over {
		p.cut(id)
	}
	name, known := p.name(key)
	if !known {
		name = "(joining)"
	}
	switch {
	case len(over) > 0 && p.limit.Allow():
		p.log.Warn().Str("remote", name).Str("address", address).Int("most", connectionsPerUser).
			Msg("too many connections of one remote, its oldest are cut")
	case len(had) == 0 && p.limit.Allow():
		p.log.Info().Str("remote", name).Str("address", address).Msg("remote connected")
	}
}

func (p *presence) disconnected(key string, id uint64, address, reason string) {
	p.mu.Lock()
	have := p.users[key]
	i := slices.Index(have, id)
	if i < 0 {
		p.mu.Unlock()
		return
	}
	have = slices.Delete(have, i, i+1)
	p.users[key] = have
	if len(have) == 0 {
		delete(p.users, key)
	}
	p.mu.Unlock()

	// Of one that was removed there is no name left, and of that the command
	// that removed it tells.
	if name, known := p.name(key); known && len(have) == 0 && p.limit.Allow() {
		p.log.Info().Str("remote", name).Str("address", address).Str("reason", reason).Msg("remote disconnected")
	}
}
