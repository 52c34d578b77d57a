package subscriber

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/objects"
)

// Bounds of the window. The bus delivers at most 20,000 events that are not
// acknowledged, so the slots must stay below.
const (
	maxUnresolved = 8192
	maxSlots      = 2 * maxUnresolved
	maxBatch      = 4096 // items that the committer takes at once
)

// slot is one delivered event's place in the stream, kept until it and all
// before it are resolved.
type slot struct {
	seq    uint64
	gen    uuid.UUID // zero for what was no event
	at     time.Time
	open   bool
	marker bool
}

// reached is the place up to which all is resolved.
type reached struct {
	seq    uint64    // to acknowledge
	known  uint64    // last sequence whose generation is known
	gen    uuid.UUID // of known
	at     time.Time // of known
	marker uuid.UUID // generation of the last marker passed
}

// window holds the events that were delivered and are not resolved. Its methods
// may be called concurrently. Its lock is never held while the state is asked,
// so it may be taken within a transaction.
type window struct {
	rule *index.Rule
	now  func() time.Time

	mu      sync.Mutex
	slots   []*slot // in stream order, from the first that is not passed
	byPath  map[string]*item
	items   []*item // unresolved, and resolved ones not swept yet
	live    int     // unresolved ones
	risky   int     // unresolved ones that may take something away
	retries int     // unresolved ones that came from the waiting bucket
	bytes   int64   // content bytes of unresolved files
	dead    []*item // superseded when they were ready, and not cleaned up after
	fresh   []*item // indexes that are ready, and not known to the catalog
	last    uint64  // sequence of the last delivery, or of the position resumed
	// Of the unresolved ones, those that wait for an index or its files.
	held, heldRetries int
	passed            reached
	behind            uint64 // events of the stream behind the last delivered one
	shown             bool   // once there were none: all that the main had was delivered

	ready chan struct{} // something may be committed
	room  chan struct{} // something was resolved
}

func newWindow(rule *index.Rule) *window {
	return &window{
		rule:   rule,
		now:    time.Now,
		byPath: make(map[string]*item),
		ready:  make(chan struct{}, 1),
		room:   make(chan struct{}, 1),
	}
}

// poke wakes the goroutine that reads c, if it sleeps.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// waitRoom returns when the window takes another batch of deliveries.
func (w *window) waitRoom(ctx context.Context) error {
	for {
		w.mu.Lock()
		full := w.live-w.held >= maxUnresolved || len(w.slots) >= maxSlots
		w.mu.Unlock()
		if !full {
			return nil
		}
		poke(w.ready) // the committer parks what stands at the front
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.room:
		}
	}
}

// skip takes a delivery that needs no work: a marker, or no event at all.
func (w *window) skip(d *bus.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &slot{seq: d.Seq}
	if d.Err == nil {
		s.gen, s.at, s.marker = d.Event.Generation, d.Time, d.Event.Kind == bus.KindMarker
	}
	w.slots = append(w.slots, s)
	w.behind, w.last = d.Pending, d.Seq
	w.shown = w.shown || d.Pending == 0
	poke(w.ready)
}

// admit takes a delivered event and returns the item to work on, or nil when
// work under way already brings the same content.
func (w *window) admit(d *bus.Delivery) *item {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &slot{seq: d.Seq, gen: d.Event.Generation, at: d.Time, open: true}
	w.slots = append(w.slots, s)
	w.behind, w.last = d.Pending, d.Seq
	w.shown = w.shown || d.Pending == 0
	since := d.Seq
	prev := w.byPath[d.Event.Path]
	contended := prev != nil && (prev.phase == phaseCommitting || prev.parking)
	if prev != nil && prev.phase != phaseCommitting {
		since = min(since, prev.since)
		if sameContent(&prev.ev, &d.Event) {
			prev.close()
			prev.parking = false // what is being stored is not the newest
			prev.ev, prev.seq, prev.at, prev.slot = d.Event, d.Seq, d.Time, s
			return nil
		}
		w.drop(prev)
	}
	it := &item{ev: d.Event, seq: d.Seq, since: since, at: d.Time, slot: s, contended: contended}
	w.add(it)
	return it
}

// sameContent says whether work for a brings b too.
func sameContent(a, b *bus.Event) bool {
	return a.Kind == bus.KindFile && b.Kind == bus.KindFile &&
		a.Content.Digest == b.Content.Digest && a.Content.Manifest == b.Content.Manifest
}

// retry takes an event from the waiting bucket, unless the path has a newer one
// under way.
func (w *window) retry(wt *waiting) *item {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byPath[wt.Event.Path] != nil {
		return nil
	}
	it := &item{ev: wt.Event, seq: wt.Seq, since: wt.Seq, at: wt.At, tries: wt.Tries, retried: true, contended: true}
	w.add(it)
	w.retries++
	return it
}

func (w *window) add(it *item) {
	it.path, it.content = it.ev.Path, it.ev.Content
	it.risky = it.ev.Kind != bus.KindFile
	it.index = it.ev.Kind == bus.KindFile && w.rule.IsIndex(it.ev.Path)
	if it.risky {
		w.risky++
	}
	w.live++
	w.bytes += it.ev.Content.Size
	w.byPath[it.ev.Path] = it
	w.items = append(w.items, it)
}

// close marks the item's place in the stream as resolved.
func (it *item) close() {
	if it.slot != nil {
		it.slot.open = false
		it.slot = nil
	}
}

// drop resolves an item.
func (w *window) drop(it *item) {
	if it.phase == phaseDone {
		return
	}
	if it.phase == phaseReady {
		w.dead = append(w.dead, it)
	}
	it.phase = phaseDone
	if it.cancel != nil {
		it.cancel()
	}
	it.close()
	if it.risky {
		w.risky--
	}
	if it.retried {
		w.retries--
	}
	w.live--
	w.bytes -= it.ev.Content.Size
	if w.byPath[it.ev.Path] == it {
		delete(w.byPath, it.ev.Path)
	}
	poke(w.room)
	poke(w.ready)
}

// current gives the event to work for; ok is false when a newer one supersedes
// it.
func (w *window) current(it *item) (ev bus.Event, seq uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return it.ev, it.seq, it.phase == phaseWork
}

// begin is current with a context that ends when the item is superseded, or
// handed on.
func (w *window) begin(ctx context.Context, it *item) (_ context.Context, ev bus.Event, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it.phase != phaseWork {
		return ctx, bus.Event{}, false
	}
	if it.cancel != nil {
		it.cancel()
	}
	ctx, it.cancel = context.WithCancel(ctx)
	return ctx, it.ev, true
}

// reap returns the items that were superseded when they were ready: what they
// staged and claimed is nobody's now.
func (w *window) reap() []*item {
	w.mu.Lock()
	defer w.mu.Unlock()
	dead := w.dead
	w.dead = nil
	return dead
}

// offer hands an item to the committer; ok is false when it was superseded.
func (w *window) offer(it *item) (ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it.cancel != nil {
		it.cancel()
		it.cancel = nil
	}
	if it.phase != phaseWork {
		return false
	}
	it.phase = phaseReady
	if it.index && it.fail == nil {
		w.fresh = append(w.fresh, it)
	}
	poke(w.ready)
	return true
}

// endanger notes that an item will clear something away.
func (w *window) endanger(it *item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if it.phase != phaseDone && !it.risky {
		it.risky = true
		w.risky++
	}
}

// calm says whether nothing is under way that could undo what lstat and the
// records say now.
func (w *window) calm() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.risky == 0
}

// resolve ends items that need nothing and returns those that the committer has
// to confirm: all, if something risky came up meanwhile.
func (w *window) resolve(items []*item) (confirm []*item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, it := range items {
		if w.risky > 0 || it.contended {
			confirm = append(confirm, it)
		} else {
			w.drop(it)
		}
	}
	return confirm
}

// pending says whether an event of the path is unresolved.
func (w *window) pending(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byPath[path] != nil
}

// eachContent calls fn for the contents of unresolved files.
func (w *window) eachContent(fn func(digest objects.ID)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, it := range w.items {
		if it.phase != phaseDone && it.ev.Kind == bus.KindFile {
			fn(it.content.Digest)
		}
	}
}

// sweep forgets resolved items; the caller holds the lock.
func (w *window) sweep() {
	w.items = slices.DeleteFunc(w.items, func(it *item) bool { return it.phase == phaseDone })
}
