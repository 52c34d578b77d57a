package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	lockName = "lock"

	// maxRemoteConnections is four for each of 1,000 remotes: two that work,
	// and two that the server has not found dead yet.
	maxRemoteConnections = 4000
	// maxConnections leaves room for joins and strangers on the doorstep.
	maxConnections = maxRemoteConnections + 500
	// maxSubscriptions a connection; a remote's has its inbox and one a share.
	maxSubscriptions = 256
	// maxPayload is an object or piece of 512 KiB, or an atomic batch's
	// message, with room to spare; headers count.
	maxPayload = 1<<20 + 64<<10
	// maxPending is what may queue for one connection before it is cut as too
	// slow: four times what window and fetch together let be in flight.
	maxPending = 32 << 20

	// A link of 1 Mbit/s moves what is in flight in about a minute. With the
	// retry policy only a connection that moved nothing in that time is cut.
	writeDeadline = time.Minute
	// Two minutes of silence mean that a remote is gone.
	pingInterval = 30 * time.Second
	maxPings     = 4
	// Handshakes over 300 ms with loss take seconds.
	tlsTimeout  = 10.0 // seconds
	authTimeout = 10.0 // seconds

	ownTimeout       = 10 * time.Second
	ownReconnectWait = 50 * time.Millisecond

	// bulkMaxPending objects of up to 512 KiB are 16 MiB under way, far below
	// the 128 MiB at which a stream refuses.
	bulkMaxPending = 32
	bulkTimeout    = 30 * time.Second

	memoryStore = 16 << 20 // bytes; no stream of ours is in memory
)

// options is the NATS server's configuration for the registry's present state.
// Each call builds it anew, since the server keeps and sorts what it is given.
func (s *Server) options() (*server.Options, error) {
	publisher, err := s.publisher.PublicKey()
	if err != nil {
		return nil, err
	}
	service, err := s.service.PublicKey()
	if err != nil {
		return nil, err
	}
	system, err := s.system.PublicKey()
	if err != nil {
		return nil, err
	}
	now := s.registry.now()
	state := s.registry.snapshot()
	a := access{Shares: s.shares, Remotes: state.Remotes, Publisher: publisher, Service: service, System: system}
	for _, i := range state.Invitations {
		if !now.Before(i.Expires) {
			continue
		}
		a.Invitations = append(a.Invitations, i.Key)
		if state.byName(i.Name) < 0 && !slices.Contains(a.Invited, i.Name) {
			a.Invited = append(a.Invited, i.Name)
		}
	}
	o := &server.Options{}
	if err := o.ProcessConfigString(a.config()); err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}

	o.ServerName = "waptsync"
	o.Host, o.Port = s.listen.host, s.listen.port
	o.NoSigs = true // else it would trap signals and end the process by itself
	o.DisableJetStreamBanner = true

	o.TLS = true
	o.TLSConfig = s.serverTLS
	o.TLSHandshakeFirst = true // nothing is said before TLS, not even a version
	o.TLSTimeout = tlsTimeout
	o.AuthTimeout = authTimeout
	o.AllowNonTLS = false

	o.MaxConn = maxConnections
	o.MaxSubs = maxSubscriptions
	o.MaxPayload = maxPayload
	o.MaxPending = maxPending
	o.WriteDeadline = writeDeadline
	o.WriteTimeout = server.WriteTimeoutPolicyRetry
	o.PingInterval = pingInterval
	o.MaxPingsOut = maxPings
	// Else one remote that does not read would slow down the connection that
	// answers all. A remote that asks for no more than it takes never has as
	// much queued as this drops.
	o.NoFastProducerStall = true

	o.JetStream = true
	o.StoreDir = s.dir
	o.SyncAlways = true
	o.JetStreamMaxStore = s.maxStore
	o.JetStreamMaxMemory = memoryStore
	// The server's own default of 1,000 is exactly what is promised.
	o.JetStreamLimits.DefaultMaxConsumers = -1
	return o, nil
}

func accountNames(o *server.Options) []string {
	names := make([]string, len(o.Accounts))
	for i, a := range o.Accounts {
		names[i] = a.Name
	}
	return names
}

// endpoint is where the server listens.
type endpoint struct {
	host string
	port int // server.RANDOM_PORT for any free one
}

func parseEndpoint(s string) (endpoint, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return endpoint{}, fmt.Errorf("listen address %q: want host:port: %w", s, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return endpoint{}, fmt.Errorf("listen address %q: want a port from 0 to 65535", s)
	}
	e := endpoint{host: host, port: int(n)}
	if e.host == "" {
		e.host = anyHost()
	}
	if n == 0 {
		e.port = server.RANDOM_PORT
	}
	return e, nil
}

// anyHost means all addresses: of IPv6 too, unless this host has none.
func anyHost() string {
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		return "0.0.0.0"
	}
	l.Close()
	return "::"
}

// probe says why the endpoint cannot be listened on, if it cannot.
func (e endpoint) probe(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(e.host, strconv.Itoa(max(e.port, 0))))
	if err != nil {
		return err
	}
	return l.Close()
}

// readableStore says why the streams cannot be read. The NATS server would take
// such a store for an empty one.
func readableStore(dir string) error {
	_, err := os.ReadDir(filepath.Join(dir, server.JetStreamStoreDir, streamsAccount, "streams"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the store: %w", err)
	}
	return nil
}
