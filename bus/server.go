package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// ErrStoreInUse is returned when another server has the store's folder.
var ErrStoreInUse = errors.New("another waptsync uses this store")

// ServerOptions configures the embedded server.
type ServerOptions struct {
	Dir       string // the store's folder, mode 0700, on the main's own disk
	Listen    string // host:port; an empty host means all addresses
	Authority *Authority
	Registry  *Registry
	Shares    []string
	MaxStore  int64 // bytes; 0 means a quarter of what is free, of a small disk half
	Log       zerolog.Logger
}

// Server is the embedded NATS server with JetStream. Its methods may be called
// concurrently.
type Server struct {
	dir       string
	listen    endpoint
	authority *Authority
	registry  *Registry
	shares    []string
	maxStore  int64
	windows   int64 // bytes that all windows together may reserve
	log       zerolog.Logger
	// serverTLS is one value for all reloads: the server takes another one for
	// a change.
	serverTLS *tls.Config

	ns   *server.Server
	lock *os.File // of the store's folder

	// The keys of the main's own users live no longer than the process, and
	// are never on disk.
	publisher, service, system nkeys.KeyPair
	own                        map[string]bool // their public keys

	// serviceConn answers remotes: it may publish answers to what crossed from
	// a remote's account, and nothing else.
	serviceConn *nats.Conn
	// publishConn and bulkConn live with the streams. They are two, so that an
	// event does not wait behind objects.
	publishConn, bulkConn *nats.Conn
	// systemConn hears of connections, and may send nothing.
	systemConn *nats.Conn
	js, bulkJS jetstream.JetStream

	joins        *rate.Limiter
	joinsRefused atomic.Int64
	doorstep     *doorstep
	presence     *presence
	serverLog    *serverLog
	stopWatching func() // strangers

	mu     sync.Mutex  // guards what follows, and makes reloads come one by one
	sweep  *time.Timer // fires when the next invitation expires
	closed bool
	// accounts are the names of those that the server has.
	accounts []string
}

// StartServer starts the server and returns when it accepts connections. ctx
// bounds the start only, which may take minutes if a large store was not closed
// in order.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	s, err := newServer(o)
	if err != nil {
		return nil, fmt.Errorf("starting the bus: %w", err)
	}
	if err := s.start(ctx); err != nil {
		return nil, fmt.Errorf("starting the bus: %w", err)
	}
	return s, nil
}

func newServer(o ServerOptions) (*Server, error) {
	if o.Authority == nil || o.Registry == nil {
		return nil, errors.New("an authority and a registry are needed")
	}
	for _, share := range o.Shares {
		if err := ValidName(share); err != nil {
			return nil, fmt.Errorf("share: %w", err)
		}
	}
	listen, err := parseEndpoint(o.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{
		dir: o.Dir, listen: listen, authority: o.Authority, registry: o.Registry,
		shares: uniqueShares(o.Shares), maxStore: o.MaxStore, log: o.Log,
		joins:    rate.NewLimiter(joinRate, joinBurst),
		doorstep: newDoorstep(o.Log), serverLog: newServerLog(o.Log),
	}
	s.serverTLS = s.doorstep.guard(o.Authority.ServerTLS())
	s.own = make(map[string]bool)
	for _, key := range []*nkeys.KeyPair{&s.publisher, &s.service, &s.system} {
		if *key, err = nkeys.CreateUser(); err != nil {
			return nil, err
		}
		public, err := (*key).PublicKey()
		if err != nil {
			return nil, err
		}
		s.own[public] = true
	}
	return s, nil
}

// start does all that can fail after newServer, and undoes it if something does.
func (s *Server) start(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	// JetStream's own folder is made here, because the server would let the
	// group read it.
	if err := errors.Join(makeSecretDir(s.dir), makeSecretDir(filepath.Join(s.dir, server.JetStreamStoreDir))); err != nil {
		return err
	}
	if s.lock, err = lockDir(s.dir); err != nil {
		return err
	}
	defer func() {
		if err != nil && s.ns == nil {
			s.lock.Close()
		}
	}()
	if err := readableStore(s.dir); err != nil {
		return err
	}
	free, used, err := roomOf(s.dir)
	if err != nil {
		return err
	}
	s.maxStore, s.windows = budget(free, used, s.maxStore)
	// The server opens its port last, after it has read the whole store.
	if err := s.listen.probe(ctx); err != nil {
		return err
	}
	if err := s.useSpare(); err != nil {
		return err
	}
	if err := s.startNATS(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err := s.connect(); err != nil {
		return err
	}
	if err := s.startPresence(); err != nil {
		return err
	}
	s.stopWatching = s.watchStrangers()
	if _, err := s.serviceConn.Subscribe(joinPrefix+".*", s.serveJoin); err != nil {
		return fmt.Errorf("listening for joins: %w", err)
	}
	// A permission that was missing would only show as an error that comes
	// later; the round trip makes sure that the subscription stands.
	if err := s.serviceConn.FlushTimeout(ownTimeout); err != nil {
		return fmt.Errorf("listening for joins: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep = time.AfterFunc(time.Hour, s.sweepInvitations)
	s.scheduleSweep()
	return nil
}

// startNATS starts the NATS server. On an error s.ns is nil again, and the
// server is down or, after ctx ended, on its way there with the lock in hand.
func (s *Server) startNATS(ctx context.Context) error {
	opts, err := s.options()
	if err != nil {
		return err
	}
	s.accounts = accountNames(opts)
	ns, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	ns.SetLoggerV2(s.serverLog, false, false, false)
	started := make(chan struct{})
	go func() { defer close(started); ns.Start() }()
	select {
	case <-started:
	case <-ctx.Done():
		// Reading a store back cannot be stopped. The lock stays until it is.
		lock := s.lock
		s.lock = nil
		go func() {
			<-started
			ns.Shutdown()
			ns.WaitForShutdown()
			lock.Close()
		}()
		return ctx.Err()
	}
	select {
	case err = <-s.serverLog.fatal:
	default:
		if !ns.ReadyForConnections(ownTimeout) {
			err = errors.New("the NATS server does not accept connections")
		}
	}
	if err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return err
	}
	s.ns = ns
	return nil
}

// connect makes the main's own connections, inside the process.
func (s *Server) connect() (err error) {
	if s.serviceConn, err = s.connectOwn("service", s.service); err != nil {
		return err
	}
	if s.publishConn, err = s.connectOwn("publisher", s.publisher); err != nil {
		return err
	}
	if s.bulkConn, err = s.connectOwn("publisher, bulk", s.publisher); err != nil {
		return err
	}
	if s.systemConn, err = s.connectOwn("system", s.system); err != nil {
		return err
	}
	if s.js, err = jetstream.New(s.publishConn); err != nil {
		return err
	}
	s.bulkJS, err = jetstream.New(s.bulkConn,
		jetstream.WithPublishAsyncMaxPending(bulkMaxPending),
		// Without it a put waits for ever for a server that cannot answer,
		// which is what a full disk makes of it.
		jetstream.WithPublishAsyncTimeout(bulkTimeout))
	return err
}

func (s *Server) connectOwn(name string, key nkeys.KeyPair) (*nats.Conn, error) {
	auth, err := nkeyOption(key)
	if err != nil {
		return nil, err
	}
	log := s.log.With().Str("connection", name).Logger()
	nc, err := dial("", nats.InProcessServer(s.ns), auth,
		nats.Name("waptsync "+name),
		nats.CustomInboxPrefix("_W."+randomToken()),
		nats.Timeout(ownTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(ownReconnectWait),
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("own connection to the bus was cut, connecting again")
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn().Err(redacted(err)).Msg("error on own connection to the bus")
		}))
	if err != nil {
		return nil, fmt.Errorf("connecting %s: %w", name, err)
	}
	return nc, nil
}

// Apply makes the registry's present state hold for live connections at once:
// who was removed or paused is cut off, and the others stay.
func (s *Server) Apply() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("applying the registry: the bus is closed")
	}
	known := make(map[string]bool)
	for _, name := range s.accounts {
		known[name] = true
	}
	if err := s.reload(); err != nil {
		return fmt.Errorf("applying the registry: %w", err)
	}
	// What crosses into an account that a reload made works from the next
	// reload on only (configureAccounts of nats-server 2.15.2). Into that of a
	// remote that has not joined nothing does.
	if slices.ContainsFunc(s.accounts, func(name string) bool { return !known[name] && s.joined(name) }) {
		if err := s.reload(); err != nil {
			return fmt.Errorf("applying the registry: %w", err)
		}
	}
	s.scheduleSweep()
	return nil
}

// joined says whether the account is that of a remote which is known.
func (s *Server) joined(account string) bool {
	_, known := s.registry.RemoteByName(strings.TrimPrefix(account, remotePrefix))
	return known
}

// reload gives the server the registry's present state. s.mu is held.
func (s *Server) reload() error {
	opts, err := s.options()
	if err != nil {
		return err
	}
	s.accounts = accountNames(opts)
	defer s.clearDoorstep()()
	return s.ns.ReloadOptions(opts)
}

// scheduleSweep sets the timer to the next expiry. s.mu is held.
func (s *Server) scheduleSweep() {
	next := s.registry.nextExpiry()
	if next.IsZero() {
		s.sweep.Stop()
		return
	}
	s.sweep.Reset(max(next.Sub(s.registry.now()), 0))
}

// sweepInvitations takes the users of expired invitations away.
func (s *Server) sweepInvitations() {
	dropped, err := s.registry.sweep()
	if err == nil && dropped {
		err = s.Apply()
	}
	if err != nil {
		s.log.Warn().Err(err).Msg("expired invitations stay listed, but cannot be used")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.scheduleSweep()
	}
}

// JetStream is the publisher's context in the account that holds the streams.
func (s *Server) JetStream() jetstream.JetStream { return s.js }

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.ns.Addr().String() }

// Close stops the server in order; it returns when the store is closed.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.sweep != nil {
		s.sweep.Stop()
	}
	if s.stopWatching != nil {
		s.stopWatching()
	}
	for _, nc := range []*nats.Conn{s.serviceConn, s.publishConn, s.bulkConn, s.systemConn} {
		if nc != nil {
			nc.Close()
		}
	}
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	s.lock.Close()
}
