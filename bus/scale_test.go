package bus

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// A thousand remotes have a thousand accounts; a change of one must not take
// long, and must not be felt by the others.
func TestAThousandRemotesAreAppliedSoon(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a thousand keys")
	}
	b := startBus(t)
	_, _, feed := b.victim(t)
	list := make([]ManagedRemote, 1000)
	for i := range list {
		list[i] = ManagedRemote{Name: fmt.Sprintf("r%d", i), ID: newIdentityForTest(t).ID(), Shares: b.options.Shares}
	}
	_, err := b.options.Registry.Sync(list)
	must(t, err)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	must(t, b.Apply())
	first := time.Since(begin)
	runtime.GC()
	runtime.ReadMemStats(&after)
	begin = time.Now()
	must(t, b.options.Registry.SetPaused("r7", true))
	must(t, b.Apply())
	t.Logf("first %v, one change %v, %d KiB of memory", first, time.Since(begin), int64(after.HeapAlloc-before.HeapAlloc)>>10)
	// Half a second on two cores; the race detector takes ten times that.
	if d := time.Since(begin); d > 20*time.Second {
		t.Errorf("one change took %v", d)
	}
	b.mustFollow(t, feed, "after", 20*time.Second)
}
