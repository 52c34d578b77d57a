package subscriber

import (
	"context"
	"sync/atomic"
	"time"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/objects"
)

// phase is how far an item is on its way to the disk.
type phase uint8

const (
	phaseWork       phase = iota // examined, adopted or brought
	phaseReady                   // waits for the committer, or for its turn
	phaseCommitting              // in the committer's hands
	phaseDone                    // resolved, or superseded by a newer event
)

// plan is what the committer has to do for an item.
type plan uint8

const (
	planConfirm plan = iota // the record vouches for the content; set attributes that differ
	planAdopt               // what lies there was hashed and is right
	planReplace             // the content is staged
	planDir
	planLink
	planDelete
)

// item is the newest unresolved event of one path. The fields above the line
// are guarded by the window; those below belong to whoever works on the item:
// first one goroutine of the session, then the committer.
type item struct {
	ev    bus.Event
	seq   uint64 // of ev
	since uint64 // of the oldest event that this item stands for
	at    time.Time
	slot  *slot // its place in the stream; nil when it comes from the waiting bucket, or was parked
	phase phase
	tries int // failures so far
	risky bool
	index bool
	// retried: it came from the waiting bucket. contended: when it came, the
	// committer had an older event of the path in its hands, or the waiting bucket
	// has one; so only the committer may call it done.
	retried, contended bool
	parking            bool               // being moved to the waiting bucket
	cancel             context.CancelFunc // set while a goroutine works for a superseded event in vain

	// What the planner found when it last looked: chosen, whether it goes now; swap,
	// that it goes together with an index; waitsFor, the index or file that keeps it
	// back, since heldSince. The others are scratch of one search.
	chosen, swap, out, late, counted bool
	broken, waitsFor                 string
	heldSince                        time.Time

	path    string      // of ev
	content bus.Content // of ev; what brings it does not change

	// ----

	examined bool
	plan     plan
	fresh    bool              // nothing lay at the path when it was examined
	staged   string            // name in the stage
	have     attributes        // of the staged file; zero when not set yet
	synced   bool              // the staged bytes are durable
	seen     stat              // planAdopt: what was hashed
	manifest []byte            // encoding, if it is at hand
	old      *objects.Manifest // of what lies at the path, cut by the event's parameters
	entries  []index.Entry     // of an index, until the catalog has them
	blind    error             // why an index cannot be read
	listing  *listing          // of an index, once the catalog has it; nil when it is blind
	fail     *problem

	done atomic.Int64 // content bytes that are there, for the report
}

// op is an item in the committer's hands, with the event as it then was.
type op struct {
	*item
	event bus.Event
	seq   uint64
	head  bool // at the path of an index
}

// deletion says whether the item takes something away.
func (it *item) deletion() bool { return it.ev.Kind == bus.KindDeleted }
