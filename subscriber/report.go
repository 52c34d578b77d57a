package subscriber

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"waptsync/bus"
)

// Bounds of a report, as bus.ShareReport has them.
const (
	maxTransfers = 8
	maxProblems  = 20
)

// States of a share.
const (
	stateLive        = "live"
	stateCatchingUp  = "catching up"
	stateReconciling = "reconciling"
	stateHeld        = "held"
	stateWaiting     = "waiting" // for the hours in which its contents may flow
	stateOffline     = "offline"
)

// Report says how the share is doing. It reads the state's counters and at most
// some hundred of its entries.
func (r *Replica) Report() bus.ShareReport {
	// Looked at before the session: the one that has taken the request stands in
	// the place of the one that could say live of the time before.
	asked := r.reread.Load()
	rep := bus.ShareReport{
		Received: r.received.Load(),
		Reused:   r.reused.Load(),
		Drift:    r.drift.Load(),
		Trash:    r.trashed.Load(),
		Extra:    r.extra.Load(),
	}
	_ = r.state.view(func(tx *stateTx) error { // fails only when the file is closed
		rep.Seq = tx.progress().Position.Seq
		rep.Files, rep.Bytes = tx.totals()
		r.reportWaiting(tx, &rep)
		return nil
	})
	r.mu.Lock()
	s, trouble, held := r.session, r.trouble, r.held
	r.mu.Unlock()
	switch {
	case s != nil:
		s.report(&rep)
		if asked && rep.State == stateLive {
			rep.State = stateReconciling // and not begun yet
		}
	case held != nil:
		rep.State = stateHeld
		rep.Problems = slices.Insert(rep.Problems, 0, bus.PathProblem{Op: "opening the folder", Cause: held.Error(), Hint: held.hint})
	default:
		rep.State = stateOffline
		if trouble != nil && !errors.Is(trouble, bus.ErrFeedLost) && !errors.Is(trouble, errAgain) {
			rep.Problems = slices.Insert(rep.Problems, 0, bus.PathProblem{Op: "following the main", Cause: trouble.Error()})
		}
	}
	rep.Problems = rep.Problems[:min(len(rep.Problems), maxProblems)]
	return rep
}

// reportScan is how many waiting events are looked at for a report.
const reportScan = 512

func (r *Replica) reportWaiting(tx *stateTx, rep *bus.ShareReport) {
	total := tx.waitingCount()
	failed, seen := int64(0), int64(0)
	c := tx.waits().Cursor()
	for k, v := c.First(); k != nil && seen < reportScan; k, v = c.Next() {
		seen++
		w, err := decodeWaiting(v)
		if err != nil || w.Cause == "" {
			continue
		}
		failed++
		rep.LagBytes += w.Event.Content.Size
		if len(rep.Problems) < maxProblems {
			rep.Problems = append(rep.Problems, bus.PathProblem{
				Path: w.Event.Path, Op: w.Op, Cause: w.Cause, Hint: w.Hint, Tries: w.Tries, Next: w.Next,
			})
		}
	}
	rep.Errors = failed
	if seen == reportScan { // those not looked at are taken as failed: parked ones are few
		rep.Errors += total - seen
	}
	rep.LagEvents = total - tx.gracedCount() // these are as they should be
}

// heldShown is how long something waits for an index before that is worth telling.
const heldShown = time.Minute

// report adds what a session knows.
func (s *session) report(rep *bus.ShareReport) {
	live, behind, bytes, oldest := s.win.lag()
	rep.LagEvents = max(rep.LagEvents, live) + behind
	rep.LagBytes = max(rep.LagBytes, bytes)
	s.mu.Lock()
	rep.Newest = s.newest
	swept, bulk := s.swept, s.bulk
	for it := range s.active {
		rep.Transfers = append(rep.Transfers, bus.Transfer{Path: it.path, Done: it.done.Load(), Size: it.content.Size})
	}
	s.mu.Unlock()
	for _, t := range rep.Transfers {
		rep.LagBytes -= t.Done
	}
	rep.LagBytes = max(rep.LagBytes, 0)
	slices.SortFunc(rep.Transfers, func(a, b bus.Transfer) int { return cmp.Compare(b.Size, a.Size) })
	rep.Transfers = rep.Transfers[:min(len(rep.Transfers), maxTransfers)]
	rep.Oldest = oldest
	switch {
	case !swept:
		rep.State = stateReconciling
	case live == 0 && behind == 0:
		rep.State = stateLive
	default:
		rep.State = stateCatchingUp
	}
	if barred, until := s.r.o.Line.barred(s.r.o.Share); barred {
		rep.State, rep.Until = stateWaiting, until
	}
	s.win.eachHeld(heldShown, func(path, waitsFor string, _ time.Time) {
		if len(rep.Problems) < maxProblems {
			rep.Problems = append(rep.Problems, bus.PathProblem{Path: path, Op: opHeld, Cause: heldHint + waitsFor})
		}
	})
	if bulk != nil {
		rep.Problems = slices.Insert(rep.Problems, 0, bus.PathProblem{Op: "fetching", Cause: bulk.Error()})
	}
}

// lag counts what is not on disk: unresolved events, those the bus still has,
// the content bytes of the former, and since when the oldest is there.
func (w *window) lag() (live, behind, bytes int64, oldest time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, it := range w.items {
		if it.phase != phaseDone && !it.at.IsZero() && (oldest.IsZero() || it.at.Before(oldest)) {
			oldest = it.at
		}
	}
	return int64(w.live), int64(w.behind), w.bytes, oldest
}
