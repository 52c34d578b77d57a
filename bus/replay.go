package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Replay's pulls: in process, so what is in flight is only a matter of memory.
const (
	replayBatch = 4096
	replayBytes = 4 << 20
)

// Replay calls fn for the newest event of every path, tombstones too, oldest
// first, up to what the log held when it was called. A message that is no
// event is logged and passed over. It fails with fn's error, wrapped.
func (l *Log) Replay(ctx context.Context, fn func(seq uint64, e *Event) error) error {
	if err := l.replay(ctx, fn); err != nil {
		return fmt.Errorf("replaying the event log of %s: %w", l.o.Share, err)
	}
	return nil
}

func (l *Log) replay(ctx context.Context, fn func(seq uint64, e *Event) error) error {
	last := l.Last()
	if last == 0 {
		return nil
	}
	c, err := l.js.CreateConsumer(ctx, l.stream, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		InactiveThreshold: 2 * time.Minute, // its end, should this process not come to delete it
	})
	if err != nil {
		return logError("creating a consumer", err)
	}
	name := c.CachedInfo().Name
	defer func() {
		if err := l.js.DeleteConsumer(context.WithoutCancel(ctx), l.stream, name); err != nil {
			l.o.Log.Debug().Err(err).Str("consumer", name).Msg("a replay's consumer stays until it is inactive for long enough")
		}
	}()
	if c.CachedInfo().NumPending == 0 {
		return nil
	}
	conn := l.js.Conn()
	p, err := newPuller(conn, l.apiSubject("CONSUMER.MSG.NEXT."+l.stream+"."+name), conn.NewInbox(), replayBatch, replayBytes)
	if err != nil {
		return err
	}
	defer p.close()

	undecodable := 0
	defer func() {
		if undecodable > 0 {
			l.o.Log.Error().Str("stream", l.stream).Int("count", undecodable).Msg("messages of the event stream are no events")
		}
	}()
	for {
		d, err := p.next(ctx, nil)
		if err != nil {
			return err
		}
		if d.msg == nil {
			// Idle with messages still expected: what was left has expired or
			// was overwritten while we read.
			if info, err := c.Info(ctx); err != nil {
				return logError("looking at the consumer", err)
			} else if info.NumPending == 0 {
				return nil
			}
			continue
		}
		if d.streamSeq > last {
			return nil
		}
		e, err := DecodeEvent(d.msg.Data)
		if err != nil {
			if undecodable++; undecodable == 1 {
				l.o.Log.Error().Err(err).Str("stream", l.stream).Uint64("seq", d.streamSeq).Msg("passing over a message that is no event")
			}
		} else if err := fn(d.streamSeq, &e); err != nil {
			return fmt.Errorf("event %d: %w", d.streamSeq, err)
		}
		if d.pending == 0 || d.streamSeq == last {
			return nil
		}
	}
}

// apiSubject is a subject of JetStream's API as this log's context sees it.
func (l *Log) apiSubject(call string) string {
	prefix := l.js.Options().APIPrefix
	if prefix == "" {
		prefix = jetstream.DefaultAPIPrefix
	}
	return prefix + call
}
