package publisher

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestChurnConverges does random things to a folder, faster than they can be
// published, and wants the events to say in the end what is there. Nothing but
// watch events tells of them: the next timed scan is an hour away.
func TestChurnConverges(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Hold = HoldLimit{Paths: 1 << 30, Share: 1} })
			r.write("keep", "so that the folder is never empty")
			c := churn{r, rand.New(rand.NewPCG(seed, 0))}
			c.run(100)
			r.startLive()
			c.run(400)
			r.converges()
			r.restart(func() { c.run(50) })
			c.run(200)
			r.converges()
		})
	}
}

type churn struct {
	*rig
	rnd *rand.Rand
}

// name is one of few, at up to three levels, so that things meet.
func (c churn) name() string {
	p := fmt.Sprint("n", c.rnd.IntN(6))
	for c.rnd.IntN(3) > 0 && len(p) < 8 {
		p += fmt.Sprint("/n", c.rnd.IntN(6))
	}
	return c.path(p)
}

// run does n things; those that the folder's state does not allow fail.
func (c churn) run(n int) {
	for i := range n {
		p := c.name()
		switch c.rnd.IntN(12) {
		case 0, 1, 2:
			_ = os.MkdirAll(filepath.Dir(p), 0o755)
			_ = os.WriteFile(p, noise(i, c.rnd.IntN(60000)), 0o644)
		case 3:
			if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
				_, _ = fmt.Fprint(f, i)
				_ = f.Close()
			}
		case 4:
			_ = os.MkdirAll(p, 0o755)
		case 5, 6:
			_ = os.Rename(p, c.name())
		case 7:
			_ = os.Remove(p)
		case 8:
			_ = os.RemoveAll(p)
		case 9:
			_ = os.Symlink("nowhere", p)
		case 10:
			_ = os.Chmod(p, 0o700|os.FileMode(c.rnd.IntN(0o100)))
		case 11:
			_ = os.Chtimes(p, time.Time{}, time.Unix(int64(c.rnd.IntN(1000)), int64(i)))
		}
		if c.rnd.IntN(50) == 0 {
			// Let the publisher come in between.
			before := c.log.Last()
			deadline := time.Now().Add(20 * time.Millisecond)
			for c.log.Last() == before && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
		}
	}
}
