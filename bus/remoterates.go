package bus

import (
	"sync"

	"golang.org/x/time/rate"
)

// What one remote may ask a second. A remote that copies 10 Gbit/s in requests
// of 4 MiB asks 300 times, so one above this bound means harm, and is not
// answered, since an answer would be more work than the question.
const (
	requestRate  = 1000
	requestBurst = 4000
)

// remoteRates bounds the requests of each remote. The zero value is ready. Its
// memory grows with the remotes that were ever known.
type remoteRates struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

func (r *remoteRates) allow(remote string) bool {
	r.mu.Lock()
	l := r.by[remote]
	if l == nil {
		if r.by == nil {
			r.by = make(map[string]*rate.Limiter)
		}
		l = rate.NewLimiter(requestRate, requestBurst)
		r.by[remote] = l
	}
	r.mu.Unlock()
	return l.Allow()
}
