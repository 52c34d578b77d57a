package bus

import (
	"context"
	"errors"
	"io"

	"github.com/rs/zerolog"

	"waptsync/objects"
)

// Files is where the fetch service gets bytes: the publisher implements it.
// An error that is a *FetchError reaches the remote as such.
type Files interface {
	// Open opens a content as it lies under path. The reader's Close reports
	// whether the file changed while it was open.
	Open(share, path string, digest objects.ID) (ContentReader, error)
	// Manifest returns the encoded manifest of a content of several objects.
	Manifest(ctx context.Context, share, path string, digest objects.ID) ([]byte, error)
}

// ContentReader reads one content of the main.
type ContentReader interface {
	io.ReaderAt
	io.Closer
}

// ServiceOptions configures the main's answering side.
type ServiceOptions struct {
	Files    Files
	Logs     map[string]*Log // by share
	OnReport func(remote string, r Report)
	Log      zerolog.Logger
}

// Service answers hellos, fetches, reports and joins of remotes.
type Service struct{}

// StartService starts answering.
func StartService(ctx context.Context, s *Server, o ServiceOptions) (*Service, error) {
	return nil, errors.New("not built")
}

// Served are content bytes sent to remotes by the fetch service since it started.
func (s *Service) Served() int64 { return 0 }

// Close stops answering.
func (s *Service) Close() {}
