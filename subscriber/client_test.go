package subscriber

import (
	"testing"
	"time"
)

// A WAPT Server works as fast as it can, and the remote follows.
func TestClientsOfABusyRepositoryAlwaysFindWhatTheIndexNames(t *testing.T) {
	rnd := newRandom(t)
	m := startMain(t)
	m.md5 = true
	repo := newRepo(m, rnd)
	for range 8 {
		repo.upload(100 + rnd.IntN(60_000))
	}
	repo.index()
	m.mark()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	c := r.watch("Packages")
	for range longRun(120) {
		repo.step(60_000)
		if rnd.IntN(4) == 0 {
			timer := time.NewTimer(time.Duration(rnd.IntN(30)) * time.Millisecond)
			<-timer.C
		}
	}
	r.reached()
	c.end()
	r.same()
}
