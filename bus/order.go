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

// Verification is how the newest reading of all of a remote's files ended.
type Verification struct {
	Time        time.Time `json:"time"` // the remote's clock
	Files       int64     `json:"files"`
	Differences int64     `json:"differences"`
}
