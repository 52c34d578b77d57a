package subscriber

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// churn changes the main's folder at random and publishes what it did.
type churn struct {
	m     *testMain
	rnd   *rand.Rand
	files map[string]bool
}

func (c *churn) step() {
	p := sprint("d%d/f%d", c.rnd.IntN(4), c.rnd.IntN(12))
	dir, _ := split(p)
	switch n := c.rnd.IntN(10); {
	case n < 6:
		size := []int{0, 100, 5000, 70_000, 900_000, 3 << 20}[c.rnd.IntN(6)]
		_, known := os.Stat(filepath.Join(c.m.dir, dir))
		c.m.write(p, seeded(c.rnd.Uint64(), size))
		if known != nil {
			c.m.publish(dir)
		}
		c.m.publish(p)
		c.files[p] = true
	case n < 8 && c.files[p]:
		must(c.m.t, os.Remove(filepath.Join(c.m.dir, p)))
		c.m.publish(p)
		delete(c.files, p)
	case n == 8:
		to := sprint("d%d/r%d", c.rnd.IntN(4), c.rnd.IntN(12))
		toDir, _ := split(to)
		if !c.files[p] || c.files[to] {
			return
		}
		must(c.m.t, os.MkdirAll(filepath.Join(c.m.dir, toDir), 0o755))
		must(c.m.t, os.Rename(filepath.Join(c.m.dir, p), filepath.Join(c.m.dir, to)))
		e := c.m.event(to)
		e.From = p
		c.m.append(c.m.event(toDir), e, c.m.event(p))
		delete(c.files, p)
		c.files[to] = true
	case n == 9:
		if _, err := os.Stat(filepath.Join(c.m.dir, dir)); err != nil {
			return
		}
		c.m.remove(dir)
		for f := range c.files {
			if within(f, dir) {
				delete(c.files, f)
			}
		}
	}
}

func TestStoppedAtRandomPointsItConverges(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	m := startMain(t)
	c := &churn{m: m, rnd: rnd, files: make(map[string]bool)}
	r := newRemote(t, m, "colmar")
	r.parts = true
	rounds := 25
	if testing.Short() {
		rounds = 6
	}
	for range rounds {
		r.start()
		for range 1 + rnd.IntN(20) {
			c.step()
		}
		timer := time.NewTimer(time.Duration(rnd.IntN(60)) * time.Millisecond)
		<-timer.C
		r.stop()
	}
	r.start()
	r.reached()
	r.same()
}

// A kill between the renames and the state's transaction leaves files that the
// state does not know yet.
func TestStateThatIsBehindTheFolderIsMadeUp(t *testing.T) {
	m := startMain(t)
	m.write("d/a", random(3000))
	m.write("d/b", random(100_000))
	m.write("d/c", random(10))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.stop()
	old, err := os.ReadFile(r.state)
	must(t, err)
	r.start()
	m.put("d/a", random(3000))
	m.put("d/b", random(110_000))
	m.put("d/new/x", random(500))
	m.publish("d/new")
	m.remove("d/c")
	r.reached()
	r.stop()
	must(t, os.WriteFile(r.state, old, 0o600))
	r.start()
	r.reached()
	r.same()
	rep := r.r.Report()
	if rep.Received != 0 {
		t.Errorf("%d bytes came again", rep.Received)
	}
	if rep.Drift != 0 || rep.Trash != 0 {
		t.Errorf("own work is taken for local changes: %+v", rep)
	}
}

// An older state than the stream's first event must lead to a reconcile.
func TestRolledBackStreamLeadsToAReconcile(t *testing.T) {
	m := startMain(t)
	m.put("a", random(1000))
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	m.put("late", random(1000))
	r.reached()
	r.stop()
	m.options.Listen = m.server.Addr()
	m.stop()
	must(t, os.RemoveAll(m.options.Dir))
	must(t, os.Remove(filepath.Join(m.dir, "late")))
	m.start()
	m.publishAll()
	r.start()
	r.reached()
	r.same()
	if got := r.trash(); len(got) != 1 || got[0] != "late" {
		t.Errorf("the trash has %q", got)
	}
}
