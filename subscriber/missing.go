package subscriber

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"

	"waptsync/bus"
	"waptsync/objects"
)

// fewBytes of a content that is missing are fetched as a small file is.
const fewBytes = 128 << 10

// fromWindow puts together from the bus's window what the main's file is not any
// more; gone is how the main said so, and returned if the window has it not.
func (a *assembly) fromWindow(ctx context.Context, gone error) error {
	if _, err := a.recheck(ctx); err != nil {
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
	right, err := a.right(ctx)
	if err == nil && !right {
		err = gone
	}
	return err
}

// land puts into the staged file what it lacks: from files that resemble it, and
// the rest from the main, several requests at a time. Meanwhile it hashes what is
// there. Nothing is verified but by that.
func (a *assembly) land(ctx context.Context, k *kin) error {
	there, own, missing := a.runs(k)
	own, missing, err := a.narrow(ctx, own, missing)
	if err != nil {
		return err
	}
	if len(own) == 0 && len(missing) == 0 {
		return nil
	}
	bulk := bytesIn(missing) > fewBytes // of a thin line each request may be short
	direct := a.s.stage.dir.openDirect(a.it.staged)
	defer direct.close()
	l := newLanding(a.file, direct, missing, there)
	defer l.close()
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return l.hash(ctx, a) })
	all.Go(func() error {
		defer close(l.came)
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return a.copyOwn(ctx, l, own) })
		for range largeAtOnce {
			g.Go(func() error {
				for {
					spans := l.next(a.s.pace.size())
					if len(spans) == 0 {
						return nil
					}
					if err := a.ask(ctx, l, spans, bulk); err != nil {
						return err
					}
				}
			})
		}
		return g.Wait()
	})
	return all.Wait()
}

// ownRun is a run of bytes that a file of this host should have.
type ownRun struct {
	span
	file *os.File
	at   int64 // where it lies there
}

// runs says what is in the staged file, what other files have, and what has to
// be fetched; objects side by side are one run.
func (a *assembly) runs(k *kin) (there []span, own []ownRun, missing []span) {
	for i, o := range a.m.Objects {
		size := int64(o.Size)
		if a.have[i] {
			there = extend(there, a.offsets[i], size)
			continue
		}
		name, at, n, ok := k.sources.Find(o.ID)
		if !ok || n != o.Size {
			missing = extend(missing, a.offsets[i], size)
			continue
		}
		f := k.files[name]
		if n := len(own); n > 0 {
			last := &own[n-1]
			if last.offset+last.length == a.offsets[i] && last.file == f && last.at+last.length == at {
				last.length += size
				continue
			}
		}
		own = append(own, ownRun{span{a.offsets[i], size}, f, at})
	}
	return there, own, missing
}

func bytesIn(runs []span) (n int64) {
	for _, run := range runs {
		n += run.length
	}
	return n
}

// extend adds a run behind the others.
func extend(runs []span, offset, length int64) []span {
	if n := len(runs); n > 0 && runs[n-1].offset+runs[n-1].length == offset {
		runs[n-1].length += length
		return runs
	}
	return append(runs, span{offset, length})
}

// copyOwn copies runs from this host's files. What cannot be read is left out:
// that the whole is wrong then shows.
func (a *assembly) copyOwn(ctx context.Context, l *landing, own []ownRun) error {
	for _, run := range own {
		f := l.filler(run.span)
		for f.next < f.end {
			if err := l.wait(ctx, f.next); err != nil {
				return err
			}
			n, err := f.read(run.file, run.at+f.next-run.offset)
			if errors.Is(err, errStaging) {
				return err
			}
			a.it.done.Add(n)
			a.s.r.reused.Add(n)
			if err != nil {
				break
			}
		}
		if err := f.flush(); err != nil {
			return err
		}
	}
	return nil
}

// ask makes one request and puts into the file what comes. The bytes are verified
// with the whole file: to hash each object too would cost as much again.
func (a *assembly) ask(ctx context.Context, l *landing, spans []span, bulk bool) error {
	items := make([]bus.Item, len(spans))
	fillers := make([]*filler, len(spans))
	for i, sp := range spans {
		items[i] = bus.Item{Path: a.ev.Path, Digest: a.ev.Content.Digest, Offset: sp.offset, Length: sp.length, Bulk: bulk}
		fillers[i] = l.filler(sp)
	}
	var failed error // of our own disk, or of the main's bytes
	if err := a.s.bulky.Acquire(ctx, 1); err != nil {
		return err
	}
	defer a.s.bulky.Release(1)
	errs, err := a.s.fetch(ctx, items, func(p bus.Piece) error {
		a.s.r.received.Add(p.Sent())
		a.it.done.Add(int64(len(p.Data)))
		failed = fillers[p.Item].take(p.Data)
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
	return nil
}
