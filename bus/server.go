package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// ServerOptions configures the embedded server.
type ServerOptions struct {
	Dir       string // the store's folder, mode 0700, on the main's own disk
	Listen    string // host:port
	Authority *Authority
	Registry  *Registry
	Shares    []string
	MaxStore  int64 // bytes; 0 means a quarter of what is free
	Log       zerolog.Logger
}

// Server is the embedded NATS server with JetStream.
type Server struct{}

// StartServer starts the server and returns when it accepts connections.
func StartServer(ctx context.Context, o ServerOptions) (*Server, error) {
	return nil, errors.New("not built")
}

// Apply makes the registry's present state hold for live connections at once.
func (s *Server) Apply() error { return errors.New("not built") }

// JetStream is the publisher's context in the account that holds the streams.
func (s *Server) JetStream() jetstream.JetStream { return nil }

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return "" }

// Connection is a remote's present connection.
type Connection struct {
	Address string        `json:"address"`
	Since   time.Time     `json:"since"`
	RTT     time.Duration `json:"rtt"`
	Sent    int64         `json:"sent"` // bytes on all its connections since they began
}

// Connections returns the remotes that are connected now, by name.
func (s *Server) Connections() map[string]Connection { return nil }

// Health returns why the server or its store is not well, or nil.
func (s *Server) Health() error { return nil }

// Close stops the server in order; it returns when the store is closed.
func (s *Server) Close() {}
