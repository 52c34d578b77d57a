package main

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"time"

	"waptsync/bus"
)

const (
	reportChanged = 2 * time.Second  // between reports while something changes
	reportQuiet   = 15 * time.Second // between reports while nothing does
	reportLook    = 100 * time.Millisecond
)

// reportAll tells the main about this remote: while something changes every
// two seconds, at once when a share becomes live, else every 15 seconds.
func (s *subscribeService) reportAll(ctx context.Context) {
	host, err := os.Hostname()
	if err != nil {
		s.log.Warn().Err(err).Msg("this host's name is not known; the main's status will not show it")
	}
	tick := time.NewTicker(reportLook)
	defer tick.Stop()
	var sent time.Time
	var last map[string]bus.ShareReport
	defer s.reporting.Rest()
	for {
		s.reporting.Turn()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.client.Connected() {
			sent = time.Time{} // the first words on a new connection
			continue
		}
		now := s.reports()
		age := time.Since(sent)
		due := age >= reportQuiet || s.hasNews.Swap(false) || age >= reportChanged && !reflect.DeepEqual(now, last) || becameLive(last, now)
		if !due {
			continue
		}
		report := &bus.Report{Version: s.version, Host: host, Time: time.Now(), Shares: now, Taken: s.taken, Verified: s.lastVerified()}
		fit(report)
		s.reporting.Rest() // an answer is waited for no longer than its timeout
		orders, err := s.client.Consult(ctx, report)
		s.reporting.Turn()
		if err != nil {
			s.log.Debug().Err(err).Msg("the report did not reach the main; the next one will say the same")
		}
		if s.obey(ctx, orders) {
			s.hasNews.Store(true)
		}
		sent, last = time.Now(), now
	}
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
