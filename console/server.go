package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

const (
	maxConnections = 256
	maxHeaderBytes = 16 << 10
	maxBody        = 64 << 10

	headerTimeout   = 10 * time.Second // TLS handshake too
	readTimeout     = 30 * time.Second
	writeTimeout    = 30 * time.Second // of one answer, or one message of a stream
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second

	defaultIdle    = time.Hour
	defaultLongest = 12 * time.Hour
)

// Options say what a server shows and how it is guarded.
type Options struct {
	// Main or Replica, one of them, is what is shown.
	Main    Main
	Replica Replica

	// Data is the folder of the password file.
	Data string
	// TLS holds the certificate. Without it the server takes a loopback
	// listener only, and of a replica only.
	TLS *tls.Config
	// Names are host names by which the page may be asked for, besides localhost
	// and the address that a connection came to.
	Names []string
	// Ready says when /readyz fails.
	Ready ReadyLimits
	// MetricsToken lets monitoring on another host read /metrics, as a bearer
	// token. Empty: it must come over loopback, or be signed in.
	MetricsToken string
	Version      string
	// Idle ends a session that was not used for so long, Longest any; 0 means
	// an hour and twelve.
	Idle    time.Duration
	Longest time.Duration
	Now     func() time.Time // nil means time.Now
	Log     zerolog.Logger
}

// Server is the HTTP side of a main or a remote.
type Server struct {
	o        Options
	page     *pages
	sampler  *sampler
	sessions *sessions
	attempts *attempts
	setup    *setup
	hashing  chan struct{} // one at a time: an argon2id takes 64 MiB
	registry *prometheus.Registry
	fetches  prometheus.Histogram
	streams  atomic.Int32
	conns    atomic.Int32
	// free: a replica on loopback, which anybody on that host may look at.
	free bool
}

// New makes a server; Serve runs it.
func New(o Options) (*Server, error) {
	if (o.Main == nil) == (o.Replica == nil) {
		return nil, errors.New("console: want a main or a replica, and not both")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	if o.Longest == 0 {
		o.Longest = defaultLongest
	}
	page, err := newPages()
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	s := &Server{
		o: o, page: page,
		sampler:  newSampler(o),
		sessions: newSessions(o.Now, o.Idle, o.Longest),
		attempts: newAttempts(o.Now),
		setup:    newSetup(o.Now),
		hashing:  make(chan struct{}, 1),
	}
	s.makeMetrics()
	return s, nil
}

// Serve answers on l until ctx ends, and closes it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	loopback := isLoopback(l.Addr())
	if s.o.TLS == nil && !(loopback && s.o.Main == nil) {
		return fmt.Errorf("console: %s: without TLS only a remote's page may be served, and on loopback only", l.Addr())
	}
	s.free = s.o.Main == nil && loopback
	if err := s.firstStart(l.Addr()); err != nil {
		return err
	}
	streams, endStreams := context.WithCancel(ctx)
	defer endStreams()
	h := &http.Server{
		Handler:           s.handler(),
		TLSConfig:         s.o.TLS,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return streams },
		ConnState:         s.countConnections,
		ErrorLog:          stdlog.New(debugWriter{s.o.Log}, "", 0),
	}
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		s.sampler.run(streams)
	}()
	ended := make(chan error, 1)
	go func() {
		if s.o.TLS != nil {
			ended <- h.ServeTLS(l, "", "")
		} else {
			ended <- h.Serve(l)
		}
	}()
	var err error
	select {
	case err = <-ended:
		endStreams()
	case <-ctx.Done():
		closing, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if h.Shutdown(closing) != nil {
			h.Close()
		}
		err = <-ended
	}
	<-sampled
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the page on %s: %w", l.Addr(), err)
}

// firstStart logs the one-time link while there is no account.
func (s *Server) firstStart(addr net.Addr) error {
	if s.free {
		return nil
	}
	if s.o.TLS.MinVersion < tls.VersionTLS13 {
		return errors.New("console: want TLS 1.3 at least")
	}
	there, err := accountExists(s.o.Data)
	if err != nil || there {
		return err
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
		if len(s.o.Names) > 0 {
			host = s.o.Names[0]
		}
	}
	s.o.Log.Warn().Str("link", "https://"+net.JoinHostPort(host, port)+"/setup?token="+s.setup.open()).
		Str("valid", setupLife.String()).
		Msg("the page has no administrator yet: open this link within the hour to choose the password, or run `waptsync console passwd`")
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.Handle("GET /assets/", s.page.assets())
	mux.HandleFunc("GET /{$}", s.showPage)
	mux.HandleFunc("GET /events", s.signedIn(s.events))
	if !s.free {
		mux.HandleFunc("GET /login", s.showLogin)
		mux.HandleFunc("POST /login", s.login)
		mux.HandleFunc("GET /setup", s.showSetup)
		mux.HandleFunc("POST /setup", s.finishSetup)
		mux.HandleFunc("POST /logout", s.changes(s.logout))
	}
	if s.o.Main != nil {
		s.addActs(mux)
	}
	return s.guard(mux)
}

// countConnections closes connections beyond maxConnections.
func (s *Server) countConnections(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.conns.Add(1) > maxConnections {
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

// debugWriter takes what net/http has to say of broken connections and
// handshakes, which anybody on the network can cause.
type debugWriter struct{ log zerolog.Logger }

func (w debugWriter) Write(b []byte) (int, error) {
	w.log.Debug().Str("said", string(b)).Msg("a connection to the page failed")
	return len(b), nil
}

func isLoopback(a net.Addr) bool {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.Network() == "unix"
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
