package subscriber

import (
	"context"
	"slices"
	"sync"
	"time"

	"waptsync/bandwidth"
)

// Line keeps what a remote takes from its line to the main within rules of
// bandwidth: its own and the main's, of which the stricter holds. It is one for
// all shares. Its methods may be called concurrently.
//
// It is a token bucket: what may be asked for is saved up, and asked for then.
// What is asked for comes as fast as the line brings it, so a portion is small.
// The shares take turns, so that a host package waits for some portions of a
// large package, and never for all of it.
//
// The rules are asked anew at each request, and once a second while one waits:
// no timer is set for a moment that a clock could miss.
type Line struct {
	now func() time.Time

	mu        sync.Mutex
	own, main bandwidth.Rule
	passing   bool
	limit     bandwidth.Rate // that balance was saved at
	balance   float64        // bytes saved up; below 0 where more came than was thought
	filled    time.Time      // when it was last brought up to date
	turns     []*turn        // that wait, oldest first
	served    map[string]uint64
	grants    uint64
	changed   chan struct{} // closed when those that wait shall look again
}

// turn is one request that waits.
type turn struct{ share string }

const (
	// portionTime is how much of the line one request may take.
	portionTime  = 250 * time.Millisecond
	leastPortion = 16 << 10
	// arrears is what the bucket holds for requests that were not woken in time.
	arrears = time.Second
	// lineLook is how often a rule is asked while a request waits.
	lineLook = time.Second
)

// NewLine makes a line without rules, by the host's clock and its time zone.
func NewLine() *Line {
	return &Line{now: time.Now, served: make(map[string]uint64), changed: make(chan struct{})}
}

// LineState is how a line is used now.
type LineState struct {
	Own, Main bandwidth.Rule
	// Passing: the rules do not hold, see [Line.Pass].
	Passing bool
	Now     bandwidth.Allowance
	Until   time.Time // when Now changes; zero for never
}

// SetOwn replaces the remote's own rule.
func (l *Line) SetOwn(r bandwidth.Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own = r
	l.tell()
}

// SetMain replaces the rule that the main gave.
func (l *Line) SetMain(r bandwidth.Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.main = r
	l.tell()
}

// Pass lets everything flow, whatever the rules say, or makes them hold again.
func (l *Line) Pass(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passing = on
	l.tell()
}

// State tells how the line is used now.
func (l *Line) State() LineState {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	out := LineState{Own: l.own, Main: l.main, Passing: l.passing, Now: l.allowed(now)}
	if !l.passing {
		out.Until = bandwidth.Until(now, l.own, l.main)
	}
	return out
}

// barred says whether something of the share waits for its hours, and until when
// if that is known.
func (l *Line) barred(share string) (is bool, until time.Time) {
	if l == nil {
		return false, time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !slices.ContainsFunc(l.turns, func(t *turn) bool { return t.share == share }) || l.allowed(now).Allows(share) {
		return false, time.Time{}
	}
	return true, bandwidth.Opens(now, share, l.own, l.main)
}

// allowed is what may flow; l.mu must be held, here and below.
func (l *Line) allowed(now time.Time) bandwidth.Allowance {
	if l.passing {
		return bandwidth.Allowance{}
	}
	return bandwidth.At(now, l.own, l.main)
}

func (l *Line) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// take returns when up to want bytes of the share may be asked for, and how many.
// Its only error is ctx's.
func (l *Line) take(ctx context.Context, share string, want int64) (int64, error) {
	t := &turn{share}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.turns) == 0 {
		l.fill(l.limit, portionTime) // nobody waited: nothing is in arrears
	}
	l.turns = append(l.turns, t)
	defer func() {
		l.turns = slices.DeleteFunc(l.turns, func(o *turn) bool { return o == t })
		l.tell()
	}()
	for {
		n, wait := l.grant(t, want)
		if n > 0 {
			return n, nil
		}
		changed := l.changed
		l.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
		l.mu.Lock()
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
}

// grant gives a turn what it may ask for now, or says when to look again.
func (l *Line) grant(t *turn, want int64) (n int64, wait time.Duration) {
	a := l.allowed(l.now())
	if !a.Allows(t.share) {
		return 0, lineLook
	}
	l.fill(a.Limit, arrears)
	if a.Limit == 0 {
		return want, 0
	}
	if l.next(a) != t {
		return 0, lineLook // woken by the one whose turn it is
	}
	n = min(want, portion(a.Limit))
	if lacks := float64(n) - l.balance; lacks > 0 {
		seconds := lacks / a.Limit.Bytes()
		return 0, min(time.Duration(seconds*float64(time.Second))+time.Millisecond, lineLook)
	}
	l.balance -= float64(n)
	l.grants++
	l.served[t.share] = l.grants
	return n, 0
}

// portion is how much one request may ask for.
func portion(limit bandwidth.Rate) int64 {
	return max(leastPortion, int64(limit.Bytes()*portionTime.Seconds()))
}

// fill brings the bucket up to date; it holds what the limit allows in most, and
// a portion in any case.
func (l *Line) fill(limit bandwidth.Rate, most time.Duration) {
	now := l.now()
	passed := max(0, now.Sub(l.filled).Seconds())
	l.filled = now
	if limit != l.limit {
		// What was saved, or owed, was so by another measure.
		l.limit, l.balance = limit, 0
		return
	}
	l.balance = min(l.balance+passed*limit.Bytes(), max(limit.Bytes()*most.Seconds(), leastPortion))
}

// next is whose turn it is: that of the share which was served the longest ago.
func (l *Line) next(a bandwidth.Allowance) (first *turn) {
	for _, t := range l.turns {
		if a.Allows(t.share) && (first == nil || l.served[t.share] < l.served[first.share]) {
			first = t
		}
	}
	return first
}

// settle corrects what was taken by what came in truth.
func (l *Line) settle(taken, came int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit != 0 {
		l.balance += float64(taken - came)
	}
}
