package subscriber

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"waptsync/bus"
	"waptsync/objects"
)

// fromWindow takes missing objects from the bus's window.
func (a *assembly) fromWindow(ctx context.Context) error {
	if !a.ev.InWindow {
		return nil
	}
	places := make(map[objects.ID][]int)
	var ids []objects.ID
	for i, o := range a.m.Objects {
		if a.have[i] {
			continue
		}
		if places[o.ID] == nil {
			ids = append(ids, o.ID)
		}
		places[o.ID] = append(places[o.ID], i)
	}
	if len(ids) == 0 {
		return nil
	}
	var failed error // of our own disk
	_, err := a.s.r.o.Bus.Window(ctx, a.s.r.o.Share, ids, func(id objects.ID, data []byte) error {
		a.s.r.received.Add(int64(len(data)))
		for _, i := range places[id] {
			if failed = a.put(i, data); failed != nil {
				return failed
			}
		}
		return nil
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return linkOr(ctx, err)
	}
	return nil
}

// span is a run of missing objects that lie side by side.
type span struct {
	first, last int // objects
	offset      int64
	length      int64
}

// nextSpans returns the missing objects of the next request, side by side where
// they lie so, of about limit bytes together. An object larger than a request may
// be is one of its own. The caller holds mu.
func (a *assembly) nextSpans(limit int64) (spans []span) {
	total := int64(0)
	for ; a.next < len(a.have); a.next++ {
		i, size := a.next, int64(a.m.Objects[a.next].Size)
		if a.have[i] {
			continue
		}
		if total > 0 && total+size > limit || len(spans) == bus.MaxFetchItems {
			return spans
		}
		if n := len(spans); n > 0 && spans[n-1].last == i-1 {
			spans[n-1].last, spans[n-1].length = i, spans[n-1].length+size
		} else {
			spans = append(spans, span{first: i, last: i, offset: a.offsets[i], length: size})
		}
		total += size
	}
	return spans
}

// fromMain fetches what is still missing, several requests at a time, and hashes
// what has come meanwhile.
func (a *assembly) fromMain(ctx context.Context) error {
	if !slices.Contains(a.have, false) {
		return nil
	}
	var mu sync.Mutex // guards next, have and what else mark changes
	came := make(chan struct{}, 1)
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return a.hashAlong(ctx, &mu, came) })
	both.Go(func() error {
		defer close(came)
		g, ctx := errgroup.WithContext(ctx)
		for range largeAtOnce {
			g.Go(func() error {
				for {
					mu.Lock()
					spans := a.nextSpans(a.s.pace.size())
					mu.Unlock()
					if len(spans) == 0 {
						return nil
					}
					if err := a.fetch(ctx, spans, &mu, came); err != nil {
						return err
					}
				}
			})
		}
		return g.Wait()
	})
	return both.Wait()
}

func (a *assembly) fetch(ctx context.Context, spans []span, mu *sync.Mutex, came chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fills := make([]*filling, len(spans))
	for i := range spans {
		fills[i] = &filling{a: a, mu: mu, came: came, next: spans[i].first, last: spans[i].last, offset: spans[i].offset}
	}
	if len(spans) == 1 && spans[0].length > bus.MaxFetchBytes {
		sp := spans[0]
		for done := int64(0); done < sp.length; done += bus.MaxFetchBytes {
			part := span{offset: sp.offset + done, length: min(sp.length-done, bus.MaxFetchBytes)}
			if err := a.ask(ctx, []span{part}, fills); err != nil {
				return err
			}
		}
	} else if err := a.ask(ctx, spans, fills); err != nil {
		return err
	}
	first, end := spans[0].offset, spans[len(spans)-1]
	startWriteback(a.f, first, end.offset+end.length-first)
	return nil
}

func (a *assembly) ask(ctx context.Context, spans []span, fills []*filling) error {
	items := make([]bus.Item, len(spans))
	for i, sp := range spans {
		items[i] = bus.Item{Path: a.ev.Path, Digest: a.ev.Content.Digest, Offset: sp.offset, Length: sp.length}
	}
	var failed error // of our own disk, or of the main's bytes
	if err := a.s.bulky.Acquire(ctx, 1); err != nil {
		return err
	}
	defer a.s.bulky.Release(1)
	errs, err := a.s.fetch(ctx, items, func(i int, _ int64, piece []byte) error {
		a.s.r.received.Add(int64(len(piece)))
		failed = fills[i].take(piece)
		return failed
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return linkOr(ctx, err)
	}
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("fetching: %w", err)
		}
	}
	return nil
}

// filling writes the pieces of one span to where they belong. They are verified
// with the whole file: to hash each object too would cost as much again.
type filling struct {
	a      *assembly
	mu     *sync.Mutex
	came   chan struct{}
	next   int // object
	last   int
	offset int64 // of the next piece
}

func (f *filling) take(piece []byte) error {
	if f.offset+int64(len(piece)) > f.a.end(f.last) {
		return errors.New("the main sent more than was asked for")
	}
	if _, err := f.a.f.WriteAt(piece, f.offset); err != nil {
		return fmt.Errorf("writing to the stage: %w", err)
	}
	f.offset += int64(len(piece))
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; f.next <= f.last && f.a.end(f.next) <= f.offset; f.next++ {
		f.a.mark(f.next)
		poke(f.came)
	}
	return nil
}
