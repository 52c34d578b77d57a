package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
)

// A feed's pulls: at most three requests are open, so 1,500 events may be on
// their way, mostly 300 to 400 bytes each. On a link of 1 Mbit/s that is 5 s,
// so that answers to pings do not come too late.
const (
	feedBatch = 512
	feedBytes = 128 << 10
)

// ErrFeedLost is returned by Feed.Next when the connection, the stream or the
// consumer went away.
var ErrFeedLost = errors.New("event feed lost")

// Feed delivers a share's events in stream order, each once. Next is for one
// goroutine; the others may be called concurrently with it.
type Feed struct {
	share  string
	link   *link
	puller *puller
	broken error // met while Next had deliveries to return
	down   <-chan struct{}
	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	lost   atomic.Bool

	mu       sync.Mutex
	unacked  []ackable // delivered, oldest first; at most maxAckPending
	released bool
}

// ackable is what it takes to acknowledge a delivery.
type ackable struct {
	seq   uint64
	reply string
}

// Feed opens the durable consumer of a share, after a Hello.
func (c *Client) Feed(ctx context.Context, share string) (*Feed, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("opening the feed of %s: %w", share, err)
	}
	up, down, trouble := c.events.state()
	if !up {
		return nil, fmt.Errorf("opening the feed of %s: %w: %w: %w", share, ErrFeedLost, ErrNotConnected, trouble)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.feeds[share]; old != nil {
		old.Close()
	}
	c.nextFeed++
	p, err := newPuller(c.events.conn,
		apiPrefix+".CONSUMER.MSG.NEXT."+eventsStream(share)+"."+c.options.Membership.Name,
		c.events.inbox+".feed."+strconv.Itoa(c.nextFeed), feedBatch, feedBytes)
	if err != nil {
		return nil, fmt.Errorf("opening the feed of %s: %w: %w", share, ErrFeedLost, err)
	}
	f := &Feed{share: share, link: c.events, puller: p, down: down}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	c.feeds[share] = f
	return f, nil
}

// Next waits for at least one delivery and returns up to max that are there.
// ErrFeedLost means that a new Hello is needed.
func (f *Feed) Next(ctx context.Context, max int) ([]Delivery, error) {
	if f.broken != nil {
		return nil, f.failed(f.broken)
	}
	if f.lost.Load() {
		return nil, fmt.Errorf("reading the feed of %s: %w", f.share, ErrFeedLost)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.ctx, cancel)()
	for {
		d, err := f.puller.next(ctx, f.down)
		if err != nil {
			return nil, f.failed(err)
		}
		if d.msg == nil {
			continue
		}
		deliveries := append(make([]Delivery, 0, min(max, len(f.puller.msgs)+1)), f.deliver(d))
		for len(deliveries) < max {
			d, ok, err := f.puller.poll()
			if err != nil {
				f.broken = err // what came before stands
				break
			}
			if !ok {
				break
			}
			if d.msg != nil {
				deliveries = append(deliveries, f.deliver(d))
			}
		}
		return deliveries, nil
	}
}

func (f *Feed) failed(err error) error {
	if f.ctx.Err() != nil || errors.Is(err, errPullLost) {
		f.lost.Store(true)
		return fmt.Errorf("reading the feed of %s: %w: %w", f.share, ErrFeedLost, err)
	}
	return fmt.Errorf("reading the feed of %s: %w", f.share, err)
}

func (f *Feed) deliver(p pulled) Delivery {
	f.mu.Lock()
	f.unacked = append(f.unacked, ackable{p.streamSeq, p.msg.Reply})
	f.mu.Unlock()
	d := Delivery{Seq: p.streamSeq, Pending: p.pending, Time: p.time}
	if d.Event, d.Err = DecodeEvent(p.msg.Data); d.Err != nil {
		d.Err = fmt.Errorf("event %d of %s: %w", p.streamSeq, f.share, d.Err)
	}
	return d
}

// Ack acknowledges the event at seq and all before it. That it reaches the
// main is not certain; what does not is delivered again after the next Hello.
func (f *Feed) Ack(seq uint64) error {
	// Once a new Hello may have put the consumer back, an old acknowledgement
	// would confuse its count of deliveries.
	if f.lost.Load() {
		return fmt.Errorf("acknowledging %d of %s: %w", seq, f.share, ErrFeedLost)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for n < len(f.unacked) && f.unacked[n].seq <= seq {
		n++
	}
	if n == 0 {
		return nil
	}
	if err := f.link.conn.Publish(f.unacked[n-1].reply, []byte("+ACK")); err != nil {
		return fmt.Errorf("acknowledging %d of %s: %w", seq, f.share, err)
	}
	f.unacked = append(f.unacked[:0], f.unacked[n:]...)
	return nil
}

// Close ends the feed; the consumer stays.
func (f *Feed) Close() {
	f.lost.Store(true)
	f.cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.released {
		f.released = true
		f.puller.close()
	}
}
