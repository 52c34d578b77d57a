package subscriber

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"waptsync/bus"
	"waptsync/objects"
)

// fromWindow puts together from the bus's window what the main's file is not any
// more; gone is how the main said so, and returned if the window has it not.
func (a *assembly) fromWindow(ctx context.Context, gone error) error {
	// What the main sent was not verified object by object.
	clear(a.have)
	a.it.done.Store(0)
	if err := objects.Check(ctx, a.f, a.m, nil, a.mark); err != nil {
		return fmt.Errorf("checking what is staged: %w", err)
	}
	if _, err := a.markZeroes(true); err != nil {
		return err
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
	var failed error // of our own disk
	missing, err := a.s.r.o.Bus.Window(ctx, a.s.r.o.Share, ids, func(id objects.ID, data []byte) error {
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
	if len(missing) > 0 {
		return gone
	}
	a.hashed = 0
	a.whole.Reset()
	return a.verify(ctx)
}

// fromMain fetches what is still missing, several requests at a time, and hashes
// what has come meanwhile.
func (a *assembly) fromMain(ctx context.Context) error {
	missing, there := a.runs()
	if len(missing) == 0 {
		return nil
	}
	direct := a.s.stage.dir.openDirect(a.it.staged)
	defer direct.close()
	l := newLanding(a.f, direct, missing, there)
	defer l.close()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return l.hash(ctx, a) })
	both.Go(func() error {
		defer close(l.came)
		g, ctx := errgroup.WithContext(ctx)
		for range largeAtOnce {
			g.Go(func() error {
				for {
					spans := l.next(a.s.pace.size())
					if len(spans) == 0 {
						return nil
					}
					if err := a.ask(ctx, l, spans); err != nil {
						return err
					}
				}
			})
		}
		return g.Wait()
	})
	return both.Wait()
}

// runs returns what is missing and what is there, objects side by side as one.
func (a *assembly) runs() (missing, there []span) {
	for i, o := range a.m.Objects {
		to := &missing
		if a.have[i] {
			to = &there
		}
		if n := len(*to); n > 0 && (*to)[n-1].offset+(*to)[n-1].length == a.offsets[i] {
			(*to)[n-1].length += int64(o.Size)
		} else {
			*to = append(*to, span{a.offsets[i], int64(o.Size)})
		}
	}
	return missing, there
}

// ask makes one request and puts into the file what comes. The bytes are verified
// with the whole file: to hash each object too would cost as much again.
func (a *assembly) ask(ctx context.Context, l *landing, spans []span) error {
	items := make([]bus.Item, len(spans))
	fillers := make([]*filler, len(spans))
	for i, sp := range spans {
		items[i] = bus.Item{Path: a.ev.Path, Digest: a.ev.Content.Digest, Offset: sp.offset, Length: sp.length}
		fillers[i] = l.filler(sp)
	}
	var failed error // of our own disk, or of the main's bytes
	if err := a.s.bulky.Acquire(ctx, 1); err != nil {
		return err
	}
	defer a.s.bulky.Release(1)
	errs, err := a.s.fetch(ctx, items, func(i int, _ int64, piece []byte) error {
		a.s.r.received.Add(int64(len(piece)))
		a.it.done.Add(int64(len(piece)))
		failed = fillers[i].take(piece)
		return failed
	})
	for _, f := range fillers {
		if flushed := f.flush(); failed == nil {
			failed = flushed
		}
	}
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
	if l.direct == nil {
		first, last := spans[0].offset, spans[len(spans)-1]
		startWriteback(a.f, first, last.offset+last.length-first)
	}
	return nil
}
