package bus

import (
	"slices"
	"sync"
	"testing"
)

func TestLanesGiveEachRemoteItsTurn(t *testing.T) {
	l := newLanes(1, 3)
	var mu sync.Mutex
	var order []string
	block := make(chan struct{})
	started := make(chan struct{})
	done := make(chan struct{}, 10)
	job := func(name string) func() {
		return func() {
			mu.Lock()
			order = append(order, name)
			mu.Unlock()
			done <- struct{}{}
		}
	}
	if !l.submit("greedy", func() { close(started); <-block }) {
		t.Fatal("the first job was refused")
	}
	<-started
	for range 2 {
		if !l.submit("greedy", job("greedy")) {
			t.Fatal("a job within the limit was refused")
		}
	}
	if l.submit("greedy", job("greedy")) {
		t.Error("a job above the limit was taken")
	}
	if !l.submit("modest", job("modest")) {
		t.Fatal("another remote was refused")
	}
	close(block)
	for range 3 {
		<-done
	}
	l.close()
	if want := []string{"greedy", "modest", "greedy"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
	if l.submit("greedy", job("greedy")) {
		t.Error("a job was taken after close")
	}
}
