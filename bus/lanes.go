package bus

import "sync"

// lanes runs jobs of many remotes on a fixed number of goroutines: one job of
// each remote in turn, so that a remote with much to ask delays the others by
// one job at most.
type lanes struct {
	limit int // jobs that one remote may have waiting and running

	mu      sync.Mutex
	work    sync.Cond
	waiting map[string][]func()
	held    map[string]int // waiting and running, by remote
	turn    []string       // remotes with waiting jobs, next first
	closed  bool
	workers sync.WaitGroup
}

func newLanes(workers, limit int) *lanes {
	l := &lanes{limit: limit, waiting: map[string][]func(){}, held: map[string]int{}}
	l.work.L = &l.mu
	for range workers {
		l.workers.Go(l.run)
	}
	return l
}

// submit returns false if the remote has too much under way, or after close.
// It does not block.
func (l *lanes) submit(remote string, job func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.held[remote] >= l.limit {
		return false
	}
	l.held[remote]++
	if len(l.waiting[remote]) == 0 {
		l.turn = append(l.turn, remote)
	}
	l.waiting[remote] = append(l.waiting[remote], job)
	l.work.Signal()
	return true
}

func (l *lanes) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.turn) == 0 && !l.closed {
			l.work.Wait()
		}
		if l.closed {
			return
		}
		remote := l.turn[0]
		l.turn = l.turn[1:]
		job := l.waiting[remote][0]
		if rest := l.waiting[remote][1:]; len(rest) > 0 {
			l.waiting[remote] = rest
			l.turn = append(l.turn, remote)
		} else {
			delete(l.waiting, remote)
		}
		l.mu.Unlock()
		job()
		l.mu.Lock()
		if l.held[remote]--; l.held[remote] == 0 {
			delete(l.held, remote)
		}
	}
}

// close drops what waits and returns when what runs is done.
func (l *lanes) close() {
	l.mu.Lock()
	l.closed = true
	l.work.Broadcast()
	l.mu.Unlock()
	l.workers.Wait()
}
