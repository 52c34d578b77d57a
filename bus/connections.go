package bus

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Connection is a remote's present connection.
type Connection struct {
	Address string        `json:"address"` // of its oldest connection
	Since   time.Time     `json:"since"`
	RTT     time.Duration `json:"rtt"`
	Sent    int64         `json:"sent"` // bytes on all its connections since they began
}

// Connections returns the remotes that are connected now, by name.
func (s *Server) Connections() map[string]Connection {
	names := make(map[string]string)
	for _, r := range s.registry.Remotes() {
		names[r.ID] = r.Name
	}
	all := make(map[string]Connection)
	for _, c := range s.connz(server.ConnzOptions{}) {
		name, ok := names[c.AuthorizedUser]
		if !ok {
			continue
		}
		have, ok := all[name]
		if !ok || c.Start.Before(have.Since) {
			have.Since, have.Address = c.Start, address(c)
		}
		// The server measures with its pings, so the newest connection of a
		// remote may have no figure yet.
		if rtt, err := time.ParseDuration(c.RTT); err == nil && (have.RTT == 0 || rtt < have.RTT) {
			have.RTT = rtt
		}
		have.Sent += c.OutBytes
		all[name] = have
	}
	return all
}

// connz lists connections that have shown a key, without the main's own.
func (s *Server) connz(o server.ConnzOptions) []*server.ConnInfo {
	o.Username, o.Limit = true, maxConnections
	z, err := s.ns.Connz(&o)
	if err != nil {
		return nil // only an option that contradicts another gives an error
	}
	return slices.DeleteFunc(z.Conns, func(c *server.ConnInfo) bool {
		return c.AuthorizedUser == "" || s.own[c.AuthorizedUser]
	})
}

// addressOf is where the user with that key is connected from, for the log.
func (s *Server) addressOf(key string) string {
	for _, c := range s.connz(server.ConnzOptions{User: key}) {
		return address(c)
	}
	return ""
}

func address(c *server.ConnInfo) string { return net.JoinHostPort(c.IP, strconv.Itoa(c.Port)) }

// Health returns why the server or its store is not well, or nil.
func (s *Server) Health() error {
	var errs []error
	if h := s.ns.Healthz(&server.HealthzOptions{}); h.Error != "" {
		errs = append(errs, fmt.Errorf("bus: %s", h.Error))
	}
	if !s.serviceConn.IsConnected() || !s.publishConn.IsConnected() || !s.bulkConn.IsConnected() {
		errs = append(errs, errors.New("bus: the main's own connections do not stand"))
	}
	if err := s.room(); err != nil {
		errs = append(errs, fmt.Errorf("bus: %w", err))
	}
	return errors.Join(append(errs, s.authority.trouble())...)
}
