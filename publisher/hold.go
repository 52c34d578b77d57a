package publisher

import (
	"fmt"
	"time"

	"waptsync/alive"
	"waptsync/bus"
)

// holdKind is why nothing is published.
type holdKind uint8

const (
	holdNone   holdKind = iota
	holdManual          // an administrator asked for it
	holdFolder          // the folder is missing or another
	holdMass            // too much vanished at once
)

const (
	healthPeriod = alive.Period     // between looks at whether the folder is still the same
	holdLookMax  = 30 * time.Second // between looks at whether a hold's cause is gone, at most
	recentPeriod = time.Minute      // deletions this close together are one
	// emptyLeast: a share that had so many paths does not lose its last one
	// without a question, even if that is below the limit.
	emptyLeast = 10
)

// recentDeletes counts tombstones that were made close together, less the paths
// that appeared since, so that a slow deletion of everything is seen as one.
type recentDeletes struct {
	n    int
	last time.Time
}

func (r *recentDeletes) add(now time.Time) {
	r.expire(now)
	r.n++
	r.last = now
}

func (r *recentDeletes) appeared() { r.n = max(0, r.n-1) }

func (r *recentDeletes) expire(now time.Time) {
	if now.Sub(r.last) > recentPeriod {
		r.n = 0
	}
}

func (s *session) held() bool { return s.holding != holdNone }

// hold stops publishing, creations too, until the cause is gone or somebody approves.
func (s *session) hold(kind holdKind, reason string) {
	if s.holding == kind && s.reason == reason {
		return
	}
	s.holding, s.reason = kind, reason
	s.holdLook = healthPeriod
	s.nextHoldLook = time.Now().Add(s.holdLook)
	s.log.Warn().Str("reason", reason).Msg("share held: nothing is published until this is resolved or approved")
	s.p.setHeld(reason)
}

func (s *session) release(why string) {
	if !s.held() {
		return
	}
	s.holding, s.reason = holdNone, ""
	s.nextHoldLook = time.Time{}
	s.log.Info().Str("because", why).Msg("share no longer held")
	s.p.setHeld("")
}

// tooMany says why the vanished paths are too many to be believed, or "".
func (s *session) tooMany() string {
	if s.approved {
		return ""
	}
	s.recent.expire(time.Now())
	// Tombstones under way are still in the tree.
	underWay := 0
	for _, n := range s.tombs {
		underWay += n
	}
	known := int(s.tree.sum().paths()) + s.recent.n - underWay
	gone := len(s.gone.paths) + s.recent.n
	another := s.another != ""
	if !s.over(gone, known, another) {
		return ""
	}
	gone -= s.movedAway()
	if !s.over(gone, known, another) {
		return ""
	}
	reason := fmt.Sprintf("%d of %d known paths vanished at once", gone, known)
	if another {
		reason = s.another + ": " + reason
	}
	return reason
}

// over says whether so many are too many. In another folder than the one that
// was published last, either limit is one: half a backup of a small share is
// below a hundred paths.
func (s *session) over(gone, known int, another bool) bool {
	if gone >= known && known >= emptyLeast {
		return true
	}
	if another {
		return gone > s.o.Hold.Paths || float64(gone) > s.o.Hold.Share*float64(known)
	}
	return gone > s.o.Hold.Paths && float64(gone) > s.o.Hold.Share*float64(known)
}

// movedAway counts the vanished files that now stand elsewhere in the share.
func (s *session) movedAway() int {
	present := make(map[body]bool, len(s.works))
	for _, w := range s.works {
		if w.st.kind == bus.KindFile {
			present[w.st.body()] = true
		}
	}
	s.tree.walk("", func(p string, e entry) bool {
		if e.kind != bus.KindFile {
			return true
		}
		if _, gone := s.gone.paths[p]; !gone {
			present[e.body()] = true
		}
		return true
	})
	n := 0
	for _, v := range s.gone.paths {
		if v.file && v.body.inode != 0 && present[v.body] {
			n++
		}
	}
	return n
}

// lookAtHold sees whether the cause of a hold is gone.
func (s *session) lookAtHold(now time.Time) {
	s.holdLook = min(2*s.holdLook, holdLookMax)
	s.nextHoldLook = now.Add(s.holdLook)
	switch s.holding {
	case holdFolder:
		s.nextHoldLook = now.Add(healthPeriod)
		s.lookForFolder()
	case holdMass:
		if s.emptied() {
			return
		}
		s.confirm(now)
		if s.tooMany() == "" {
			s.release("what had vanished is back")
			s.bury(now)
		}
	}
}

// emptied says whether a folder that had content is empty now.
func (s *session) emptied() bool {
	if s.approved || s.tree.sum().paths() == 0 {
		return false
	}
	empty, err := s.folder.empty()
	return err == nil && empty
}

// approve lets a held share go on.
func (s *session) approve() error {
	switch s.holding {
	case holdNone:
		return fmt.Errorf("share %s is not held", s.o.Share)
	case holdFolder:
		f, err := openFolder(s.o.Dir, s.folder.exclude)
		if err != nil {
			return fmt.Errorf("share %s cannot go on without its folder: %w", s.o.Share, err)
		}
		f.close()
		s.p.approved.Store(true)
		s.ended = errAgain
	case holdMass:
		s.approved = true
	}
	s.release("approved")
	s.bury(time.Now())
	return nil
}
