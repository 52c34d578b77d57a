package bus

import "time"

// Report is what a remote tells the main of itself. JSON; at most 64 KiB.
type Report struct {
	Version string                 `json:"version"`
	Host    string                 `json:"host"`
	Time    time.Time              `json:"time"` // the remote's clock
	Shares  map[string]ShareReport `json:"shares"`
	// Taken is the number of the newest order that this remote took.
	Taken    uint64       `json:"taken,omitempty"`
	Verified Verification `json:"verified,omitzero"`
	// Bandwidth is how the remote's line to the main is used; remotes of before
	// these rules do not tell.
	Bandwidth *BandwidthReport `json:"bandwidth,omitempty"`
}

// BandwidthReport is how a remote's line may be used. Rules are as package
// bandwidth writes them.
type BandwidthReport struct {
	Own  string `json:"own,omitempty"`  // the remote's own rule
	Main string `json:"main,omitempty"` // the main's, as the remote knows it
	Now  string `json:"now"`            // what both allow now
	// Until is when Now changes, by the remote's clock and in its time zone.
	Until time.Time `json:"until,omitzero"`
	// Passing: the rules do not hold until the remote is level once.
	Passing bool `json:"passing,omitempty"`
}

// ShareReport is the state of one share on a remote.
type ShareReport struct {
	State     string    `json:"state"` // "live", "catching up", "reconciling", "waiting", "held", "offline"
	Seq       uint64    `json:"seq"`   // on disk up to here
	Files     int64     `json:"files"`
	Bytes     int64     `json:"bytes"`
	LagEvents int64     `json:"lag_events"` // known and not yet on disk
	LagBytes  int64     `json:"lag_bytes"`  // content bytes of these not yet here
	Oldest    time.Time `json:"oldest,omitzero"`
	// Until is, of one that is "waiting" for its hours, when they begin; zero if
	// that is not known.
	Until  time.Time `json:"until,omitzero"`
	Newest time.Time `json:"newest,omitzero"` // when the main published what was last applied
	// Received are content bytes that came over the wire, Reused those found
	// on the remote's own disk; both since its service started.
	Received  int64         `json:"received"`
	Reused    int64         `json:"reused"`
	Transfers []Transfer    `json:"transfers,omitempty"` // under way, at most 8
	Errors    int64         `json:"errors"`              // paths that wait after a failure
	Problems  []PathProblem `json:"problems,omitempty"`  // at most 20 of these
	Drift     int64         `json:"drift"`               // local changes undone since start
	Trash     int64         `json:"trash"`               // files in the trash
	Extra     int64         `json:"extra,omitempty"`     // files the main does not have, left alone as configured
}

// Transfer is a file on its way.
type Transfer struct {
	Path string `json:"path"`
	Done int64  `json:"done"`
	Size int64  `json:"size"`
}

// PathProblem is why one path is not as it should be, and when it is tried again.
type PathProblem struct {
	Path  string    `json:"path"`
	Op    string    `json:"op"`
	Cause string    `json:"cause"`
	Hint  string    `json:"hint,omitempty"`
	Tries int       `json:"tries"`
	Next  time.Time `json:"next,omitzero"`
}
