package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
)

const requestTimeout = 30 * time.Second // of a request whose context has no end

// fetchInFlight bounds the content bytes that a client has asked for and its
// callers have not taken. It is also what a lost connection may cost.
const fetchInFlight = 8 << 20

// A fetch of at most quickBytes goes by the connection of the events, unless it is
// a piece of more, and as long as quickInFlight are not under way there, so that a
// host package never waits behind the pieces of a large file either. On a link of
// 1 Mbit/s events may wait for two seconds then.
const (
	quickBytes    = 128 << 10
	quickInFlight = 256 << 10
	quickAtOnce   = 4
)

// bulkProbe is how long the bulk connection may take to show life once that of
// the events is gone.
const bulkProbe = 5 * time.Second

// ErrNotConnected is returned when a request cannot be sent, or its answer
// cannot come, because the connection is away. Trying again later may help.
var ErrNotConnected = errors.New("not connected to the main")

// ClientOptions configures a remote's connections.
type ClientOptions struct {
	Membership *Membership
	Identity   *Identity
	Log        zerolog.Logger
}

// Client is a remote's side of the bus: one connection for events and small
// contents, one for bulk bytes, or some, so that they never wait behind a large
// file. Its methods may be called concurrently.
type Client struct {
	options  ClientOptions
	events   *link
	bulk     *link
	inFlight *semaphore.Weighted // content bytes on the bulk connection
	quick    *semaphore.Weighted // and on that of the events

	mu        sync.Mutex
	far       []*link   // more for bulk bytes, if the main is far away
	measured  time.Time // when it was last looked whether it is
	closed    bool
	connected bool
	changes   chan struct{}
	feeds     map[string]*Feed // the newest of each share
	nextFeed  int
}

// Connect starts connecting, and goes on for ever in the background: it does
// not wait for the main to be there.
func Connect(ctx context.Context, o ClientOptions) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connecting to the main: %w", err)
	}
	if err := o.Membership.validate(); err != nil {
		return nil, fmt.Errorf("connecting to the main: membership: %w", err)
	}
	c := &Client{
		options:  o,
		inFlight: semaphore.NewWeighted(fetchInFlight),
		quick:    semaphore.NewWeighted(quickInFlight),
		changes:  make(chan struct{}),
		feeds:    map[string]*Feed{},
	}
	events, err := newLink(&o, "events", eventsPing, eventsPings, c.eventsChanged)
	if err != nil {
		return nil, fmt.Errorf("connecting to the main: %w", err)
	}
	bulk, err := newLink(&o, "bulk", bulkPing, bulkPings, c.update)
	if err != nil {
		events.conn.Close()
		return nil, fmt.Errorf("connecting to the main: %w", err)
	}
	c.mu.Lock()
	c.events, c.bulk = events, bulk
	c.mu.Unlock()
	c.update()
	return c, nil
}

// eventsChanged is update for the connection that notices a cut link first,
// and makes the other one look, too.
func (c *Client) eventsChanged() {
	c.update()
	c.mu.Lock()
	events, bulk, far := c.events, c.bulk, c.far
	c.mu.Unlock()
	if events == nil || bulk == nil {
		return
	}
	if up, _, _ := events.state(); up {
		return
	}
	bulk.look()
	for _, l := range far {
		l.look()
	}
}

// update tells who waits on Changes when Connected changes. The links call it,
// the first time perhaps before both are there.
func (c *Client) update() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil || c.bulk == nil {
		return
	}
	events, _, _ := c.events.state()
	bulk, _, _ := c.bulk.state()
	if now := events && bulk; now != c.connected {
		c.connected = now
		close(c.changes)
		c.changes = make(chan struct{})
	}
}

// Connected says whether both connections stand.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected
}

// Trouble is why the client is not connected, or nil.
func (c *Client) Trouble() error {
	for _, l := range []*link{c.events, c.bulk} {
		if _, _, trouble := l.state(); trouble != nil {
			return trouble
		}
	}
	return nil
}

// Changes returns a channel that is closed at the next change of Connected.
func (c *Client) Changes() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}

// Hello tells the main where the remote stands, so that its consumer is put
// there. It ends the share's feed, if there is one. For a share that the main
// does not give to this remote the error is a *NotAllowedError.
func (c *Client) Hello(ctx context.Context, share string, p Position) (Welcome, error) {
	c.mu.Lock()
	old := c.feeds[share]
	delete(c.feeds, share)
	c.mu.Unlock()
	if old != nil {
		old.Close()
	}
	request, err := json.Marshal(helloRequest{Position: p})
	if err != nil {
		return Welcome{}, fmt.Errorf("saying hello for %s: %w", share, err)
	}
	var answer helloAnswer
	if err := c.request(ctx, helloPrefix+"."+share+"."+c.options.Membership.Name, share, request, &answer); err != nil {
		return Welcome{}, fmt.Errorf("saying hello for %s: %w", share, err)
	}
	if answer.Error != "" || answer.Welcome == nil {
		return Welcome{}, fmt.Errorf("saying hello for %s: the main answers: %s", share, answer.Error)
	}
	return *answer.Welcome, nil
}

// Report sends the remote's state; it returns when the main has taken it.
func (c *Client) Report(ctx context.Context, r *Report) error {
	_, err := c.Consult(ctx, r)
	return err
}

// Consult reports, and returns what the main asks of this remote.
func (c *Client) Consult(ctx context.Context, r *Report) (Wish, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return Wish{}, fmt.Errorf("reporting: %w", err)
	}
	if len(b) > maxReportBytes {
		return Wish{}, fmt.Errorf("reporting: %d bytes: at most %d", len(b), maxReportBytes)
	}
	var answer reportAnswer
	if err := c.request(ctx, reportPrefix+"."+c.options.Membership.Name, "", b, &answer); err != nil {
		return Wish{}, fmt.Errorf("reporting: %w", err)
	}
	if answer.Error != "" {
		return Wish{}, fmt.Errorf("reporting: the main answers: %s", answer.Error)
	}
	return answer.Wish, nil
}

// request asks on the events' connection and reads a JSON answer. share is what
// it is about, or empty.
func (c *Client) request(ctx context.Context, subject, share string, data []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	up, down, trouble := c.events.state()
	if !up {
		return fmt.Errorf("%w: %w", ErrNotConnected, trouble)
	}
	// What is cut off with the connection is never answered.
	ctx, release := withDown(ctx, down)
	defer release()
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	denied, end := c.events.denials.watch(subject)
	defer end()
	go func() {
		select {
		case <-denied:
			refuse(&NotAllowedError{Subject: subject, Share: share, Remote: c.options.Membership.Name})
		case <-ctx.Done():
		}
	}()
	msg, err := c.events.conn.RequestWithContext(ctx, subject, data)
	if err != nil {
		return requestError(ctx, err)
	}
	if err := json.Unmarshal(msg.Data, answer); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

// withDown returns a context that also ends, with ErrNotConnected as its cause, when down is closed.
func withDown(ctx context.Context, down <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		select {
		case <-down:
			cancel(fmt.Errorf("%w: the connection broke", ErrNotConnected))
		case <-done:
			cancel(nil)
		}
	}()
	return ctx, sync.OnceFunc(func() { close(done) })
}

func requestError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("the main is there, but its service is not: %w", err)
	}
	if errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return err
}

// Received are bytes read from all connections since Connect.
func (c *Client) Received() int64 {
	n := c.events.received() + c.bulk.received()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.far {
		n += l.received()
	}
	return n
}

// Close closes the connections.
func (c *Client) Close() {
	c.events.conn.Close()
	c.bulk.conn.Close()
	c.mu.Lock()
	far := c.far
	c.closed = true
	c.mu.Unlock()
	for _, l := range far {
		l.conn.Close()
	}
}
