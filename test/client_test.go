//go:build linux

package test

import (
	"context"
	"flag"
	"sync"
	"testing"
	"time"
)

// How long the clients work; `make soak` and the long run give more.
var (
	soakFor    = flag.Duration("soak.for", 0, "how long the client tests run; 0 means 20s, and with WAPTSYNC_LONG=1 until -soak.checks")
	soakChecks = flag.Int("soak.checks", 100_000, "checked downloads that a long client test makes at least")
)

// TestClientsNeverMissANamedFile: while a WAPT Server's steps change the main
// and services and link fail, clients of each remote get the index over HTTP
// and every file that it names, and each is what the index says.
func TestClientsNeverMissANamedFile(t *testing.T) {
	rng := newRandom(t)
	runClients(t, rng, waptsyncSystem(t, []string{"colmar", "ulm"}, "wapt", "wapt-host")).judge(t)
}

// clientRun is what came out of a run.
type clientRun struct {
	tally   *tally
	clients int
}

func runClients(t *testing.T, rng *random, sys *system) clientRun {
	t.Helper()
	w := newWriter(t, seeded(rng.Uint64()), sys.dir("wapt"), sys.dir("wapt-host"), 40)
	sys.startMain()
	for _, r := range sys.remotes {
		r.start()
	}
	sys.converged(2 * time.Minute)

	seen := newTally()
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	for _, r := range sys.remotes {
		name := r.name
		for range 2 {
			c := newIndexClient(newClient(t, "packages "+name, r.dir("wapt"), seen, seeded(rng.Uint64()), 4*time.Millisecond))
			working.Go(func() { c.run(ctx) })
			name += "'"
		}
		hosts := newHostClient(newClient(t, "hosts "+name, r.dir("wapt-host"), seen, nil, 10*time.Millisecond), w.hosts[:keptHosts:keptHosts])
		working.Go(func() { hosts.run(ctx) })
		installer := newHostClient(newClient(t, "installer "+name, r.dir("wapt"), seen, nil, 50*time.Millisecond), []string{agentFile})
		working.Go(func() { installer.run(ctx) })
	}

	d := newTrouble(t, seeded(rng.Uint64()), sys)
	begin := time.Now()
	for steps := 0; goesOn(begin, seen); steps++ {
		w.step()
		d.tick()
		// Bursts, as when a console uploads many, and calm between them.
		wait(w.rng, []int{1, 20, 200}[steps/20%3])
	}
	d.settle()
	w.settle()
	t.Logf("%s: %v of %s", sys.name, time.Since(begin).Round(time.Second), counts(w.done))
	t.Logf("%s: disturbed by: %s", sys.name, counts(d.done))
	settling := time.Now()
	sys.converged(3 * time.Minute)
	t.Logf("%s: equal %v after the last change", sys.name, time.Since(settling).Round(time.Millisecond))
	return clientRun{seen, 2 * len(sys.remotes)}
}

// goesOn says whether the run shall last longer.
func goesOn(begin time.Time, seen *tally) bool {
	switch {
	case *soakFor > 0:
		return time.Since(begin) < *soakFor
	case long():
		return seen.checked() < *soakChecks
	}
	return time.Since(begin) < time.Duration(scaled(8, 20, 0))*time.Second
}

// judge prints what the clients saw and fails the test if it was not all right.
func (r clientRun) judge(t *testing.T) {
	t.Helper()
	t.Log(r.tally)
	c := r.tally
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.examples {
		t.Errorf("%s", e)
	}
	seen := 0
	for _, n := range c.distinct {
		seen += n
	}
	// Each time that is forgiven ends a round with another index.
	if c.meanwhile > seen {
		t.Errorf("%d mismatches forgiven with only %d indexes seen", c.meanwhile, seen)
	}
	if c.downloads < 500 || seen < 2*r.clients {
		t.Errorf("the clients saw too little to judge: %d downloads, %d indexes", c.downloads, seen)
	}
}
