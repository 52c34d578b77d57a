package publisher

import (
	"time"

	"github.com/google/uuid"

	"waptsync/bus"
)

// The states of a share.
const (
	StateScanning = "scanning" // the first scan, or what it found, is under way
	StateLive     = "live"
	StateHeld     = "held"
)

// Status is what a share's publisher does.
type Status struct {
	Share string `json:"share"`
	Dir   string `json:"dir"`
	State string `json:"state"`
	Held  string `json:"held,omitempty"` // why

	// Published.
	Files  int64     `json:"files"`
	Dirs   int64     `json:"dirs"`
	Links  int64     `json:"links"`
	Bytes  int64     `json:"bytes"`
	Newest time.Time `json:"newest,omitzero"` // when the newest event was stored

	Generation uuid.UUID `json:"generation"`
	Last       uint64    `json:"last"` // last sequence of the event stream

	Watching int    `json:"watching"` // directories
	Mode     string `json:"mode"`     // "inotify", or "scan" when everything is scanned by timer

	// Scan tells how far the newest full scan is, and what it met; the service
	// has hashed HashedFiles and HashedBytes since it started.
	ScannedFiles int64 `json:"scanned_files"`
	ScannedBytes int64 `json:"scanned_bytes"`
	HashedFiles  int64 `json:"hashed_files"`
	HashedBytes  int64 `json:"hashed_bytes"`

	Indexes []IndexStatus `json:"indexes,omitempty"` // those with troubles first

	Events   int64             `json:"events"`  // published since the service started
	Errors   int               `json:"errors"`  // paths that fail
	Skipped  int               `json:"skipped"` // paths left out on purpose: devices, links that lead out
	Problems []bus.PathProblem `json:"problems,omitempty"`
}

// Status returns the state as it is now.
func (p *Publisher) Status() Status {
	s := Status{
		Share: p.o.Share, Dir: p.o.Dir, State: StateScanning, Mode: "scan",
		Generation: p.o.Log.Generation(), Last: p.o.Log.Last(),
		HashedFiles: p.hashedFiles.Load(), HashedBytes: p.hashedBytes.Load(),
		Events: p.events.Load(),
	}
	p.mu.Lock()
	session, watch, scan := p.session, p.watch, p.scan
	s.Held, s.Newest = p.held, p.newest
	switch {
	case p.held != "":
		s.State = StateHeld
	case p.marked && session != nil && session.generation == s.Generation:
		s.State = StateLive
	}
	p.mu.Unlock()

	if session != nil {
		n := session.tree.sum()
		s.Files, s.Dirs, s.Links, s.Bytes = n.files, n.dirs, n.links, n.bytes
	}
	if watch != nil {
		s.Mode, s.Watching = "inotify", watch.count()
	}
	if scan != nil {
		s.ScannedFiles, s.ScannedBytes = scan.files.Load(), scan.bytes.Load()
	}
	s.Errors, s.Skipped, s.Problems = p.problems.report()
	if session != nil {
		s.Indexes = session.indexes.status()
	}
	for _, i := range s.Indexes {
		if i.Cause != "" {
			s.Errors++
			s.Problems = append(s.Problems, bus.PathProblem{
				Path: i.Path, Op: "index", Cause: "the index cannot be read: " + i.Cause,
				Hint: "remotes show it as soon as they have all that was published before it; make it anew",
			})
		}
	}
	return s
}
