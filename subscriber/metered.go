package subscriber

import (
	"context"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

// itemBytes is what an item of a request costs on the wire beside its content.
const itemBytes = 64

// asking is what items cost beside what comes for them.
func asking(items ...bus.Item) (n int64) {
	for i := range items {
		n += itemBytes + int64(len(items[i].Known))
	}
	return n
}

// metered is a Bus that asks for contents as far as a line allows. What is asked
// for at once it asks for in portions then, with other requests' in between.
// Events, hellos and reports are small, and pass.
type metered struct {
	Bus
	line *Line
}

// Fetch implements Bus.
func (b *metered) Fetch(ctx context.Context, share string, items []bus.Item, sink func(bus.Piece) error) ([]error, error) {
	f := portions{items: items, errs: make([]error, len(items))}
	pause := leastBusyPause
	for {
		left := f.left()
		if left == 0 {
			return f.errs, nil
		}
		taken, err := b.line.take(ctx, share, left)
		if err != nil {
			return f.end(err)
		}
		if f.whole() && taken == left { // no need to put it together again
			came := int64(0)
			errs, err := b.Bus.Fetch(ctx, share, items, func(p bus.Piece) error {
				came += p.Sent()
				return sink(p)
			})
			b.line.settle(taken, came+asking(items...))
			return errs, err
		}
		ask, which := f.next(taken)
		came := asking(ask...)
		errs, err := b.Bus.Fetch(ctx, share, ask, func(p bus.Piece) error {
			came += p.Sent()
			p.Item += which
			return sink(p)
		})
		b.line.settle(taken, came)
		if err != nil {
			copy(f.errs[which:], errs)
			return f.end(err)
		}
		if !f.came(which, ask, errs) {
			pause = leastBusyPause
			continue
		}
		select {
		case <-ctx.Done():
			return f.end(ctx.Err())
		case <-time.After(pause):
		}
		pause = min(2*pause, mostBusyPause)
	}
}

// portions is a request that is asked for in portions, in order.
type portions struct {
	items []bus.Item
	errs  []error
	item  int   // that the next portion begins in
	done  int64 // bytes of it
}

// left is what the rest costs.
func (f *portions) left() int64 {
	n := -f.done
	for i := f.item; i < len(f.items); i++ {
		n += f.items[i].Bytes() + asking(f.items[i])
	}
	return max(n, 0)
}

func (f *portions) whole() bool { return f.item == 0 && f.done == 0 }

// next are the items of a portion; the first is the one of that number. The last
// may be cut short, but for a manifest, whose length is a bound, and for sums.
func (f *portions) next(most int64) (ask []bus.Item, first int) {
	first = f.item
	done := f.done
	for i := f.item; i < len(f.items) && (most > itemBytes || len(ask) == 0); i++ {
		it := f.items[i]
		it.Offset, it.Length = it.Offset+done, it.Length-done
		if room := max(most-itemBytes, 1); it.Length > room && !it.Manifest && it.Known == "" {
			it.Length = room
		}
		most -= it.Bytes() + asking(it)
		ask, done = append(ask, it), 0
	}
	return ask, first
}

// came notes how a portion ended. busy says that the main could not give all of
// it now; that is asked for again.
func (f *portions) came(first int, ask []bus.Item, errs []error) (busy bool) {
	for i := range ask {
		n := first + i
		if isBusy(errs[i]) {
			return true
		}
		it := &f.items[n]
		f.item, f.done = n, ask[i].Offset+ask[i].Length-it.Offset
		if errs[i] != nil || f.done == it.Length {
			f.errs[n] = errs[i]
			f.item, f.done = n+1, 0
		}
	}
	return false
}

// end gives up what is not asked for yet.
func (f *portions) end(err error) ([]error, error) {
	for i := f.item; i < len(f.errs); i++ {
		if f.errs[i] == nil {
			f.errs[i] = err
		}
	}
	return f.errs, err
}

// Window implements Bus. Nobody says before how long an object is, so it asks for
// as many as those before let expect, and settles afterwards.
func (b *metered) Window(ctx context.Context, share string, ids []objects.ID, sink func(id objects.ID, data []byte) error) (missing []objects.ID, err error) {
	mean := int64(leastPortion)
	for len(ids) > 0 {
		taken, err := b.line.take(ctx, share, int64(len(ids))*mean)
		if err != nil {
			return append(missing, ids...), err
		}
		n := int(max(1, taken/mean))
		came, found := int64(n)*itemBytes, int64(0)
		rest, err := b.Bus.Window(ctx, share, ids[:n], func(id objects.ID, data []byte) error {
			came += int64(len(data))
			found++
			return sink(id, data)
		})
		b.line.settle(taken, came)
		missing, ids = append(missing, rest...), ids[n:]
		if err != nil {
			return append(missing, ids...), err
		}
		if found > 0 {
			mean = max(1, (mean+came/found)/2)
		}
	}
	return missing, nil
}

var _ Bus = (*metered)(nil)
