package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A heap keeps what it once needed: after a first copy of a million files twice
// what is in use. When a service has nothing to do any more, it gives that back.
const (
	heapLook = 10 * time.Second
	// quietBytes allocated between two looks are no work.
	quietBytes = 2 << 20
	// workBytes allocated since the heap was last given back are worth another
	// collection, which takes 0.1 s of processor for a million files.
	workBytes = 32 << 20
	// heapSettles is when the NATS server has dropped the caches that work filled
	// (nats-server 2.15: 2 minutes for those of subjects).
	heapSettles = 150 * time.Second
)

// heapRest decides when the heap is given back.
type heapRest struct {
	seen, given uint64    // bytes allocated by the last look and by the last time
	later       time.Time // another time, if not zero
}

// look says whether to give the heap back now, with allocated bytes since the start.
func (r *heapRest) look(now time.Time, allocated uint64) bool {
	quiet := allocated-r.seen < quietBytes
	r.seen = allocated
	switch {
	case !quiet:
		return false
	case allocated-r.given >= workBytes:
		r.later = now.Add(heapSettles)
	case !r.later.IsZero() && now.After(r.later):
		r.later = time.Time{}
	default:
		return false
	}
	r.given = allocated
	return true
}

// restHeap gives the heap back while the service rests, until ctx ends.
func restHeap(ctx context.Context) {
	look := time.NewTicker(heapLook)
	defer look.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var r heapRest
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			metrics.Read(sample)
			if r.look(now, sample[0].Value.Uint64()) {
				debug.FreeOSMemory()
			}
		}
	}
}
