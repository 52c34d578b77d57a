package subscriber

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// A WAPT Server works as fast as it can; the remote is restarted and its
// connection lost at random meanwhile.
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
	r.parts = true
	r.start()
	r.reached()
	c := r.watch("Packages")
	for range longRun(150) {
		repo.step(60_000)
		switch rnd.IntN(12) {
		case 0:
			r.restart()
		case 1:
			r.cut()
		case 2, 3, 4:
			pause(time.Duration(rnd.IntN(30)) * time.Millisecond)
		}
	}
	r.reached()
	c.end()
	r.same()
}

// Where each content has its name, as with WAPT since 1.8, there is not even the
// time between two renames.
func TestClientsOfContentNamedPackagesNeverMeetTheTimeBetweenTwoRenames(t *testing.T) {
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
	r.parts = true
	r.start()
	r.reached()
	c := r.watch("Packages")
	for range longRun(150) {
		switch rnd.IntN(4) {
		case 0: // an upload
			repo.upload(100 + rnd.IntN(60_000))
		case 1: // a new version, the old one deleted before the index is written
			old := repo.any()
			repo.upload(100 + rnd.IntN(60_000))
			repo.remove(old)
		case 2: // signed again: new contents, and so new names
			for _, name := range slices.Sorted(maps.Keys(repo.packages))[:4] {
				repo.upload(len(repo.packages[name]))
				repo.remove(name)
			}
		case 3:
			if len(repo.packages) > 6 {
				repo.remove(repo.any())
			}
		}
		repo.index()
		switch rnd.IntN(12) {
		case 0:
			r.restart()
		case 1:
			r.cut()
		case 2, 3, 4:
			pause(time.Duration(rnd.IntN(30)) * time.Millisecond)
		}
	}
	r.reached()
	c.end()
	c.neverBetween()
	r.same()
}

func pause(d time.Duration) { <-time.After(d) }

// cut loses the remote's feed, as a broken connection does.
func (r *testRemote) cut() {
	r.r.mu.Lock()
	defer r.r.mu.Unlock()
	if r.r.session != nil {
		r.r.session.feed.Close()
	}
}
