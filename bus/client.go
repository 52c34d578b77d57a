package bus

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"waptsync/objects"
)

// ClientOptions configures a remote's connections.
type ClientOptions struct {
	Membership *Membership
	Identity   *Identity
	Log        zerolog.Logger
}

// Client is a remote's side of the bus: one connection for events, one for bulk bytes.
type Client struct{}

// Connect starts connecting, and goes on for ever in the background: it does
// not wait for the main to be there.
func Connect(ctx context.Context, o ClientOptions) (*Client, error) {
	return nil, errors.New("not built")
}

// Connected says whether both connections stand.
func (c *Client) Connected() bool { return false }

// Trouble is why the client is not connected, or nil.
func (c *Client) Trouble() error { return nil }

// Changes returns a channel that is closed at the next change of Connected.
func (c *Client) Changes() <-chan struct{} { return nil }

// Hello tells the main where the remote stands, so that its consumer is put there.
func (c *Client) Hello(ctx context.Context, share string, p Position) (Welcome, error) {
	return Welcome{}, errors.New("not built")
}

// Feed opens the durable consumer of a share, after a Hello.
func (c *Client) Feed(ctx context.Context, share string) (*Feed, error) {
	return nil, errors.New("not built")
}

// Window reads objects from the objects stream, calls sink for each found one
// with bytes that hash to its ID, and returns the others. data is valid during
// the call only.
func (c *Client) Window(ctx context.Context, share string, ids []objects.ID, sink func(id objects.ID, data []byte) error) ([]objects.ID, error) {
	return ids, errors.New("not built")
}

// Fetch asks the main for items of at most MaxFetchBytes together and calls
// sink for each piece, in order within an item, from one goroutine. errs has an
// entry an item, nil where all its bytes came. piece is valid during the call
// only. It may be called concurrently; the client bounds what is in flight.
func (c *Client) Fetch(ctx context.Context, share string, items []Item, sink func(item int, offset int64, piece []byte) error) (errs []error, err error) {
	return nil, errors.New("not built")
}

// Report sends the remote's state.
func (c *Client) Report(ctx context.Context, r *Report) error { return errors.New("not built") }

// Received are bytes read from both connections since Connect.
func (c *Client) Received() int64 { return 0 }

// Close closes the connections.
func (c *Client) Close() {}

// Feed delivers a share's events in stream order.
type Feed struct{}

// Next waits for at least one delivery and returns up to max that are there.
// ErrFeedLost means that a new Hello is needed.
func (f *Feed) Next(ctx context.Context, max int) ([]Delivery, error) {
	return nil, errors.New("not built")
}

// Ack acknowledges the event at seq and all before it.
func (f *Feed) Ack(seq uint64) error { return errors.New("not built") }

// Close ends the feed; the consumer stays.
func (f *Feed) Close() {}

// ErrFeedLost is returned by Feed.Next when the connection, the stream or the
// consumer went away.
var ErrFeedLost = errors.New("event feed lost")
