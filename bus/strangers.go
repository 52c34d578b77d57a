package bus

import (
	"net/netip"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// strangersPerAddress may be on their way to showing a key; handshakes over
	// a bad link take seconds, and a thousand remotes may share an address.
	strangersPerAddress = 64
	strangersLook       = time.Second
)

// Refusals count what was refused since the server started.
type Refusals struct {
	Connections int64 `json:"connections"` // handshakes and keys of strangers
	Permissions int64 `json:"permissions"` // messages and subscriptions of remotes without the right, or too large
	Joins       int64 `json:"joins"`       // of holders of an invitation
	Requests    int64 `json:"requests"`    // messages to the service with a foreign reply, or too many
}

// Refusals returns the counts so far. Requests is [Service.Refused].
func (s *Server) Refusals() Refusals {
	return Refusals{
		Connections: s.doorstep.refused.Load() + s.serverLog.strangers.Load(), Permissions: s.serverLog.denied.Load(), Joins: s.joinsRefused.Load(),
	}
}

// watchStrangers cuts connections that show no key and are too many of one
// address: until the TLS time-out they would take the places of remotes. The
// server tells nobody that it accepted a connection, so this looks by the clock;
// as long as few are on the doorstep that costs one number.
func (s *Server) watchStrangers() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(strangersLook)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if s.ns.NumClients()-s.presence.count() > strangersPerAddress {
					s.cutStrangers()
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (s *Server) cutStrangers() {
	z, err := s.ns.Connz(&server.ConnzOptions{Username: true, Limit: maxConnections, Sort: server.ByCid})
	if err != nil {
		return // only an option that contradicts another gives an error
	}
	waiting := make(map[netip.Prefix][]*server.ConnInfo)
	for _, c := range z.Conns {
		if from, ok := prefixOf(c.IP); ok && c.AuthorizedUser == "" {
			waiting[from] = append(waiting[from], c)
		}
	}
	for _, all := range waiting {
		if len(all) <= strangersPerAddress {
			continue
		}
		// The oldest have had the most time to show a key.
		for _, c := range slices.Clone(all[:len(all)-strangersPerAddress]) {
			if s.ns.DisconnectClientByID(c.Cid) == nil {
				s.doorstep.refuse(address(c), "too many connections of this address without a key")
			}
		}
	}
}
