package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// collectAt is by how many percent of what is in use the heap grows between two
	// collections. A service keeps its tree for ever and holds messages for a moment:
	// less than half of Go's own value spares a tenth of the memory, and costs a
	// percent of the processor while bytes flow.
	collectAt = 40
	// heapRoom is what a small heap may grow by all the same. It begins with
	// nothing, and a start would collect dozens of times for what it keeps anyway:
	// a third of its processor time.
	heapRoom = 12 << 20
)

// growth is collectAt, or more for a heap of so many bytes in use that is small.
func growth(live uint64) int {
	return int(min(max(heapRoom*100/max(live, 1), collectAt), 400))
}

// tuneHeap has the heap collected as above until the process ends.
func tuneHeap() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 0
	set := func() {
		metrics.Read(live)
		if p := growth(live[0].Value.Uint64()); p != percent {
			percent = p
			debug.SetGCPercent(p)
		}
	}
	set()
	// What nothing refers to is told of after each collection.
	type cycle struct{ _ *byte }
	var collected func(*cycle)
	collected = func(c *cycle) {
		set()
		runtime.SetFinalizer(c, collected)
	}
	runtime.SetFinalizer(new(cycle), collected)
}
