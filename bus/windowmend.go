package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// slowPut is when puts without an answer make somebody look at the stream: a
// server whose disk is full never answers.
const slowPut = 2 * time.Second

// underWay is the context of puts that begin now, unless they may not.
func (w *Window) underWay() (context.Context, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.resting) {
		return nil, errWindowRests
	}
	if w.puts == nil {
		w.puts, w.giveUp = context.WithCancel(context.Background())
	}
	return w.puts, nil
}

// watchPuts gives the puts under way up as soon as the stream turns out to take
// nothing, until stop.
func (w *Window) watchPuts() (stop func()) {
	if w.server == nil {
		return func() {}
	}
	var t *time.Timer
	var ended bool
	var mu sync.Mutex
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		if ended {
			return
		}
		if err := w.server.checkStream(objectsStream(w.share), nil); err != nil {
			w.giveUpPuts(fmt.Errorf("the window of %s takes nothing: %w", w.share, err))
			return
		}
		t.Reset(slowPut)
	}
	mu.Lock()
	defer mu.Unlock()
	t = time.AfterFunc(slowPut, look)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		ended = true
		t.Stop()
	}
}

// giveUpPuts ends the puts under way, and has nothing put for a while.
func (w *Window) giveUpPuts(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = why
	}
	w.resting = time.Now().Add(windowRest)
	if w.giveUp != nil {
		w.giveUp()
	}
	w.puts, w.giveUp = nil, nil
}

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
	broken, err := w.server.remake(ctx, w.js, objectsStream(w.share), w.open)
	if err == nil && broken != nil {
		// Nobody answers what the old stream was given.
		w.giveUpPuts(fmt.Errorf("the window of %s was made anew: %w", w.share, broken))
		w.server.log.Warn().Err(broken).Str("stream", objectsStream(w.share)).Msg("the window was made anew")
	}
	return err
}
