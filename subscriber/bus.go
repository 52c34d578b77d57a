package subscriber

import (
	"context"

	"waptsync/bus"
	"waptsync/objects"
)

// Bus is what a replica uses of the bus; [bus.Client] says what each call means.
type Bus interface {
	Connected() bool
	Changes() <-chan struct{}
	Hello(ctx context.Context, share string, p bus.Position) (bus.Welcome, error)
	Feed(ctx context.Context, share string) (*bus.Feed, error)
	Window(ctx context.Context, share string, ids []objects.ID, sink func(id objects.ID, data []byte) error) ([]objects.ID, error)
	Fetch(ctx context.Context, share string, items []bus.Item, sink func(bus.Piece) error) (errs []error, err error)
}

// feed is what a replica uses of an open feed.
type feed interface {
	Next(ctx context.Context, max int) ([]bus.Delivery, error)
	Ack(seq uint64) error
	Close()
}

var (
	_ Bus  = (*bus.Client)(nil)
	_ feed = (*bus.Feed)(nil)
)
