package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"waptsync/objects"
)

// Window is the main's side of one share's objects stream: the newest objects,
// as many as fit.
type Window struct{}

// OpenWindow opens the stream or makes it, bounded to maxBytes on disk.
func OpenWindow(ctx context.Context, js jetstream.JetStream, share string, maxBytes int64) (*Window, error) {
	return nil, errors.New("not built")
}

// MaxBytes is the window's bound.
func (w *Window) MaxBytes() int64 { return 0 }

// Put adds an object if the window lacks it. It copies data, may return before
// the server has it, and blocks while too much is under way; Flush tells the
// outcome.
func (w *Window) Put(ctx context.Context, id objects.ID, data []byte) error {
	return errors.New("not built")
}

// Flush returns when all that was put is in the stream, or why it is not.
func (w *Window) Flush(ctx context.Context) error { return errors.New("not built") }
