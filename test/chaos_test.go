//go:build linux

package test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRandomOperations changes a main's folder at random and at full speed
// while both sides are stopped, started and killed, and while readers look at
// the remotes all the time: they never see a file that is not whole, nor a
// name that no writer gave; and when the changes end, the trees are equal.
func TestRandomOperations(t *testing.T) {
	rng := newRandom(t)
	m, one := pair(t, "wapt")
	two := newRemote(t, "two", "wapt")
	m.admit(two)
	two.start()
	c := newChurn(seeded(rng.Uint64()), m.dir("wapt"), 400)
	// Renamed folders and a main killed amid it all can look like a mass deletion.
	trees := &comparison{bumps: 60, tend: m.approveHeld}

	stop := make(chan struct{})
	seen := make(chan []string, 2)
	for _, r := range []*Remote{one, two} {
		go func() { seen <- watch(r.dir("wapt"), stop) }()
	}
	defer func() {
		close(stop)
		for range 2 {
			if s := <-seen; len(s) > 0 {
				t.Errorf("a reader of a remote saw:%s", listed(s))
			}
		}
	}()

	rounds := scaled(4, 10, 100)
	for round := range rounds {
		done := make(chan error, 1)
		go func() { done <- c.run(scaled(100, 300, 500)) }()
		wait(rng, 800)
		disturb(t, rng, m, one, two)
		check(t, <-done)
		if round%3 == 2 || round == rounds-1 {
			t.Logf("round %d: equal after %v", round, trees.wait(t, 2*time.Minute, m, one, two).Round(time.Millisecond))
		}
	}
	one.stop()
	two.stop()
	m.stop()
}

// disturb does something to the services and leaves all of them running.
func disturb(t *testing.T, rng *random, m *Main, one, two *Remote) {
	t.Helper()
	r := one
	if rng.IntN(2) == 0 {
		r = two
	}
	m.checkRuns()
	r.checkRuns()
	switch rng.IntN(6) {
	case 0:
		t.Logf("stopping %s", r.name)
		r.stop()
		wait(rng, 500)
		r.start()
	case 1:
		t.Logf("killing %s", r.name)
		r.kill()
		wait(rng, 500)
		r.start()
	case 2:
		t.Log("killing the main")
		m.kill()
		wait(rng, 500)
		m.launch()
	case 3:
		t.Log("stopping the main")
		m.stop()
		m.launch()
	case 4:
		t.Logf("killing the main and %s", r.name)
		m.kill()
		r.kill()
		wait(rng, 300)
		r.start()
		m.launch()
	case 5: // nothing
	}
}

// wait lets a random time of up to max milliseconds pass, so that what comes
// next hits the services at any point of their work.
func wait(rng *random, max int) {
	time.Sleep(time.Duration(rng.IntN(max*1000)) * time.Microsecond)
}

// TestKillLoop kills the main, a remote or both at random moments under a load
// of changes, over and over, and expects equal trees each time.
func TestKillLoop(t *testing.T) {
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	c := newChurn(seeded(rng.Uint64()), m.dir("wapt"), 100)
	check(t, c.run(200))
	// Renamed folders and a main killed amid it all can look like a mass deletion.
	trees := &comparison{bumps: 60, tend: m.approveHeld}
	for round := range scaled(3, 8, 200) {
		done := make(chan error, 1)
		go func() { done <- c.run(100) }()
		wait(rng, 300)
		victims := 1 + rng.IntN(3)
		if victims&1 != 0 {
			m.kill()
		}
		if victims&2 != 0 {
			r.kill()
		}
		check(t, <-done)
		if victims&2 != 0 {
			r.start()
		}
		if victims&1 != 0 {
			m.launch()
		}
		t.Logf("round %d: equal after %v", round, trees.wait(t, time.Minute, m, r).Round(time.Millisecond))
	}
	r.stop()
	r.start() // clears its stage
	trees.wait(t, time.Minute, m, r)
	for _, left := range files(t, filepath.Join(r.dir("wapt"), hiddenFolder, "stage")) {
		// An interrupted content is kept for a while, to be wanted again.
		if !strings.HasSuffix(left, ".part") {
			t.Errorf("left behind in the stage: %q", left)
		}
	}
}
