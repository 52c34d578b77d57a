package subscriber

import (
	"sync"
	"time"
)

// pace finds how much to ask for at once: what the line brings in about
// requestTime beside two turns, however many requests share it. What is under way
// is what a small file of another connection queues behind, so it is no more than
// keeps the line full.
type pace struct {
	mu    sync.Mutex
	bytes int64
	turn  time.Duration // the shortest that a request took
}

const (
	requestTime  = 100 * time.Millisecond
	longestTurn  = 2 * time.Second // to be believed
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
	p.mu.Lock()
	defer p.mu.Unlock()
	d = max(d, time.Millisecond)
	if p.turn == 0 || d < p.turn {
		p.turn = d
	}
	if bytes < leastRequest/4 {
		return // mostly the time of the turn
	}
	fit := float64(bytes) * float64(requestTime+2*min(p.turn, longestTurn)) / float64(d)
	if p.bytes == 0 {
		p.bytes = firstRequest
	}
	p.bytes = max(leastRequest, int64(min((float64(p.bytes)+fit)/2, mostRequest)))
}
