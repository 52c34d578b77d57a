package subscriber

import (
	"testing"
	"time"

	"waptsync/alive"
)

func TestACommitterThatDoesNotAnswerIsStuck(t *testing.T) {
	const limit = time.Second
	m := startMain(t)
	m.put("f", []byte("one"))
	m.mark()
	r := newRemote(t, m, "colmar")
	stuck, release := make(chan struct{}), make(chan struct{})
	r.prepare = func(r *Replica) {
		first := true
		r.failpoint = func(point string) error {
			if point == "staged" && first {
				first = false
				close(stuck)
				<-release
			}
			return nil
		}
	}
	r.start()
	<-stuck
	is := func(want bool, limit time.Duration, what string) {
		t.Helper()
		waitFor(t, time.Minute, func() string {
			if err := r.r.Stuck(limit); (err != nil) != want {
				return sprint("%s: %v", what, err)
			}
			return ""
		})
	}
	is(true, limit, "a committer that stands still")
	close(release)
	r.reached()
	is(false, 2*alive.Period, "a committer that goes on")
	r.stop()
	if err := r.r.Stuck(0); err != nil {
		t.Errorf("after its end: %v", err)
	}
}
