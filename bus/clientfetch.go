package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// After answerSilence without a message the connection must show life; the
	// message may be behind others on a slow link, or the main busy with a
	// large file. After answerPatience it is not waited for any longer.
	answerSilence  = 20 * time.Second
	answerPatience = 3 * time.Minute
	// itemCost is what an item weighs beside its bytes in what is in flight.
	itemCost = 64
	// fetchesAtOnce is how many requests of a client are under way at most, for
	// all shares: each weighs its part of what may be in flight, however little
	// it asks for.
	fetchesAtOnce = 8
)

// ErrInterrupted is returned when an answer did not come to its end. Asking
// again may help.
var ErrInterrupted = errors.New("the answer was interrupted")

// Fetch asks the main for items of at most MaxFetchBytes together and calls
// sink for each piece, of at most MaxPiece bytes and in order within an item, from
// the caller's goroutine. errs has an entry an item, nil where all its bytes came;
// where it is not, bytes that sink got of the item are not to be trusted. err is
// ErrNotConnected, ErrInterrupted, ctx's or sink's, wrapped, and then items
// whose bytes all came before it still have no entry in errs other than err.
// It may be called concurrently; the client bounds what is in flight.
func (c *Client) Fetch(ctx context.Context, share string, items []Item, sink func(Piece) error) (errs []error, err error) {
	errs = make([]error, len(items))
	if err := checkItems(items); err != nil {
		return nil, fmt.Errorf("fetching of %s: %w", share, err)
	}
	for from := 0; from < len(items); {
		part, request := nextRequest(items[from:])
		base := from
		partErrs, err := c.fetch(ctx, share, part, request, func(p Piece) error {
			p.Item += base
			return sink(p)
		})
		copy(errs[from:], partErrs)
		if err != nil {
			err = fmt.Errorf("fetching of %s: %w", share, err)
			for i := from + len(part); i < len(items); i++ {
				errs[i] = err
			}
			return errs, err
		}
		from += len(part)
	}
	return errs, nil
}

func checkItems(items []Item) error {
	if len(items) > MaxFetchItems {
		return fmt.Errorf("%d items: at most %d", len(items), MaxFetchItems)
	}
	total, bases := int64(0), 0
	for i := range items {
		it := &items[i]
		if it.Offset < 0 || it.Length < 0 || it.Length > MaxFetchBytes || it.Offset > maxContentSize {
			return fmt.Errorf("%q: %d bytes from %d on cannot be asked for", it.Path, it.Length, it.Offset)
		}
		if err := ValidPath(it.Path); err != nil {
			return err
		}
		if err := it.checkKnown(); err != nil {
			return err
		}
		total += it.Length
		bases += it.knownManifests()
	}
	if bases > maxRequestBases {
		return fmt.Errorf("%d known manifests: at most %d", bases, maxRequestBases)
	}
	if total > MaxFetchBytes {
		return fmt.Errorf("%d bytes: at most %d", total, MaxFetchBytes)
	}
	return nil
}

// nextRequest encodes as many of items as one message may ask for. Only paths
// of some KiB each make it fewer than all.
func nextRequest(items []Item) ([]Item, *fetchRequest) {
	size, paths := 0, 0
	var before Item
	var scratch []byte
	for i := range items {
		scratch = appendItem(scratch[:0], &before, &items[i])
		before = items[i]
		size, paths = size+len(scratch), paths+len(items[i].Path)
		if i > 0 && (size > maxRequestBytes || paths > maxRequestPaths) {
			items = items[:i]
			break
		}
	}
	return items, &fetchRequest{items: items}
}

func (c *Client) fetch(ctx context.Context, share string, items []Item, r *fetchRequest, sink func(Piece) error) ([]error, error) {
	f := newFetching(items, sink)
	weight, bulk := int64(len(items)*itemCost), false
	for i := range items {
		weight += items[i].Bytes()
		bulk = bulk || items[i].Bulk
	}
	l, done, err := c.way(ctx, weight, bulk)
	if err == nil {
		defer done()
		err = c.exchange(ctx, l, share, fetchPrefix+"."+share+"."+c.options.Membership.Name, func(n nonce) []byte {
			f.nonce, r.nonce = n, n
			return r.append(nil)
		}, func(m *answer) (bool, error) {
			err := f.take(m.data)
			if errors.Is(err, errBadReply) {
				err = fmt.Errorf("%w: %w", ErrInterrupted, err)
			}
			return f.ended, err
		})
	}
	if err != nil {
		for i := range items {
			if !f.settled[i] {
				f.errs[i] = err
			}
		}
	}
	return f.errs, err
}

// way waits until weight more bytes may be in flight, and says on which
// connection; done is to be called when they came.
func (c *Client) way(ctx context.Context, weight int64, bulk bool) (l *link, done func(), err error) {
	if quick := max(weight, quickInFlight/quickAtOnce); !bulk && quick <= quickBytes && c.quick.TryAcquire(quick) {
		return c.events, func() { c.quick.Release(quick) }, nil
	}
	weight = max(weight, fetchInFlight/fetchesAtOnce)
	if err := c.inFlight.Acquire(ctx, weight); err != nil {
		return nil, nil, err
	}
	l = c.bulkLink()
	l.inFlight.Add(weight)
	return l, func() { l.inFlight.Add(-weight); c.inFlight.Release(weight) }, nil
}

// exchange sends a request on a connection and hands on the messages of its
// answer until take says that it was the last.
func (c *Client) exchange(ctx context.Context, l *link, share, subject string, request func(nonce) []byte, take func(*answer) (last bool, err error)) error {
	up, down, trouble := l.state()
	if !up {
		return fmt.Errorf("%w: %w", ErrNotConnected, trouble)
	}
	n, reply, answers, closeIt := l.answers.open()
	defer closeIt()
	denied, end := l.denials.watch(subject)
	defer end()
	if err := l.conn.PublishRequest(subject, reply, request(n)); err != nil {
		return requestError(ctx, err)
	}
	silence := time.NewTimer(answerSilence)
	defer silence.Stop()
	last, traffic := time.Now(), l.messages()
	for {
		select {
		case m := <-answers:
			if len(m.data) == 0 && m.header.Get("Status") == "503" {
				return requestError(ctx, nats.ErrNoResponders)
			}
			done, err := take(&m)
			m.free()
			if done || err != nil {
				return err
			}
			last = time.Now()
		case <-ctx.Done():
			return ctx.Err()
		case <-down:
			return fmt.Errorf("%w: %w: the connection broke", ErrInterrupted, ErrNotConnected)
		case <-denied:
			return &NotAllowedError{Subject: subject, Share: share, Remote: c.options.Membership.Name}
		case <-silence.C:
			if waited := time.Since(last); waited > answerPatience {
				return fmt.Errorf("%w: nothing came for %s", ErrInterrupted, waited.Round(time.Second))
			}
			if now := l.messages(); now != traffic {
				traffic = now
			} else if err := l.probe(ctx, answerSilence); err != nil {
				return fmt.Errorf("%w: %w", ErrInterrupted, err)
			}
		}
		silence.Reset(answerSilence)
	}
}
