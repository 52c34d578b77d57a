package main

import (
	"time"

	"waptsync/bus"
)

// reportMemory is what a main remembers of one remote between its reports.
type reportMemory struct {
	last bus.Report
	came time.Time
	// For the estimate: what was received, by share, at the report before.
	before     map[string]int64
	beforeTime time.Time
	rates      map[string]float64 // bytes a second
	// synced is when a share was last known to be level.
	synced map[string]time.Time
	// orders are those that the remote did not take yet; number is the newest's.
	orders []bus.Order
	number uint64
}

// rateSpan is the least time between two reports that a rate is made of.
const rateSpan = 2 * time.Second

// take notes a report that came at now.
func (m *reportMemory) take(r bus.Report, now time.Time) {
	if m.before == nil || now.Sub(m.beforeTime) >= rateSpan {
		received := make(map[string]int64)
		rates := make(map[string]float64)
		for name, s := range r.Shares {
			received[name] = s.Received
			if before, ok := m.before[name]; ok && s.Received > before {
				rates[name] = float64(s.Received-before) / now.Sub(m.beforeTime).Seconds()
			}
		}
		m.before, m.beforeTime, m.rates = received, now, rates
	}
	if r.Verified.Time.IsZero() { // its service began anew
		r.Verified = m.last.Verified
	}
	m.last, m.came = r, now
}

// share is the state of one share at now. pending is what the main knows that
// the remote has not acknowledged, -1 for not known; the report may be older
// than that.
func (m *reportMemory) share(name string, connected bool, pending int64, added, now time.Time) remoteShare {
	r, reported := m.last.Shares[name]
	out := remoteShare{ShareReport: r}
	switch {
	case !connected:
		out.State = stateOffline
	case !reported:
		out.State = stateUnknown
	}
	out.LagEvents = max(out.LagEvents, pending)
	if out.LagEvents == 0 && out.LagBytes == 0 && reported {
		if m.synced == nil {
			m.synced = make(map[string]time.Time)
		}
		m.synced[name] = now
		return out
	}
	since := out.Oldest
	if since.IsZero() {
		since = m.synced[name]
	}
	if since.IsZero() {
		since = added
	}
	if out.LagEvents > 0 || out.LagBytes > 0 {
		out.LagSeconds = max(0, now.Sub(since).Seconds())
	}
	if rate := m.rates[name]; rate > 0 && connected {
		out.Estimate = float64(out.LagBytes) / rate
	}
	return out
}
