package publisher

import (
	"testing"
	"time"
)

func TestASessionThatDoesNotAnswerIsStuck(t *testing.T) {
	const limit = time.Second
	r := newRig(t)
	r.write("f", "x")
	r.startLive()
	r.waitFor("an idle share to be alive", func() bool { return r.Stuck(2*healthPeriod) == nil })
	release := make(chan struct{})
	must(t, r.call(func(*session) { <-release }))
	r.waitFor("a session that stands still to be stuck", func() bool { return r.Stuck(limit) != nil })
	close(release)
	r.waitFor("a session that goes on to be alive", func() bool { return r.Stuck(limit) == nil })
	r.stopRun()
	if err := r.Stuck(0); err != nil {
		t.Errorf("after its end: %v", err)
	}
}
