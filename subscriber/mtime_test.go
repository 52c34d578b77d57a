package subscriber

import (
	"testing"

	"waptsync/objects"
)

// An index changes three times a second for a minute: no second may be shown
// by two contents, though far fewer than were shown are remembered.
func TestNoSecondComesAgainHoweverLongAnIndexIsBusy(t *testing.T) {
	var h shownSeconds
	shown := make(map[int64]int)
	for i := range 180 {
		digest := objects.Sum([]byte(sprint("version %d", i)))
		mtime := int64(1_000+i/3) * 1e9
		for h.taken(mtime, digest) {
			mtime += 1e9
		}
		h = h.with(shownAs(mtime, digest))
		if before, again := shown[wholeSecond(mtime)]; again {
			t.Fatalf("version %d has the second of version %d", i, before)
		}
		shown[wholeSecond(mtime)] = i
	}
	if old := int64(-1e6) * 1e9; h.taken(old, objects.Sum(nil)) {
		t.Error("a file from long before the run is bumped")
	}
}
