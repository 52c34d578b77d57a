package console

import (
	"math"
	"time"
)

const (
	// quietAfter: a total that stood still for so long has no rate. Remotes
	// report every two seconds while something moves.
	quietAfter = 6 * time.Second
	// rateMemory is the time constant of the average.
	rateMemory = 4 * time.Second
)

// meters make rates of totals, by key.
type meters map[string]*meter

type meter struct {
	total int64
	at    time.Time // when the total last changed
	rate  float64   // units a second
}

// rate notes the total at now and returns how fast it grows; 0 when that is
// not known, or it stands still. A total that shrinks began anew.
func (m meters) rate(key string, total int64, now time.Time) float64 {
	have := m[key]
	if have == nil {
		m[key] = &meter{total: total, at: now}
		return 0
	}
	span := now.Sub(have.at)
	switch {
	case total < have.total:
		*have = meter{total: total, at: now}
	case total == have.total:
		if span > quietAfter {
			have.rate = 0
		}
	case span > 0:
		r := float64(total-have.total) / span.Seconds()
		if have.rate == 0 {
			have.rate = r
		}
		have.rate += (r - have.rate) * (1 - math.Exp(-span.Seconds()/rateMemory.Seconds()))
		have.total, have.at = total, now
	}
	return have.rate
}

// keep forgets all other keys.
func (m meters) keep(keys map[string]bool) {
	for key := range m {
		if !keys[key] {
			delete(m, key)
		}
	}
}
