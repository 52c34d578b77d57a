package console

import (
	"context"
	"time"
)

// Main is the service that the page of a main shows and changes. Its methods
// are called concurrently. An error that is an [*ActError] is shown with its
// hint; any other is shown as it is.
type Main interface {
	// Status is the state now. It is asked for about once a second while
	// somebody looks.
	Status(ctx context.Context) (*MainStatus, error)
	// Invite opens an invitation and returns its one line.
	Invite(ctx context.Context, in Invite) (string, error)
	// SetPaused keeps a remote from connecting, or lets it again.
	SetPaused(ctx context.Context, remote string, paused bool) error
	// Revoke forgets a remote or an open invitation.
	Revoke(ctx context.Context, remote string) error
	// SetShares replaces the shares that a remote may have.
	SetShares(ctx context.Context, remote string, shares []string) error
	// SetBandwidth replaces the main's rule for a remote's line; empty removes it.
	SetBandwidth(ctx context.Context, remote, rule string) error
	// Approve lets a held share go on.
	Approve(ctx context.Context, share string) error
	// Rescan looks at a share's whole folder now.
	Rescan(ctx context.Context, share string) error
	// ForceSync has a remote compare its folders with the main now.
	ForceSync(ctx context.Context, remote string) error
	// Verify has a remote read all its files and compare them with the main.
	Verify(ctx context.Context, remote string) error
}

// Replica is the service that the page of a remote shows.
type Replica interface {
	Status(ctx context.Context) (*ReplicaStatus, error)
}

// ActError is why something could not be done, for people.
type ActError struct {
	Status int    // of HTTP; 0 means 500
	Text   string // what went wrong
	Hint   string // what to do next; may be empty
}

func (e *ActError) Error() string { return e.Text }

// Invite asks for an invitation.
type Invite struct {
	Name    string        `json:"name"`
	Shares  []string      `json:"shares"` // none means all
	Expires time.Duration `json:"-"`
}

// MainStatus is the state of a main.
type MainStatus struct {
	Version string    `json:"version"`
	Host    string    `json:"host"`
	Listen  string    `json:"listen"` // of the bus
	Time    time.Time `json:"time"`
	// Trouble says why the service itself is not well; empty means that it is.
	Trouble string `json:"trouble,omitempty"`
	// Sent are bytes sent to remotes since the service started.
	Sent        int64             `json:"sent"`
	Abilities   Abilities         `json:"abilities"`
	Shares      map[string]Share  `json:"shares"`
	Remotes     map[string]Remote `json:"remotes"`
	Invitations []Invitation      `json:"invitations"`
}

// Abilities say which acts this main can do at all; the page does not offer the rest.
type Abilities struct {
	ForceSync bool `json:"forceSync"`
	Verify    bool `json:"verify"`
}

// The states of a share. A main has scanning, live and held.
const (
	StateLive        = "live"
	StateScanning    = "scanning"
	StateHeld        = "held"
	StateCatchingUp  = "catching up"
	StateReconciling = "reconciling"
	StateOffline     = "offline"
	StatePaused      = "paused"
	StateWaiting     = "waiting" // for the hours in which its contents may flow
	StateUnknown     = "unknown"
)

// The states of a share's index, the file that names the share's packages.
const (
	IndexNone       = "" // the share has none, or nobody looked
	IndexComplete   = "complete"
	IndexIncomplete = "incomplete" // it names files that the share lacks
)

// Share is a published folder.
type Share struct {
	Dir      string    `json:"dir"`
	State    string    `json:"state"`
	Held     string    `json:"held,omitempty"` // why
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
	Newest   time.Time `json:"newest,omitzero"` // the newest change published
	Scanned  int64     `json:"scanned"`         // files that the scan under way has seen
	Index    string    `json:"index,omitempty"`
	Errors   int64     `json:"errors"`
	Skipped  int64     `json:"skipped"` // left out on purpose
	Problems []Problem `json:"problems,omitempty"`
}

// Remote is a remote as the main sees it.
type Remote struct {
	Connected bool      `json:"connected"`
	Paused    bool      `json:"paused"`
	Managed   bool      `json:"managed"` // by a list: the page does not revoke it or change its shares
	Address   string    `json:"address,omitempty"`
	Since     time.Time `json:"since,omitzero"` // of the connection
	RTT       float64   `json:"rtt,omitempty"`  // seconds
	Host      string    `json:"host,omitempty"`
	Version   string    `json:"version,omitempty"`
	Reported  time.Time `json:"reported,omitzero"`
	Verified  Verified  `json:"verified,omitzero"` // the newest verification
	Bandwidth Bandwidth `json:"bandwidth,omitzero"`
	// Rate is bytes a second that the remote receives; this package fills it.
	Rate   float64                `json:"rate,omitempty"`
	Shares map[string]RemoteShare `json:"shares"`
}

// Bandwidth is how much a remote may use of its line to the main. Rules and what
// they allow are texts in the one notation of rules.
type Bandwidth struct {
	Main string `json:"main,omitempty"` // the main's rule
	Own  string `json:"own,omitempty"`  // the remote's own; the stricter of the two holds
	// Awaited: the remote has not taken the main's rule yet.
	Awaited bool   `json:"awaited,omitempty"`
	Now     string `json:"now,omitempty"`   // what is allowed now; empty when the remote does not tell
	Until   string `json:"until,omitempty"` // the time there when that changes, if it does
	// Passing: the rules do not hold until the remote is level once.
	Passing bool `json:"passing,omitempty"`
}

// Verified is how a verification ended.
type Verified struct {
	Time        time.Time `json:"time,omitzero"`
	Files       int64     `json:"files"`
	Differences int64     `json:"differences"`
}

// RemoteShare is a share on a remote.
type RemoteShare struct {
	State     string  `json:"state"`
	Until     string  `json:"until,omitempty"` // of one that waits for its hours: the time there when they begin
	Files     int64   `json:"files"`
	Bytes     int64   `json:"bytes"`
	LagEvents int64   `json:"lagEvents"`
	LagBytes  int64   `json:"lagBytes"`
	LagAge    float64 `json:"lagAge"` // seconds since the oldest event that is not on its disk
	// Received and Reused are content bytes since the remote's service started.
	Received  int64      `json:"received"`
	Reused    int64      `json:"reused"`
	Errors    int64      `json:"errors"`
	Transfers []Transfer `json:"transfers,omitempty"`
	Problems  []Problem  `json:"problems,omitempty"`
	// Rate is bytes a second, ETA seconds until it has all; this package fills
	// them. 0 means not known.
	Rate float64 `json:"rate,omitempty"`
	ETA  float64 `json:"eta,omitempty"`
}

// Transfer is a file on its way. Rate and ETA are filled by this package.
type Transfer struct {
	Path string  `json:"path"`
	Done int64   `json:"done"`
	Size int64   `json:"size"`
	Rate float64 `json:"rate,omitempty"` // bytes a second
	ETA  float64 `json:"eta,omitempty"`  // seconds
}

// Problem is why a path is not as it should be.
type Problem struct {
	Path  string    `json:"path"`
	Op    string    `json:"op"`
	Cause string    `json:"cause"`
	Hint  string    `json:"hint,omitempty"`
	Tries int       `json:"tries,omitempty"`
	Next  time.Time `json:"next,omitzero"` // when it is tried again
}

// Invitation is an invitation that waits for its remote.
type Invitation struct {
	Name    string    `json:"name"`
	Shares  []string  `json:"shares"`
	Expires time.Time `json:"expires"`
}

// ReplicaStatus is the state of a remote, said by itself.
type ReplicaStatus struct {
	Version   string    `json:"version"`
	Name      string    `json:"name"`
	Main      string    `json:"main"` // the main's address
	Time      time.Time `json:"time"`
	Connected bool      `json:"connected"`
	Trouble   string    `json:"trouble,omitempty"` // why it is not connected
	// Unwell says why the service itself is not well; empty means that it is.
	Unwell    string                 `json:"unwell,omitempty"`
	Received  int64                  `json:"received"` // bytes from the main since the service started
	Rate      float64                `json:"rate,omitempty"`
	Verified  Verified               `json:"verified,omitzero"`
	Bandwidth Bandwidth              `json:"bandwidth,omitzero"`
	Shares    map[string]RemoteShare `json:"shares"`
	Dirs      map[string]string      `json:"dirs,omitempty"` // by share
}
