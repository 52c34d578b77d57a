package subscriber

import (
	"sync"
	"time"
)

// pace finds how much to ask for at once: what the line brings in about
// requestTime. A request that is small on a slow line does not keep other files
// waiting, and one that is large on a fast line costs few turns.
type pace struct {
	mu    sync.Mutex
	bytes int64
}

const (
	requestTime  = 500 * time.Millisecond
	leastRequest = 64 << 10
	firstRequest = 512 << 10
	mostRequest  = 2 << 20
)

// size returns how many bytes to ask for.
func (p *pace) size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes == 0 {
		return firstRequest
	}
	return p.bytes
}

// took notes how long a request of so many bytes took.
func (p *pace) took(bytes int64, d time.Duration) {
	if bytes < leastRequest/4 {
		return // mostly the time of the turn
	}
	fit := float64(bytes) * float64(requestTime) / float64(max(d, time.Millisecond))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes == 0 {
		p.bytes = firstRequest
	}
	p.bytes = max(leastRequest, int64(min((float64(p.bytes)+fit)/2, mostRequest)))
}
