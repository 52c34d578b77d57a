package subscriber

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// longRun scales what a test does: WAPTSYNC_TEST_SCALE times as much.
func longRun(n int) int {
	if f, err := strconv.Atoi(os.Getenv("WAPTSYNC_TEST_SCALE")); err == nil && f > 0 {
		return n * f
	}
	if testing.Short() {
		return max(n/4, 1)
	}
	return n
}

// newRandom makes a source of chance that WAPTSYNC_TEST_SEED repeats.
func newRandom(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("WAPTSYNC_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// points are all the places in which a commit can be cut off, in their order.
var points = []string{"staged", "synced", "renamed-files", "renamed-index", "deleted", "stored", "acked"}

var errKilled = errors.New("killed here")

// killer ends a remote at a point, like SIGKILL: nothing more is written.
type killer struct {
	mu    sync.Mutex
	armed string
	skip  int // times to let the point pass
	dead  chan struct{}
	c     *checker
}

func (k *killer) arm(point string, skip int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed, k.skip, k.dead = point, skip, make(chan struct{})
}

// at is the failpoint. Once dead, it lets nothing pass any more.
func (k *killer) at(point string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.dead:
		return errKilled
	default:
	}
	if point != k.armed {
		return nil
	}
	if k.skip--; k.skip >= 0 {
		return nil
	}
	if k.c != nil {
		k.c.down.Store(true)
	}
	close(k.dead)
	return errKilled
}

// A remote is killed between every two steps of a commit, again and again, while
// a WAPT Server works at the main. Clients never see an index that is ahead of its
// files, but for those files that the kill itself parted from their index: that
// lasts until the remote runs again, and needs no main to be over.
func TestKilledAtEachStepOfACommitClientsSeeNothing(t *testing.T) {
	for _, md5 := range []bool{true, false} {
		t.Run(map[bool]string{true: "events with MD5", false: "and without"}[md5], func(t *testing.T) {
			rnd := newRandom(t)
			m := startMain(t)
			m.md5 = md5
			repo := newRepo(m, rnd)
			for range 8 {
				repo.upload(100 + rnd.IntN(40_000))
			}
			repo.index()
			m.mark()
			r := newRemote(t, m, "colmar")
			r.parts = true
			k := &killer{dead: make(chan struct{})}
			r.prepare = func(r *Replica) { r.failpoint = k.at }
			r.start()
			r.reached()
			c := r.watch("Packages")
			k.c = c
			kills := make(map[string]int)
			for round := range longRun(4 * len(points)) {
				point := points[round%len(points)]
				k.arm(point, rnd.IntN(2))
				for range 1 + rnd.IntN(3) {
					repo.step(40_000)
				}
				select {
				case <-k.dead:
				case <-time.After(300 * time.Millisecond): // nothing more comes to that point
					continue
				}
				kills[point]++
				r.stop()
				k.arm("", 0)
				r.start()
				waitFor(t, 10*time.Second, r.recovered)
				c.up()
			}
			// On a slow machine the last kill may come after its round.
			r.stop()
			k.arm("", 0)
			r.start()
			waitFor(t, 10*time.Second, r.recovered)
			c.up()
			r.reached()
			c.end()
			r.same()
			t.Logf("killed %v", kills)
			for _, p := range points {
				if kills[p] == 0 && longRun(1) > 1 {
					t.Errorf("never killed at %q", p)
				}
			}
		})
	}
}

// recovered says whether no journal is left.
func (r *testRemote) recovered() string {
	if _, err := os.Lstat(filepath.Join(r.dir, hidden, stageName, journalName)); err == nil {
		return "the journal is still there"
	}
	return ""
}

// A kill between the renames that belong together is made up for at the next
// start, without the main.
func TestKilledBetweenIndexAndFileItIsFinishedWithoutTheMain(t *testing.T) {
	for _, point := range []string{"renamed-index", "renamed-files"} {
		t.Run(point, func(t *testing.T) {
			rnd := newRandom(t)
			m := startMain(t)
			m.md5 = true
			repo := newRepo(m, rnd)
			a, b := repo.upload(3000), repo.upload(200_000)
			repo.index()
			m.mark()
			r := newRemote(t, m, "colmar")
			k := &killer{dead: make(chan struct{})}
			r.prepare = func(r *Replica) { r.failpoint = k.at }
			r.start()
			r.reached()
			// Once for the index' batch without replaced files, which is not to be hit.
			k.arm(point, map[string]int{"renamed-index": 0, "renamed-files": 1}[point])
			repo.replace(a, 3000)
			repo.replace(b, 210_000)
			repo.index()
			<-k.dead
			r.stop()
			if point == "renamed-index" {
				if got, _ := os.ReadFile(r.path(a)); string(got) == string(m.read(a)) {
					t.Fatal("the file was renamed before the kill: the test shows nothing")
				}
			}
			m.options.Listen = m.server.Addr()
			m.stop()
			k.arm("", 0)
			r.start()
			for _, p := range []string{"Packages", a, b} {
				r.has(p, m.read(p))
			}
			c := r.watch("Packages")
			m.start()
			m.publish(a)
			r.reached()
			c.end()
			c.neverBetween()
			r.same()
		})
	}
}
