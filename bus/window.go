package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"waptsync/objects"
)

const (
	// windowPending bounds the bytes that Put has taken and the server has
	// not: well below the 128 MiB that a stream takes in before it drops.
	windowPending = 32 << 20
	// putOverhead is what an object costs beside its bytes, so that many tiny
	// ones are bounded too.
	putOverhead = 16 << 10
	putTimeout  = 30 * time.Second
	// windowRest is for how long nothing is put after a put that failed: each
	// would wait for its time-out, and remotes can fetch.
	windowRest = 10 * time.Second
	// duplicates is the least that the server takes: at a start it reads back all
	// messages of that time to find ids of messages, which none here has.
	duplicates = 100 * time.Millisecond
	// MaxWindowObject is the largest object that the window takes: a message
	// must stay below the server's 1 MiB, and a smaller one lets others pass.
	MaxWindowObject = 512 << 10
)

// Window is the main's side of one share's objects stream: the newest objects,
// as many as fit. Its methods may be called concurrently.
type Window struct {
	js       jetstream.JetStream
	share    string
	maxBytes int64
	pending  *semaphore.Weighted // bytes
	server   *Server             // of the stream, nil if not known

	mu  sync.Mutex
	err error // the first failure since the last Flush
	// resting: nothing is put before then, because the last put failed.
	resting time.Time
	// puts is the context of the puts under way, and giveUp ends it.
	puts   context.Context
	giveUp context.CancelFunc
}

// OpenWindow opens the stream or makes it, bounded to maxBytes on disk.
func OpenWindow(ctx context.Context, js jetstream.JetStream, share string, maxBytes int64) (*Window, error) {
	w, err := newWindow(js, share, maxBytes)
	if err != nil {
		return nil, err
	}
	if err := whenReady(ctx, readyPatience, func() error { return w.open(ctx) }); err != nil {
		return nil, fmt.Errorf("opening the window of %s: %w", share, err)
	}
	return w, nil
}

func newWindow(js jetstream.JetStream, share string, maxBytes int64) (*Window, error) {
	if err := ValidName(share); err != nil {
		return nil, fmt.Errorf("opening a window: share: %w", err)
	}
	if maxBytes <= 0 {
		return nil, fmt.Errorf("opening the window of %s: bound of %d bytes", share, maxBytes)
	}
	return &Window{js: js, share: share, maxBytes: maxBytes, pending: semaphore.NewWeighted(windowPending)}, nil
}

func (w *Window) open(ctx context.Context) error {
	return makeStream(ctx, w.js, jetstream.StreamConfig{
		Name:              objectsStream(w.share),
		Subjects:          []string{objectsPrefix + "." + w.share + ".*"},
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardOld,
		MaxBytes:          w.maxBytes,
		MaxMsgsPerSubject: 1,
		Duplicates:        duplicates,
		AllowDirect:       true,
		// What a power cut takes from the window is fetched from the files.
		PersistMode: jetstream.AsyncPersistMode,
	})
}

// MaxBytes is the window's bound.
func (w *Window) MaxBytes() int64 { return w.maxBytes }

// Put adds an object of at most MaxWindowObject bytes if the window lacks it.
// It copies data, may return before the server has it, and blocks while too
// much is under way; Flush tells the outcome.
func (w *Window) Put(ctx context.Context, id objects.ID, data []byte) error {
	if len(data) > MaxWindowObject {
		return fmt.Errorf("putting object %s to the window of %s: %d bytes: at most %d", id, w.share, len(data), MaxWindowObject)
	}
	if err := w.rested(ctx); err != nil {
		return fmt.Errorf("putting object %s to the window of %s: %w", id, w.share, err)
	}
	weight := int64(len(data) + putOverhead)
	if err := w.pending.Acquire(ctx, weight); err != nil {
		return fmt.Errorf("putting object %s to the window of %s: %w", id, w.share, err)
	}
	msg := &nats.Msg{
		Subject: objectSubject(w.share, id),
		Data:    bytes.Clone(data),
		Header:  nats.Header{jetstream.ExpectedLastSubjSeqHeader: {"0"}},
	}
	// The object outlives the caller's interest in it: Flush judges it.
	under, err := w.underWay()
	if err != nil {
		w.pending.Release(weight)
		return fmt.Errorf("putting object %s to the window of %s: %w", id, w.share, err)
	}
	go func() {
		defer w.pending.Release(weight)
		ctx, cancel := context.WithTimeout(under, putTimeout)
		defer cancel()
		if _, err := w.js.PublishMsg(ctx, msg); err != nil && !alreadyThere(err) {
			w.fail(under, fmt.Errorf("putting object %s to the window of %s: %w", id, w.share, err))
		}
	}()
	return nil
}

// alreadyThere says whether the server refused a put because the subject has a message.
func alreadyThere(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// fail notes that a put failed which began under that context. One that was
// given up says nothing of the stream as it is now.
func (w *Window) fail(under context.Context, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	if under.Err() == nil {
		w.resting = time.Now().Add(windowRest)
	}
}

func (w *Window) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resting = time.Now().Add(windowRest)
}

// Flush returns when all that was put is in the stream, or why it is not.
func (w *Window) Flush(ctx context.Context) error {
	stop := w.watchPuts()
	err := w.pending.Acquire(ctx, windowPending)
	stop()
	if err != nil {
		return fmt.Errorf("flushing the window of %s: %w", w.share, err)
	}
	w.pending.Release(windowPending)
	w.mu.Lock()
	defer w.mu.Unlock()
	err = w.err
	w.err = nil
	return err
}
