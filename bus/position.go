package bus

import (
	"time"

	"github.com/google/uuid"
)

// Position is how far a remote has a share on its disk.
type Position struct {
	// Generation of the event at Seq; zero when the remote has no state or
	// wants to reconcile.
	Generation uuid.UUID `json:"generation"`
	// Seq is the last sequence of which it and all before are on disk.
	Seq uint64 `json:"seq"`
	// MainTime is the main's clock as the last welcome gave it. A remote away
	// for longer than tombstones live must reconcile.
	MainTime time.Time `json:"main_time"`
}

// Welcome answers a hello. The remote's consumer then stands at Next.
type Welcome struct {
	Generation uuid.UUID `json:"generation"` // the current one
	// Resume: the position fitted. Otherwise the consumer starts at the first
	// event, and the remote must reconcile; Reason says why.
	Resume   bool      `json:"resume"`
	Reason   string    `json:"reason,omitempty"`
	Next     uint64    `json:"next"` // first sequence that will be delivered
	Last     uint64    `json:"last"` // the stream's last sequence now
	MainTime time.Time `json:"main_time"`
}

// Delivery is one event as a remote's consumer got it.
type Delivery struct {
	Seq     uint64
	Pending uint64    // messages of the stream behind this one
	Time    time.Time // when the main appended it, by the main's clock
	Event   Event
	// Err, if not nil, says why the message is no event; only Seq is valid.
	Err error
}
