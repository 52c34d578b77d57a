package console

import "time"

const (
	historyStep = 10 * time.Second
	totalPoints = 360 // an hour
	namedPoints = 60  // ten minutes; there may be 1,000 remotes
)

// history is how many bytes a second went, in steps of historyStep: in all
// under the empty name, and by remote. Missing points before a series began are
// not there: the last point of each is the present.
type history struct {
	begun  time.Time
	totals map[string]int64 // at begun
	series map[string][]float32
}

func newHistory() *history {
	return &history{series: make(map[string][]float32)}
}

// add notes totals at now. When a step is over it returns the point of each series.
func (h *history) add(totals map[string]int64, now time.Time) (map[string]float32, bool) {
	if h.totals == nil {
		h.begun, h.totals = now, totals
		return nil, false
	}
	span := now.Sub(h.begun)
	if span < historyStep {
		return nil, false
	}
	point := make(map[string]float32, len(totals))
	for name, total := range totals {
		// A remote's total begins anew when its service does.
		before, ok := h.totals[name]
		if !ok || total < before {
			before = total
		}
		v := float32(float64(total-before) / span.Seconds())
		point[name] = v
		most := namedPoints
		if name == "" {
			most = totalPoints
		}
		s := append(h.series[name], v)
		h.series[name] = s[max(0, len(s)-most):]
	}
	for name := range h.series {
		if _, ok := totals[name]; !ok {
			delete(h.series, name)
		}
	}
	h.begun, h.totals = now, totals
	return point, true
}

// all returns a copy of the series.
func (h *history) all() map[string][]float32 {
	out := make(map[string][]float32, len(h.series))
	for name, s := range h.series {
		out[name] = append([]float32(nil), s...)
	}
	return out
}
