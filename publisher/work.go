package publisher

import (
	"container/heap"
	"time"

	"waptsync/bus"
)

// phase is where a work stands.
type phase uint8

const (
	waiting    phase = iota // for its time
	withheld                // an index, for what it names
	queued                  // for a hasher
	reads                   // a hasher has it
	ready                   // its event waits for the committer
	committing              // the committer has it
)

// work is one path on its way into the event log. The session alone touches it,
// except what a hasher fills while phase is reads.
type work struct {
	path  string
	phase phase

	// dirty: a hint came while the work was under way; written: it told of bytes.
	dirty, written bool
	// first: the generation's first scan found it, and the marker waits for it.
	first bool
	// window: put its objects into the window.
	window bool
	// rehash: nothing visible changed, but the time stamps are too young to prove it.
	rehash bool

	// rescan: the work is the listing of a directory that could not be read.
	rescan bool
	// blind: no watch stands behind the path.
	blind bool
	// failing: the last try failed.
	failing bool

	st    stat // as of the newest look
	event *bus.Event
	start time.Time // when reading began

	due       time.Time
	slot      int // in the timetable; -1 when not in it
	pause     time.Duration
	busySince time.Time
	quiet     stat
}

// buries says whether w is a tombstone on its way.
func (w *work) buries() bool {
	return w.event != nil && w.event.Kind == bus.KindDeleted && (w.phase == ready || w.phase == committing)
}

// timetable orders waiting works by their time.
type timetable []*work

func (t timetable) Len() int           { return len(t) }
func (t timetable) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timetable) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].slot, t[j].slot = i, j
}

// Push is for package heap.
func (t *timetable) Push(x any) {
	w := x.(*work)
	w.slot = len(*t)
	*t = append(*t, w)
}

// Pop is for package heap.
func (t *timetable) Pop() any {
	old := *t
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	w.slot = -1
	return w
}

// set puts w into the timetable at due, or moves it there.
func (t *timetable) set(w *work, due time.Time) {
	w.due = due
	if w.slot >= 0 {
		heap.Fix(t, w.slot)
		return
	}
	heap.Push(t, w)
}

func (t *timetable) remove(w *work) {
	if w.slot >= 0 {
		heap.Remove(t, w.slot)
	}
}

// next returns the earliest time, zero when there is none.
func (t timetable) next() time.Time {
	if len(t) == 0 {
		return time.Time{}
	}
	return t[0].due
}

// queue is first in, first out.
type queue struct {
	list []*work
	head int
}

func (q *queue) push(w *work) { q.list = append(q.list, w) }

func (q *queue) len() int { return len(q.list) - q.head }

// peek returns the first work, nil when there is none.
func (q *queue) peek() *work {
	if q.len() == 0 {
		return nil
	}
	return q.list[q.head]
}

// drop removes the first work.
func (q *queue) drop() {
	q.list[q.head] = nil
	q.head++
	if q.head*2 > len(q.list) {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
}
