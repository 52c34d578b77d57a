package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var errWindowRests = errors.New("a put failed a moment ago")

// rested says why nothing can be put now, or nil. The first who asks after the
// rest sees whether the stream is well, and makes it anew if it is not.
func (w *Window) rested(ctx context.Context) error {
	w.mu.Lock()
	resting := w.resting
	if resting.IsZero() {
		w.mu.Unlock()
		return nil
	}
	now := time.Now()
	if now.Before(resting) {
		w.mu.Unlock()
		return errWindowRests
	}
	w.resting = now.Add(windowRest) // the others need not ask too
	w.mu.Unlock()

	if err := w.mend(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resting = time.Time{}
	return nil
}

// mend makes the stream anew if it takes nothing any more, as after a full
// disk, and the disk has space again. What it held is fetched from the files.
func (w *Window) mend(ctx context.Context) error {
	if w.server == nil {
		return nil
	}
	stream := objectsStream(w.share)
	broken := w.server.checkStream(stream, nil)
	if broken == nil {
		return w.server.room()
	}
	if err := w.server.room(); err != nil {
		return fmt.Errorf("%w: %w", broken, err)
	}
	if err := w.js.DeleteStream(ctx, stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: deleting the old stream: %w", broken, err)
	}
	if err := w.open(ctx); err != nil {
		return fmt.Errorf("%w: making the stream anew: %w", broken, err)
	}
	w.server.log.Warn().Err(broken).Str("stream", stream).Msg("the window was made anew")
	return nil
}
