package bus

import (
	"net/netip"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// strangersPerAddress may be on their way to showing a key; handshakes over
	// a bad link take seconds, and a thousand remotes may share an address.
	strangersPerAddress = 64
	strangersLook       = time.Second

	doorstepGrace = 200 * time.Millisecond
	doorstepAgain = 50 * time.Millisecond
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

// clearDoorstep lets a reload go on: it waits for every TLS handshake under way
// (nats-server 2.15.2, acceptConnections), so one stranger that says nothing
// would delay it for the whole TLS time-out, and with it the end of a revoked
// remote. Handshakes that take longer than a moment are cut; a remote among them
// tries again.
func (s *Server) clearDoorstep() (stop func()) {
	done := make(chan struct{})
	go func() {
		wait := time.NewTimer(doorstepGrace)
		defer wait.Stop()
		for {
			select {
			case <-done:
				return
			case <-wait.C:
				s.cutStrangers(0, "it showed no key while the configuration had to change")
				wait.Reset(doorstepAgain)
			}
		}
	}()
	return func() { close(done) }
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
					s.cutStrangers(strangersPerAddress, "too many connections of this address without a key")
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// cutStrangers cuts the oldest connections without a key, so that most are left
// of each address.
func (s *Server) cutStrangers(most int, why string) {
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
		if len(all) <= most {
			continue
		}
		// The oldest have had the most time to show a key.
		for _, c := range all[:len(all)-most] {
			if s.ns.DisconnectClientByID(c.Cid) == nil {
				s.doorstep.refuse(address(c), why)
			}
		}
	}
}
