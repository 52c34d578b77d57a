package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/rs/zerolog"
)

const (
	socketName      = "control.sock"
	maxControlBody  = 1 << 20
	controlTimeout  = 10 * time.Second // for a request's header and body
	shutdownTimeout = 2 * time.Second
)

// apiError is the one shape of an error that the control API answers with.
type apiError struct {
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// controlServer answers the commands of the same machine on a Unix socket.
type controlServer struct {
	server *http.Server
	path   string
	log    zerolog.Logger
}

// serveControl listens on the socket in the data folder. The folder's lock is
// held, so a socket that is there already is a dead service's.
func serveControl(data *dataDir, h http.Handler, log zerolog.Logger) (*controlServer, error) {
	path := data.join(socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing the old control socket: %w", err)
	}
	var l *net.UnixListener
	err := viaShortPath(path, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // Close removes it by its real path
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	s := &controlServer{
		server: &http.Server{
			Handler:           refuseStrangers(http.MaxBytesHandler(h, maxControlBody)),
			ReadHeaderTimeout: controlTimeout,
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, mayControlKey{}, mayControl(c))
			},
		},
		path: path,
		log:  log,
	}
	go func() {
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error().Err(err).Msg("the control socket stopped; commands do not reach this service any more")
		}
	}()
	return s, nil
}

// Close ends what is under way and removes the socket.
func (s *controlServer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		s.server.Close()
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn().Err(err).Msg("the control socket was not removed")
	}
}

type mayControlKey struct{}

func refuseStrangers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ok, _ := r.Context().Value(mayControlKey{}).(bool); !ok {
			writeError(w, http.StatusForbidden, withHint(errors.New("only root and the service's own user may control it"), "use sudo"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// handle makes a handler of a function from a JSON body to a JSON answer. An
// empty body is In's zero value.
func handle[In, Out any](do func(r *http.Request, in In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			writeError(w, http.StatusBadRequest, fmt.Errorf("reading the request: %w", err))
			return
		}
		out, err := do(r, in)
		if err != nil {
			writeError(w, statusOf(err), err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// The only failure left is a client that went away.
		_ = json.NewEncoder(w).Encode(out)
	}
}

func writeError(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(apiError{Error: err.Error(), Hint: hintOf(err)})
}

// statusOf maps an error to HTTP; clients map it back to an exit code.
func statusOf(err error) int {
	switch {
	case errors.Is(err, errNotFound):
		return http.StatusNotFound
	case exitCode(err) == exitUsage:
		return http.StatusBadRequest
	case exitCode(err) == exitHeld:
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}
