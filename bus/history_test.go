package bus

import (
	"slices"
	"testing"
	"time"
)

func TestHistoryEndsOlderGenerationsWhereEventsWereLost(t *testing.T) {
	var h history
	ids := make([]Position, 0, maxGenerations+2)
	for i := range maxGenerations + 2 {
		g := testGeneration
		g[0] = byte(i)
		h = h.begin(g, uint64(10*i+1))
		ids = append(ids, Position{Generation: g, Seq: uint64(10*i + 1), MainTime: time.Now()})
	}
	if len(h) != maxGenerations {
		t.Fatalf("%d generations", len(h))
	}
	again, err := parseHistory(h.String())
	if err != nil || !slices.Equal(again, h) {
		t.Fatalf("%s came back as %s, %v", h, again, err)
	}
	misfit := func(h history, p Position) bool {
		return h.misfit(p, 10_000, time.Now(), defaultTombstoneTTL) != ""
	}
	for i, p := range ids {
		if got, want := misfit(h, p), i < 2; got != want {
			t.Errorf("generation %d: misfit %v, want %v", i, got, want)
		}
	}
	// Only the events up to 299 came back.
	h = h.begin(testGeneration, 300)
	for i, p := range ids {
		if got, want := misfit(h, p), i < 3 || i >= 30; got != want {
			t.Errorf("after the loss, generation %d: misfit %v, want %v", i, got, want)
		}
	}
	for _, s := range []string{"x", "x:1", testGeneration.String(), testGeneration.String() + ":-1", ",", h.String() + ","} {
		if _, err := parseHistory(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}
