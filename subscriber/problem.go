package subscriber

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"waptsync/bus"
)

// problem is why one path could not be made as the main has it. It stops
// nothing else.
type problem struct {
	op   string
	err  error
	hint string
	slow bool // only a newer event will help, most likely
	soon bool // looking again costs nothing, so it is done often
}

func (p *problem) Error() string { return p.op + ": " + p.err.Error() }

func (p *problem) Unwrap() error { return p.err }

var (
	errNoSpace = errors.New("the disk has not enough free space")
	errOutside = errors.New("the link leads out of the share")
	errGuarded = errors.New("the visible index names it")
)

// problemOf says what failed and what an administrator can do about it.
func problemOf(op string, err error) *problem {
	if p := (*problem)(nil); errors.As(err, &p) {
		return p
	}
	p := &problem{op: op, err: err}
	switch {
	case errors.Is(err, errNoSpace), errors.Is(err, syscall.ENOSPC):
		p.hint, p.soon = "free space on the disk; it goes on by itself", true
	case errors.Is(err, syscall.EDQUOT):
		p.hint = "raise the quota of the service's user; it goes on by itself"
	case errors.Is(err, syscall.ENAMETOOLONG):
		p.hint, p.slow = "shorten the name on the main: this file system cannot hold it", true
	case errors.Is(err, syscall.EILSEQ), errors.Is(err, syscall.EINVAL):
		p.hint, p.slow = "rename it on the main: this file system refuses the name", true
	case errors.Is(err, errGuarded):
		p.hint, p.soon = "it goes on when the index is replaced", true
	case errors.Is(err, errOutside):
		p.hint, p.slow = "links must stay inside the share; change it on the main", true
	case errors.Is(err, syscall.EXDEV):
		p.hint = "a part of the share lies on another file system or subvolume; only the whole share may"
	case errors.Is(err, fs.ErrPermission):
		p.hint = "let the service's user own the share's folder and all in it"
	case errors.Is(err, syscall.EROFS):
		p.hint = "the file system is read-only; look for disk errors in the kernel's log"
	case isGone(err):
		// Tried again soon all the same: the main may have refused only because it
		// was looking at the file again, and then no newer event follows.
		p.hint = "the main holds this version no more; a newer event follows"
	case hasCode(err, bus.FetchFailed):
		p.hint = "look at the main's log: it could not read the file"
	}
	return p
}

// Pauses between tries of one event.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Minute
	spacePause = 10 * time.Second
)

// pause is how long to wait after so many failed tries.
func (p *problem) pause(tries int) time.Duration {
	longest := lastPause
	if p.soon {
		longest = spacePause
	}
	if p.slow {
		return longest
	}
	return min(firstPause<<min(max(tries-1, 0), 16), longest)
}

// waitingFor makes the durable form of an event that failed.
func (p *problem) waitingFor(ev bus.Event, seq uint64, at time.Time, tries int, now time.Time) waiting {
	return waiting{
		Seq: seq, At: at, Event: ev,
		Op: p.op, Cause: p.err.Error(), Hint: p.hint,
		Tries: tries, Next: now.Add(p.pause(tries)),
	}
}

// brokenError ends a session: it concerns the replica and not one path.
type brokenError struct {
	what string
	err  error
}

func (e *brokenError) Error() string { return fmt.Sprintf("%s: %v", e.what, e.err) }

func (e *brokenError) Unwrap() error { return e.err }

func broken(what string, err error) error {
	if err == nil {
		return nil
	}
	return &brokenError{what: what, err: err}
}
