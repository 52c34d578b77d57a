package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxAckPending = 20_000
	// consumerAckWait is long because a hello puts the consumer back at once:
	// nothing waits for it.
	consumerAckWait = 24 * time.Hour
	// A pull above one of these bounds is refused, so a client's own must be
	// within them: see puller.
	maxPullBatch   = 4096
	maxPullBytes   = 4 << 20
	maxPullExpires = time.Minute
	maxPulls       = 64
)

// Attach gives the remote's durable consumer the right place for its position.
// Doing it twice is the same as once; what the consumer had delivered and not
// got acknowledged is delivered again.
func (l *Log) Attach(ctx context.Context, remote string, p Position) (Welcome, error) {
	if err := ValidName(remote); err != nil {
		return Welcome{}, fmt.Errorf("attaching to the event log of %s: %w", l.o.Share, err)
	}
	defer l.remotes.lock(remote)()
	for {
		h, last := l.state()
		w := Welcome{
			Generation: h[len(h)-1].generation,
			Last:       last,
			MainTime:   time.Now(),
			Next:       1,
		}
		w.Reason = h.misfit(p, last, w.MainTime, l.o.TombstoneTTL)
		if w.Resume = w.Reason == ""; w.Resume {
			w.Next = p.Seq + 1
		}
		if err := l.place(ctx, remote, w.Next); err != nil {
			return Welcome{}, fmt.Errorf("attaching %s to the event log of %s: %w", remote, l.o.Share, err)
		}
		// A Reopen meanwhile may have put a shorter stream under the consumer.
		if l.Generation() == w.Generation {
			return w, nil
		}
	}
}

// place makes the remote's consumer deliver from next on.
//
// A request for events that an ended feed has left with the consumer would
// swallow the next ones: after its subscription is gone, the server takes the
// account import's own subscription for somebody who listens (seen in 2.15.2).
// Such a request may even still be on its way inside the server, so a consumer
// that was used in this process is made anew. Only the first time a reset, ten
// times as fast, will do: that is when all remotes come back to a restarted main.
func (l *Log) place(ctx context.Context, remote string, next uint64) error {
	want, made := consumerConfig(remote), false
	have, err := l.js.Consumer(ctx, l.stream, remote)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		l.used(remote)
		if _, err := l.js.CreateConsumer(ctx, l.stream, want); err != nil {
			return logError("creating its consumer", err)
		}
		made = true
	case err != nil:
		return logError("looking at its consumer", err)
	case l.used(remote), have.CachedInfo().NumWaiting > 0, !sameConsumer(have.CachedInfo().Config, want):
		if err := l.recreate(ctx, remote, want); err != nil {
			return err
		}
		made = true
	}
	if made && next == 1 {
		return nil // where it begins
	}
	if _, err := l.js.ResetConsumerToSequence(ctx, l.stream, remote, next); err == nil {
		return nil
	} else if ctx.Err() != nil {
		return logError("resetting its consumer", err)
	}
	want.DeliverPolicy, want.OptStartSeq = jetstream.DeliverByStartSequencePolicy, next
	return l.recreate(ctx, remote, want)
}

// used says whether it was asked for this remote before.
func (l *Log) used(remote string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.attached[remote]
	l.attached[remote] = true
	return was
}

func (l *Log) recreate(ctx context.Context, remote string, want jetstream.ConsumerConfig) error {
	if err := l.js.DeleteConsumer(ctx, l.stream, remote); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return logError("deleting its consumer", err)
	}
	if _, err := l.js.CreateConsumer(ctx, l.stream, want); err != nil {
		return logError("creating its consumer", err)
	}
	return nil
}

func consumerConfig(remote string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: remote,
		// DeliverAll, because such a consumer can be reset to any sequence.
		DeliverPolicy: jetstream.DeliverAllPolicy,
		// AckAll: a log is acknowledged in order, and it costs the server one
		// step instead of one an event.
		AckPolicy:          jetstream.AckAllPolicy,
		AckWait:            consumerAckWait,
		MaxDeliver:         -1,
		MaxAckPending:      maxAckPending,
		MaxWaiting:         maxPulls,
		MaxRequestBatch:    maxPullBatch,
		MaxRequestMaxBytes: maxPullBytes,
		MaxRequestExpires:  maxPullExpires,
		// On disk each delivery and each acknowledgement would be written and
		// synced, for every remote, and a hello puts the consumer back anyway.
		MemoryStorage: true,
	}
}

func sameConsumer(a, b jetstream.ConsumerConfig) bool {
	return a.DeliverPolicy == b.DeliverPolicy && a.AckPolicy == b.AckPolicy && a.AckWait == b.AckWait &&
		a.MaxAckPending == b.MaxAckPending && a.MaxWaiting == b.MaxWaiting && a.FilterSubject == b.FilterSubject &&
		a.MaxRequestBatch == b.MaxRequestBatch && a.MaxRequestMaxBytes == b.MaxRequestMaxBytes &&
		a.MaxRequestExpires == b.MaxRequestExpires && a.MemoryStorage == b.MemoryStorage
}

// Detach deletes the remote's consumer; none is no error.
func (l *Log) Detach(ctx context.Context, remote string) error {
	defer l.remotes.lock(remote)()
	err := l.js.DeleteConsumer(ctx, l.stream, remote)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("detaching %s from the event log of %s: %w", remote, l.o.Share, logError("deleting its consumer", err))
	}
	return nil
}

// Pending is the number of events that the remote's consumer has not acknowledged; -1 without a consumer.
func (l *Log) Pending(ctx context.Context, remote string) (int64, error) {
	c, err := l.js.Consumer(ctx, l.stream, remote)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("counting what %s has not of the event log of %s: %w", remote, l.o.Share, logError("looking at its consumer", err))
	}
	info := c.CachedInfo()
	return int64(info.NumPending) + int64(info.NumAckPending), nil
}

// consumers are the names of all consumers of the stream.
func (l *Log) consumers(ctx context.Context) ([]string, error) {
	s, err := l.js.Stream(ctx, l.stream)
	if err != nil {
		return nil, logError("looking at stream "+l.stream, err)
	}
	names := s.ConsumerNames(ctx)
	var all []string
	for name := range names.Name() {
		all = append(all, name)
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("listing the consumers of %s: %w", l.stream, err)
	}
	return all, nil
}

func (l *Log) deleteConsumers(ctx context.Context) error {
	all, err := l.consumers(ctx)
	if err != nil {
		return err
	}
	for _, name := range all {
		if err := l.js.DeleteConsumer(ctx, l.stream, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("deleting consumer %s of %s: %w", name, l.stream, err)
		}
	}
	return nil
}

func logError(doing string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%s: %w: %w", doing, ErrLogLost, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
