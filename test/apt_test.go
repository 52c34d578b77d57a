//go:build linux

package test

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// TestAptNeverMissesANamedFile: a Debian archive is upgraded again and again
// while services and link fail, and apt itself updates from each remote and
// downloads every package.
func TestAptNeverMissesANamedFile(t *testing.T) {
	for _, program := range []string{"apt-get", "apt-ftparchive", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s: on Debian it is in apt, apt-utils or dpkg", program)
		}
	}
	for _, c := range []struct {
		name           string
		byHash, itself bool
	}{
		{"by-hash", true, false},
		{"without by-hash", false, false},
		{"Release names itself", true, true},
	} {
		t.Run(c.name, func(t *testing.T) { runApt(t, c.byHash, c.itself) })
	}
}

func runApt(t *testing.T, byHash, itself bool) {
	rng := newRandom(t)
	sys := waptsyncSystem(t, []string{"colmar", "ulm"}, "debian")
	a := newArchive(t, seeded(rng.Uint64()), sys.dir("debian"), byHash, itself, 12)
	if byHash {
		// A remote that catches up leaps over generations of by-hash files, which
		// the main forgot long ago. Who holds an old Release still needs them.
		for i := range sys.remotes {
			r := sys.remotes[i].host
			config := fmt.Sprintf("[share.debian]\ndir = %q\ndelete-grace = \"15s\"\n", r.dir("debian"))
			file := write(t, []byte(config), t.TempDir(), "subscribe.toml")
			sys.remotes[i].start = func() { r.run("subscribe", "-c", file, "--data", r.data) }
		}
	}
	sys.startMain()
	for _, r := range sys.remotes {
		r.start()
	}
	sys.converged(time.Minute)

	seen := &aptTally{releases: map[string]int{}, meanwhile: map[string]int{}, failures: map[string]int{}}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	for _, r := range sys.remotes {
		c := newAptClient(t, r.name, r.dir("debian"), a.packages, byHash, seen)
		working.Go(func() { c.run(ctx) })
	}
	d := newTrouble(t, seeded(rng.Uint64()), sys)
	begin := time.Now()
	steps := 0
	for ; aptGoesOn(begin); steps++ {
		a.step()
		for range 5 {
			d.tick()
			wait(a.rng, 250)
		}
	}
	d.settle()
	sys.converged(2 * time.Minute)
	stop()
	working.Wait()
	t.Logf("%d upgrades of the archive in %v; disturbed by: %s", steps, time.Since(begin).Round(time.Second), counts(d.done))
	t.Log(seen)
	for _, f := range seen.forgiven {
		t.Log("forgiven: ", f)
	}
	for _, e := range seen.examples {
		t.Error(e)
	}
	if byHash && seen.vain > seen.updates/10 {
		t.Errorf("%d of %d updates did not find an index by its digest", seen.vain, seen.updates)
	}
	if seen.updates < 5 {
		t.Errorf("only %d updates went through", seen.updates)
	}
}

func aptGoesOn(begin time.Time) bool {
	switch {
	case *soakFor > 0:
		return time.Since(begin) < *soakFor/3
	case long():
		return time.Since(begin) < 3*time.Minute
	}
	return time.Since(begin) < time.Duration(scaled(4, 7, 0))*time.Second
}
