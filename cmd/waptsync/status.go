package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"waptsync/bus"
	"waptsync/publisher"
)

// The roles that a status names.
const (
	rolePublisher  = "publisher"
	roleSubscriber = "subscriber"
)

// The states of a share. A remote's own come from bus.ShareReport.
const (
	stateLive    = "live"
	stateHeld    = "held"
	stateOffline = "offline"
	statePaused  = "paused"
	stateWaiting = "waiting" // for the hours in which its contents may flow
	stateUnknown = "unknown" // connected, and no report yet
)

// header begins every status.
type header struct {
	Role    string    `json:"role"`
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
}

// serviceStatus is what a service says of itself: a *mainStatus or a *remoteStatus.
type serviceStatus interface {
	// print writes it for people; remote, if not empty, is the only remote shown.
	print(w io.Writer, remote string) error
	// exit is the exit code that tells it to scripts.
	exit(remote string) int
}

// parseStatus reads the JSON of either role.
func parseStatus(raw []byte) (serviceStatus, error) {
	var h header
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("reading the status: %w", err)
	}
	var s serviceStatus
	switch h.Role {
	case rolePublisher:
		s = &mainStatus{}
	case roleSubscriber:
		s = &remoteStatus{}
	default:
		return nil, fmt.Errorf("reading the status: role %q is not known", h.Role)
	}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("reading the status: %w", err)
	}
	return s, nil
}

// mainStatus is what a publisher says.
type mainStatus struct {
	header
	Listen      string                `json:"listen"`
	Fingerprint string                `json:"fingerprint"` // of the CA, SHA-256
	Trouble     string                `json:"bus_trouble,omitempty"`
	Served      int64                 `json:"served_bytes"` // content bytes sent by the fetch service
	Refused     bus.Refusals          `json:"refused"`      // since the service started
	Shares      map[string]mainShare  `json:"shares"`
	Remotes     map[string]mainRemote `json:"remotes"`
}

// mainShare is a published folder.
type mainShare struct {
	Dir    string    `json:"dir"`
	State  string    `json:"state"`
	Files  int64     `json:"files"` // published
	Bytes  int64     `json:"bytes"`
	Newest time.Time `json:"newest,omitzero"` // of the newest change published
	// Held says why nothing is deleted, until an administrator approves.
	Held     string            `json:"held,omitempty"`
	Watch    string            `json:"watch,omitempty"` // how changes are noticed: "inotify" or "scan"
	Scanned  int64             `json:"scanned_files"`   // by the newest full scan
	Hashed   int64             `json:"hashed_bytes"`    // read and hashed since the service started
	Events   int64             `json:"events"`          // published since the service started
	Errors   int64             `json:"errors"`
	Skipped  int64             `json:"skipped"` // left out on purpose: devices, links that lead out
	Problems []bus.PathProblem `json:"problems,omitempty"`
	// Indexes are those of the share, with what they name and is missing here.
	Indexes []publisher.IndexStatus `json:"indexes,omitempty"`
}

// mainRemote is a remote as the main sees it.
type mainRemote struct {
	Connected bool             `json:"connected"`
	Paused    bool             `json:"paused,omitempty"`
	Address   string           `json:"address,omitempty"`
	Since     time.Time        `json:"since,omitzero"` // of the connection
	RTT       float64          `json:"rtt_seconds,omitempty"`
	Sent      int64            `json:"sent_bytes,omitempty"`
	Host      string           `json:"host,omitempty"`
	Version   string           `json:"version,omitempty"`
	Reported  time.Time        `json:"reported,omitzero"` // when the last report came
	Verified  bus.Verification `json:"verified,omitzero"`
	remoteBandwidth
	Shares map[string]remoteShare `json:"shares"`
}

// remoteShare is a share on a remote, with how far it is behind.
type remoteShare struct {
	bus.ShareReport
	LagSeconds float64 `json:"lag_seconds"`
	// Estimate is how long the rest takes at the present rate; 0 when not known.
	Estimate float64 `json:"estimate_seconds,omitempty"`
}

// remoteStatus is what a subscriber says.
type remoteStatus struct {
	header
	Name      string                 `json:"name"`
	Main      string                 `json:"main"`
	Connected bool                   `json:"connected"`
	Cause     string                 `json:"trouble,omitempty"` // why it is not connected
	Wire      int64                  `json:"received_bytes"`    // read from all connections
	Bandwidth *bus.BandwidthReport   `json:"bandwidth,omitempty"`
	Shares    map[string]remoteShare `json:"shares"`
}

// behind says whether s is not fully on the remote's disk.
func (s remoteShare) behind() bool {
	return s.LagEvents > 0 || s.LagBytes > 0 || s.Errors > 0 || s.State != stateLive
}

func (m *mainStatus) exit(remote string) int {
	code := exitOK
	for name, r := range m.Remotes {
		if (remote == "" || remote == name) && !r.Paused {
			code = max(code, exitOf(r.Shares))
		}
	}
	for _, sh := range m.Shares {
		if sh.Held != "" {
			code = exitHeld
		}
	}
	return code
}

func (r *remoteStatus) exit(string) int { return exitOf(r.Shares) }

func exitOf(shares map[string]remoteShare) int {
	code := exitOK
	for _, sh := range shares {
		if sh.State == stateHeld {
			return exitHeld
		}
		if sh.behind() {
			code = exitBehind
		}
	}
	return code
}
