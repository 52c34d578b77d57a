package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// readyPatience is for how long a start waits for the own JetStream's answer.
	readyPatience = 20 * time.Second
	readyPause    = 100 * time.Millisecond
)

// whenReady repeats ask while nobody answers it: a server that accepts
// connections may still be about to begin with its JetStream.
func whenReady(ctx context.Context, patience time.Duration, ask func() error) error {
	for begun := time.Now(); ; {
		err := ask()
		switch {
		case err == nil, ctx.Err() != nil, !unanswered(err):
			return err
		case time.Since(begun) > patience:
			return fmt.Errorf("the main's own JetStream has not answered for %s: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readyPause):
		}
	}
}

// unanswered says whether err means that a question got no answer.
func unanswered(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded)
}
