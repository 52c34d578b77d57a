package subscriber

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// pass closes the places of items in the stream and returns how far all is
// resolved then.
func (w *window) pass(ops []op) reached {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range ops {
		o.close()
	}
	n := 0
	for n < len(w.slots) && !w.slots[n].open {
		s := w.slots[n]
		w.passed.seq = s.seq
		if s.gen != uuid.Nil {
			w.passed.known, w.passed.gen, w.passed.at = s.seq, s.gen, s.at
		}
		if s.marker {
			w.passed.marker = s.gen
		}
		n++
	}
	w.slots = slices.Delete(w.slots, 0, n)
	poke(w.room)
	return w.passed
}

// moved says whether the front of the stream is resolved and not passed yet, and
// whether nothing is left to do at all.
func (w *window) moved() (moved, idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.slots) > 0 && !w.slots[0].open, w.live == 0 && w.behind == 0
}

// allShown says whether the stream's last event was delivered at some time.
func (w *window) allShown() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shown
}

// passedSeq is the sequence up to which all is resolved.
func (w *window) passedSeq() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passed.seq
}

// settle ends what the committer had in its hands. later are those that have to
// wait for a better moment, again the items whose path changed under it; those of
// the latter that no newer event superseded are returned, to be examined once more.
func (w *window) settle(done, later, again []op) (examine []*item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range done {
		w.drop(o.item)
	}
	for _, o := range later {
		o.phase = phaseReady
		if newer := w.byPath[o.ev.Path]; newer != o.item {
			newer.since = min(newer.since, o.since)
			w.drop(o.item) // and what it staged goes, too
		}
		poke(w.ready)
	}
	for _, o := range again {
		if newer := w.byPath[o.ev.Path]; newer != o.item {
			newer.since = min(newer.since, o.since)
			w.drop(o.item)
			continue
		}
		o.phase = phaseWork
		examine = append(examine, o.item)
	}
	return examine
}

// heldPark is how long an item waits for an index before it leaves its place in
// the stream, so that the position goes on.
const heldPark = 2 * time.Second

// park frees the stream from items that many later ones have overtaken, and from
// those that have waited for an index for a while: keep stores them as waiting,
// and they stay in the window, without a place in the stream. An event that
// supersedes one meanwhile is contended, so what keep stored for its path is
// settled when it is committed.
func (w *window) park(keep func(waits []waiting) error) error {
	items, waits := w.overtaken()
	if len(items) == 0 {
		return nil
	}
	if err := keep(waits); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, it := range items {
		if it.parking {
			it.close()
			it.parking = false
		}
	}
	return nil
}

func (w *window) overtaken() (items []*item, waits []waiting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := uint64(0)
	if len(w.slots) >= maxUnresolved {
		before = w.slots[len(w.slots)/2].seq
	} else if w.held == 0 {
		return nil, nil
	}
	now := w.now()
	for _, it := range w.items {
		if it.slot == nil || it.phase != phaseWork && it.phase != phaseReady {
			continue
		}
		held := it.isHeld()
		if it.seq > before && !(held && now.Sub(it.heldSince) >= heldPark) {
			continue
		}
		it.parking, it.contended = true, true
		items = append(items, it)
		wt := waiting{Seq: it.seq, At: it.at, Event: it.ev, Tries: it.tries}
		if held {
			wt.Op, wt.Hint = opHeld, heldHint+it.waitsFor
		}
		waits = append(waits, wt)
	}
	return items, waits
}

// What a report and the waiting bucket say of an item that is held.
const (
	opHeld   = "waiting for the index"
	heldHint = "it waits for "
)

// isHeld says whether an item waits for an index, or is an index and waits for
// what it names.
func (it *item) isHeld() bool {
	return it.phase == phaseReady && it.waitsFor != "" && !it.heldSince.IsZero()
}

// parkIn is how long it takes until park has something to do; ok is false when
// nothing is held that has a place in the stream.
func (w *window) parkIn() (d time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == 0 {
		return 0, false
	}
	now := w.now()
	for _, it := range w.items {
		if it.slot != nil && it.isHeld() {
			if left := heldPark - now.Sub(it.heldSince); !ok || left < d {
				d, ok = max(left, 0), true
			}
		}
	}
	return d, ok
}

// settled says whether nothing is under way but what waits for an index.
func (w *window) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.live == w.held && w.behind == 0
}

// eachHeld calls fn for what has waited for an index for longer than age.
func (w *window) eachHeld(age time.Duration, fn func(path, waitsFor string, since time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == 0 {
		return
	}
	now := w.now()
	for _, it := range w.items {
		if it.isHeld() && now.Sub(it.heldSince) > age {
			fn(it.path, it.waitsFor, it.heldSince)
		}
	}
}

// takeFresh returns the indexes that became ready since the last call, and were
// not superseded.
func (w *window) takeFresh() (fresh []*item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, it := range w.fresh {
		if it.phase == phaseReady && it.fail == nil {
			fresh = append(fresh, it)
		}
	}
	w.fresh = nil
	return fresh
}

// setMD5 notes the MD5 of an item's content, or that it could not be had.
func (w *window) setMD5(it *item, sum [16]byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		it.fail = problemOf("reading what is staged", err)
		return
	}
	it.ev.Content.MD5, it.ev.Content.HasMD5 = sum, true
}
