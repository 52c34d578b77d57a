// Package alive tells loops that go on from one that is stuck, for a service
// manager's watchdog.
//
// A loop that must never stand still takes a turn at least every [Period], also
// when it has nothing to do, and more often in what takes long. So a deadlock and a
// call that does not return look the same: no turn is taken.
package alive

import (
	"fmt"
	"sync"
	"time"
)

// Period is the longest that a loop waits for others without a turn. While it
// waits for a clock it rests.
const Period = 2 * time.Second

// Loop is one such loop. The zero value rests. Its methods may be called
// concurrently.
type Loop struct {
	mu   sync.Mutex
	runs bool
	last time.Time
}

// Turn says that the loop goes on.
func (l *Loop) Turn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs, l.last = true, time.Now()
}

// Rest says that no turn is to be expected until the next one.
func (l *Loop) Rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = false
}

// Silent is how long ago the last turn was; 0 while the loop rests.
func (l *Loop) Silent() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.runs {
		return 0
	}
	return time.Since(l.last)
}

// Check returns an error when the loop is silent for longer than limit. what
// names the loop in it.
func (l *Loop) Check(what string, limit time.Duration) error {
	if s := l.Silent(); s > limit {
		return fmt.Errorf("%s is stuck: it took no turn for %s", what, s.Round(time.Millisecond))
	}
	return nil
}
