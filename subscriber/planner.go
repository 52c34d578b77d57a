package subscriber

import (
	"cmp"
	"slices"

	"github.com/google/uuid"
)

// take plans the committer's next batch: all items that may become visible now,
// at most maxBatch of them, and hands them out in stream order.
//
// The order between files is decided here and nowhere else:
//   - a file, directory or link is ready as soon as it is staged;
//   - an index is ready when all that stood before it is on disk, or goes there
//     with it, or waits after a failure; and not before an older index;
//   - a deletion is ready when, besides that, no index is on its way: the
//     visible one may name what is deleted.
//
// What an index really names is not looked at yet; a rule that reads indexes
// would refine the second and third here.
func (w *window) take() []op {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweep()
	var plain, indexes, deletions []*item
	oldest := ^uint64(0) // since of the oldest plain item that is not in the batch
	for _, it := range w.items {
		switch {
		case it.phase == phaseReady && it.fail != nil:
			plain = append(plain, it) // it only moves to the waiting bucket
		case it.index:
			indexes = append(indexes, it)
		case it.deletion():
			deletions = append(deletions, it)
		case it.phase == phaseReady:
			plain = append(plain, it)
		default:
			oldest = min(oldest, it.since)
		}
	}
	plain = inOrder(plain)
	if len(plain) > maxBatch {
		for _, it := range plain[maxBatch:] {
			oldest = min(oldest, it.since)
		}
		plain = plain[:maxBatch]
	}
	batch := plain
	held := false
	for _, it := range inOrder(indexes) {
		if it.phase != phaseReady || oldest < it.seq {
			held = true
			break
		}
		batch = append(batch, it)
	}
	if !held {
		for _, it := range inOrder(deletions) {
			if it.phase == phaseReady && it.seq < oldest && len(batch) < maxBatch {
				batch = append(batch, it)
			}
		}
	}
	ops := make([]op, len(batch))
	for i, it := range batch {
		it.phase = phaseCommitting
		ops[i] = op{item: it, event: it.ev, seq: it.seq}
	}
	return ops
}

func inOrder(items []*item) []*item {
	slices.SortFunc(items, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
	return items
}

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

// passedSeq is the sequence up to which all is resolved.
func (w *window) passedSeq() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passed.seq
}

// crowded says whether park has something to do.
func (w *window) crowded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.slots) >= maxUnresolved
}

// settle ends what the committer had in its hands. again are the items whose
// path changed under it; those that no newer event superseded are returned, to
// be examined once more.
func (w *window) settle(done []op, again []op) (examine []*item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range done {
		w.drop(o.item)
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

// park frees the stream from items that many later ones have overtaken: keep
// stores them as waiting, and they stay in the window, without a place in the
// stream. An event that supersedes one meanwhile is contended, so what keep
// stored for its path is settled when it is committed.
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
	if len(w.slots) < maxUnresolved {
		return nil, nil
	}
	before := w.slots[len(w.slots)/2].seq
	for _, it := range w.items {
		if it.slot != nil && it.seq <= before && (it.phase == phaseWork || it.phase == phaseReady) {
			it.parking, it.contended = true, true
			items = append(items, it)
			waits = append(waits, waiting{Seq: it.seq, At: it.at, Event: it.ev, Tries: it.tries})
		}
	}
	return items, waits
}
