package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	stdlog "log"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// ServeConfig is the remote's own web server for agents.
type ServeConfig struct {
	// Serve is the address that agents use, HOST:PORT; empty means none.
	Serve string `toml:"serve"`
	// ServeCert and ServeKey are its certificate, with its chain, and key, PEM;
	// without them it speaks plain HTTP.
	ServeCert string `toml:"serve-cert"`
	ServeKey  string `toml:"serve-key"`
}

func (c *ServeConfig) bind(f *pflag.FlagSet) {
	f.StringVar(&c.Serve, "serve", c.Serve, "serve the copies to agents here, `HOST:PORT`, as /SHARE/FILE; default: leave it to a web server")
	f.Var((*fileFlag)(&c.ServeCert), "serve-cert", "certificate of --serve with its chain, PEM; read again when it changes")
	f.Var((*fileFlag)(&c.ServeKey), "serve-key", "its key, PEM")
}

func (c *ServeConfig) validate(f *faults) {
	if c.Serve != "" {
		checkAddress(f, "serve", c.Serve)
	}
	if (c.ServeCert == "") != (c.ServeKey == "") {
		f.add("serve-cert", "needs serve-key, and the other way round")
	}
	if c.Serve == "" && c.ServeCert != "" {
		f.add("serve-cert", "needs serve")
	}
	for key, path := range map[string]string{"serve-cert": c.ServeCert, "serve-key": c.ServeKey} {
		if path != "" && !filepath.IsAbs(path) {
			f.add(key, "want an absolute path (got %q)", path)
		}
	}
}

const (
	serveHeader      = 10 * time.Second // for a request's header
	serveIdle        = 2 * time.Minute  // between two requests of one connection
	serveConnections = 1024             // agents of a site at once; others wait for their turn
	hiddenFolder     = ".waptsync"      // stages and trash, at the top of a share
	hostShare        = "wapt-host"
)

// shareServer serves shares to agents.
type shareServer struct {
	server   *http.Server
	listener net.Listener
	dirs     map[string]string // of the shares, by name
	log      zerolog.Logger
}

// openShareServer listens as c says, to serve the shares' folders; one that is
// not there yet has no files. It returns nil if c asks for no server.
func openShareServer(c *SubscribeConfig, log zerolog.Logger) (*shareServer, error) {
	if c.Serve == "" {
		return nil, nil
	}
	s := &shareServer{dirs: make(map[string]string), log: log}
	for name, share := range c.Shares {
		s.dirs[name] = share.Dir
	}
	s.server = &http.Server{
		Handler: s, ReadHeaderTimeout: serveHeader, IdleTimeout: serveIdle, MaxHeaderBytes: 16 << 10,
		ErrorLog: stdlog.New(debugWriter{log}, "", 0), // single clients' troubles are not the service's
	}
	if c.ServeCert != "" {
		pair := &reloadedPair{cert: c.ServeCert, key: c.ServeKey, log: log}
		if _, err := pair.get(nil); err != nil {
			return nil, err
		}
		// 1.2, because agents up to WAPT 1.8 know no newer one.
		s.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}
	}
	l, err := net.Listen("tcp", c.Serve)
	if err != nil {
		return nil, fmt.Errorf("serving agents: %w", err)
	}
	s.listener = &boundedListener{Listener: l, free: make(chan struct{}, serveConnections)}
	if c.ServeCert == "" {
		log.Warn().Str("serve", l.Addr().String()).Msg("agents are served without TLS: what hosts have installed can be read on the way")
	}
	return s, nil
}

// Run serves until ctx ends.
func (s *shareServer) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.server.Close() })
	defer stop()
	s.log.Info().Str("serve", s.listener.Addr().String()).Bool("tls", s.server.TLSConfig != nil).Msg("serving agents")
	var err error
	if s.server.TLSConfig != nil {
		err = s.server.ServeTLS(s.listener, "", "")
	} else {
		err = s.server.Serve(s.listener)
	}
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving agents: %w", err)
}

// Close ends all connections.
func (s *shareServer) Close() {
	s.server.Close()
	s.listener.Close() // the server knows it only once it ran
}

// ServeHTTP answers with one file, and with nothing else: no listings, no
// redirects, and nothing of the hidden folder. What there is to know of a file
// comes from its one descriptor, so a rename in between mixes no two versions.
func (s *shareServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	share, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	dir, known := s.dirs[share]
	if !known || !servable(name) {
		http.NotFound(w, r)
		return
	}
	// As WAPT's own web server: the list of hosts is nobody's business.
	if share == hostShare && name == "Packages" {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	f, info, err := openRegular(dir, name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Debug().Err(err).Str("share", share).Str("path", name).Msg("not served")
		}
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	kind := mime.TypeByExtension(filepath.Ext(name))
	if kind == "" {
		kind = "application/octet-stream" // never guessed from the content
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// servable says whether name is a plain path to something that is not hidden.
// Links are kept inside the share when the file is opened; to the hidden folder
// they lead only if the main's own do.
func servable(name string) bool {
	for i, element := range strings.Split(name, "/") {
		if element == "" || element == "." || element == ".." || strings.ContainsRune(element, 0) {
			return false
		}
		if i == 0 && strings.EqualFold(element, hiddenFolder) { // some file systems know no case
			return false
		}
	}
	return filepath.IsLocal(filepath.FromSlash(name)) && (filepath.Separator == '/' || !strings.ContainsRune(name, filepath.Separator))
}

var errNotRegular = errors.New("not a regular file")

// openRegular opens name in dir for reading. It looks before, since to open a
// pipe would wait for its other end, and again after. The folder is opened each
// time, because it may be made, or mounted, while the service runs.
func openRegular(dir, name string) (*os.File, fs.FileInfo, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	name = filepath.FromSlash(name)
	info, err := root.Stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// boundedListener lets no more connections in at once than free has room for.
type boundedListener struct {
	net.Listener
	free chan struct{}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &boundedConn{c.(*net.TCPConn), sync.OnceFunc(func() { <-l.free })}, nil
}

// boundedConn is a TCP connection with all its methods: net/http sends files
// through its ReadFrom, which copies nothing.
type boundedConn struct {
	*net.TCPConn
	done func()
}

func (c *boundedConn) Close() error {
	defer c.done()
	return c.TCPConn.Close()
}

// debugWriter logs each line that is written to it.
type debugWriter struct{ log zerolog.Logger }

func (w debugWriter) Write(line []byte) (int, error) {
	w.log.Debug().Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}
