package main

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"time"

	"waptsync/alive"
	"waptsync/bus"
)

const (
	reportChanged = 2 * time.Second  // between reports while something changes
	reportQuiet   = 15 * time.Second // between reports while nothing does
	reportWaiting = 5 * time.Second  // between reports while a share waits for its hours, which the main may change
	// Between looks for changes, while one found something new, and while none
	// did and nobody told of any: an idle service costs nothing.
	reportLook = 100 * time.Millisecond
	reportIdle = alive.Period
)

// lookAgain has reportAll look for changes.
func (s *subscribeService) lookAgain() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// tell has the main told at once.
func (s *subscribeService) tell() {
	s.hasNews.Store(true)
	s.lookAgain()
}

// reportAll tells the main about this remote: while something changes every
// two seconds, at once when a share becomes live, else every 15 seconds.
func (s *subscribeService) reportAll(ctx context.Context) {
	host, err := os.Hostname()
	if err != nil {
		s.log.Warn().Err(err).Msg("this host's name is not known; the main's status will not show it")
	}
	var sent time.Time
	pause := reportLook
	var seen map[string]bus.ShareReport
	var last map[string]bus.ShareReport
	var lastLine *bus.BandwidthReport
	defer s.reporting.Rest()
	for {
		s.reporting.Turn()
		if !s.awaitLook(ctx, pause) {
			return
		}
		if !s.client.Connected() {
			sent = time.Time{} // the first words on a new connection
			continue
		}
		now := s.reports()
		pause = reportIdle
		if !reflect.DeepEqual(now, seen) {
			pause, seen = reportLook, now
		}
		if s.line.passing() && allPassed(now) {
			s.line.pass(false)
		}
		line := s.line.report()
		age := time.Since(sent)
		changed := !reflect.DeepEqual(now, last) || !reflect.DeepEqual(line, lastLine)
		due := age >= reportQuiet || s.hasNews.Swap(false) || age >= reportChanged && changed || becameLive(last, now) ||
			age >= reportWaiting && waits(now)
		if !due {
			if changed {
				pause = max(reportLook, min(pause, reportChanged-age))
			}
			continue
		}
		report := &bus.Report{Version: s.version, Host: host, Time: time.Now(), Shares: now, Taken: s.taken, Verified: s.lastVerified(), Bandwidth: line}
		fit(report)
		s.reporting.Rest() // an answer is waited for no longer than its timeout
		wish, err := s.client.Consult(ctx, report)
		s.reporting.Turn()
		if err != nil {
			s.log.Debug().Err(err).Msg("the report did not reach the main; the next one will say the same")
		} else if s.line.heed(wish.Bandwidth) {
			s.tell()
		}
		if s.obey(ctx, wish.Orders) {
			s.tell()
		}
		sent, last, lastLine = time.Now(), now, line
	}
}

// awaitLook returns when it is time to look for changes: after pause, or when
// somebody knows of some, but never sooner than reportLook. It returns false when
// ctx ends.
func (s *subscribeService) awaitLook(ctx context.Context, pause time.Duration) bool {
	soonest := time.NewTimer(reportLook)
	defer soonest.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-soonest.C:
	}
	rest := time.NewTimer(pause - reportLook)
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-s.look:
	case <-s.client.Changes():
	case <-rest.C:
	}
	return true
}

// waits says whether a share waits for its hours.
func waits(shares map[string]bus.ShareReport) bool {
	for _, sh := range shares {
		if sh.State == stateWaiting {
			return true
		}
	}
	return false
}

// allPassed says whether all shares have what can be had: what waits after a
// failure shall not keep the rules from holding again.
func allPassed(shares map[string]bus.ShareReport) bool {
	for _, sh := range shares {
		if sh.State != stateLive || sh.LagEvents > sh.Errors {
			return false
		}
	}
	return true
}

// becameLive says whether a share has nothing left to do and, by the report
// before, had: the main shall not wait two seconds for the good news.
func becameLive(before, now map[string]bus.ShareReport) bool {
	for name, n := range now {
		if b := before[name]; level(n) && !level(b) {
			return true
		}
	}
	return false
}

func level(r bus.ShareReport) bool {
	return r.State == stateLive && r.LagEvents == 0 && r.LagBytes == 0
}

// reportRoom is what a report may take, below the bus's 64 KiB.
const reportRoom = 60 << 10

// fit leaves out details until the report goes through: names of paths may be
// long, and the counts say how many there are.
func fit(r *bus.Report) {
	for {
		data, err := json.Marshal(r)
		if err != nil || len(data) <= reportRoom {
			return
		}
		left := 0
		shares := maps.Clone(r.Shares)
		for name, s := range shares {
			s.Problems, s.Transfers = s.Problems[:len(s.Problems)/2], s.Transfers[:len(s.Transfers)/2]
			left += len(s.Problems) + len(s.Transfers)
			shares[name] = s
		}
		r.Shares = shares
		if left == 0 {
			return
		}
	}
}
