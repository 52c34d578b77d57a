package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// reportStore is the stream of the newest report of each remote.
type reportStore struct {
	server *Server
	js     jetstream.JetStream

	mending sync.Mutex // held while somebody sees why nothing is stored

	mu sync.Mutex
	// resting: no report is stored before then, because the last was not: each
	// would wait for its time-out.
	resting time.Time
}

func (r *reportStore) open(ctx context.Context) error {
	err := makeStream(ctx, r.js, jetstream.StreamConfig{
		Name:              remotesStream,
		Subjects:          []string{remotesPrefix + ".*"},
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardOld,
		MaxMsgsPerSubject: 1,
		Duplicates:        duplicates,
		AllowDirect:       true,
	})
	if err != nil {
		return fmt.Errorf("opening the stream of reports: %w", err)
	}
	return nil
}

// store keeps a remote's report. A stream that takes nothing is made anew when
// the disk has room; until then reports are let go, and the next ones tried
// after a rest.
func (r *reportStore) store(ctx context.Context, remote string, data []byte) error {
	r.mu.Lock()
	rests := time.Now().Before(r.resting)
	r.mu.Unlock()
	if rests {
		return nil
	}
	err := r.publish(ctx, remote, data)
	if err == nil || ctx.Err() != nil {
		return err
	}
	r.mending.Lock()
	defer r.mending.Unlock()
	if broken, merr := r.server.remake(ctx, r.js, remotesStream, r.open); merr != nil {
		r.mu.Lock()
		r.resting = time.Now().Add(windowRest)
		r.mu.Unlock()
		return fmt.Errorf("%w: %w", merr, err)
	} else if broken != nil {
		r.server.log.Warn().Err(broken).Str("stream", remotesStream).Msg("the stream of reports was made anew")
	}
	return r.publish(ctx, remote, data)
}

func (r *reportStore) publish(ctx context.Context, remote string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	look := time.AfterFunc(slowPut, func() {
		if r.server.checkStream(remotesStream, nil) != nil {
			cancel() // no answer will come
		}
	})
	defer look.Stop()
	_, err := r.js.Publish(ctx, remotesPrefix+"."+remote, data)
	return err
}
