package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// readyPatience is for how long a start waits for the own JetStream's answer.
	readyPatience = 20 * time.Second
	readyPause    = 100 * time.Millisecond

	makeTries = 4
	makePause = 50 * time.Millisecond
	// codeStreamCreate is the server's JSStreamCreateErrF.
	codeStreamCreate = 10049
)

// makeStream makes a stream or changes its configuration. It tries again for a
// moment where the server could not make the files: that of nats-server 2.15.2
// sometimes cannot just after a stream of the same name was deleted, or just after
// its JetStream began.
func makeStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) (err error) {
	for range makeTries {
		_, err = js.CreateOrUpdateStream(ctx, cfg)
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != codeStreamCreate {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(makePause):
		}
	}
	return err
}

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
