package bus

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
)

// LogOptions configures a share's event stream.
type LogOptions struct {
	Share        string
	TombstoneTTL time.Duration // 0 means 90 days
	MaxRemotes   int           // 0 means 1000
}

// Log is the main's side of one share's event stream.
type Log struct{}

// OpenLog opens the stream, or makes it, and begins a new generation.
func OpenLog(ctx context.Context, js jetstream.JetStream, o LogOptions) (*Log, error) {
	return nil, errors.New("not built")
}

// Generation is the one begun by OpenLog, or by the last Reopen.
func (l *Log) Generation() uuid.UUID { return uuid.UUID{} }

// Last is the last sequence known to be in the stream.
func (l *Log) Last() uint64 { return 0 }

// Replay calls fn for the newest event of every path, tombstones too, oldest first.
func (l *Log) Replay(ctx context.Context, fn func(seq uint64, e *Event) error) error {
	return errors.New("not built")
}

// Append stores events in their order and returns the sequence of the last
// one. It sets each event's Generation. They are on disk when it returns; after
// an error any prefix of them may be.
func (l *Log) Append(ctx context.Context, events []*Event) (uint64, error) {
	return 0, errors.New("not built")
}

// Attach gives the remote's durable consumer the right place for its position.
func (l *Log) Attach(ctx context.Context, remote string, p Position) (Welcome, error) {
	return Welcome{}, errors.New("not built")
}

// Detach deletes the remote's consumer; none is no error.
func (l *Log) Detach(ctx context.Context, remote string) error { return errors.New("not built") }

// Pending is the number of events that the remote's consumer has not acknowledged; -1 without a consumer.
func (l *Log) Pending(ctx context.Context, remote string) (int64, error) {
	return 0, errors.New("not built")
}
