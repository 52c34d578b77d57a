package main

import "testing"

func TestGrowthLeavesRoomToSmallHeapsOnly(t *testing.T) {
	for _, c := range []struct {
		name string
		live uint64
		want int
	}{
		{"nothing yet", 0, 400},
		{"a start", 6 << 20, 200},
		{"as much as the room", heapRoom, 100},
		{"a large tree", 1 << 30, collectAt},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := growth(c.live); got != c.want {
				t.Errorf("%d %%, want %d %%", got, c.want)
			}
		})
	}
}
