package bus

import "time"

// What a main asks of its remotes. It travels in the answers to their reports,
// since the main has no way to begin to talk to a remote, and needs none.
const (
	OrderReconcile = "reconcile" // compare the folders of all shares with the main
	OrderVerify    = "verify"    // read all files, compare, and put right what differs
)

// Order is one thing that the main asks of a remote. It is told again with each
// answer until a report says that it was taken.
type Order struct {
	Number uint64 `json:"number"` // grows with each order to a remote, also over restarts of the main
	Do     string `json:"do"`     // a remote takes what it does not know as done
}

// Wish is what a main asks of a remote in the answer to its report.
type Wish struct {
	Orders []Order `json:"orders,omitempty"`
	// Bandwidth is the main's rule for the remote's line, as package bandwidth
	// writes it; empty for none. It is no order, because it is told each time, so
	// a remote that begins anew hears of it, and the newest holds. Mains and
	// remotes of before these rules leave it out and pass over it. A text, so that
	// a remote which cannot read a newer main's rule still takes its orders.
	Bandwidth string `json:"bandwidth,omitempty"`
}

// Verification is how the newest reading of all of a remote's files ended.
type Verification struct {
	Time        time.Time `json:"time"` // the remote's clock
	Files       int64     `json:"files"`
	Differences int64     `json:"differences"`
}
