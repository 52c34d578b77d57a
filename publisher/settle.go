package publisher

import "time"

// settled is whether a file's writer is done.
type settled uint8

const (
	settleUnknown settled = iota // nobody can say: wait for a quiet period
	settleDone
	settleBusy
)

const (
	settleMin  = 2 * time.Millisecond   // between two questions whether a writer is done, at first
	settleMax  = 250 * time.Millisecond // and at most
	settleWarn = 10 * time.Minute       // then the status tells of the writer

	// settleFraction bounds what asking costs, as a part of the time that the
	// writer has taken already: a copy of an hour is asked about at the slowest pace.
	settleFraction = 100

	// tick is more than the granularity of time stamps in kernels that take
	// them from the timer interrupt (10 ms at HZ=100): two changes within one
	// can leave the same ctime, so a ctime that young proves nothing.
	tick = 20 * time.Millisecond
)

// quiet says for how long a file must still stay as it is until its writer
// counts as done without a lease: quiet after its last change.
func (st stat) quiet(now time.Time, quiet time.Duration) time.Duration {
	last := max(st.mtime, st.ctime)
	// A date in the future is one that somebody set: the ctime then decides, or
	// the caller's second look.
	if st.mtime > now.UnixNano() && st.ctime != 0 {
		last = st.ctime
	}
	age := time.Duration(now.UnixNano() - last)
	if age < 0 {
		return quiet
	}
	return max(0, quiet-age)
}

// settlePause is how long to wait before a writer is asked for again.
func settlePause(busy, last time.Duration) time.Duration {
	return min(settleMax, max(settleMin, 2*last, busy/settleFraction))
}
