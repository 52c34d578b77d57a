//go:build linux

package test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestPowerCut cuts the power of a remote, of a main, or of both, again and
// again: each disk loses what was not flushed to it. What the main had
// acknowledgements for is in the remote's folder, with the right digest; what
// the index names is there; and the main's event stream has all that the remote
// got, so that nobody has to compare whole trees afterwards.
func TestPowerCut(t *testing.T) {
	if !long() {
		t.Skip("WAPTSYNC_LONG=1 runs it")
	}
	c := newCutting(t)
	rounds := scaled(1, 1, 60)
	for i := range rounds {
		c.round(i)
		if t.Failed() {
			break
		}
	}
	t.Logf("%d cuts of a remote and %d of a main, %d right after an acknowledgement; %d blocks of 4 KiB lost in %d of the cuts; %d files judged",
		c.cuts["remote"], c.cuts["main"], c.fresh, c.lost, c.losing, c.judged)
}

// TestPowerCutIsSeenWithoutSyncs holds the test before: a remote whose syncs do
// nothing loses what it acknowledged.
func TestPowerCutIsSeenWithoutSyncs(t *testing.T) {
	if !long() {
		t.Skip("WAPTSYNC_LONG=1 runs it")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip(err)
	}
	c := newCutting(t)
	c.r.stop()
	c.startRemote = func() {
		through(t, c.r.start, "strace", "-D", "-f", "-qq", "-o", "/dev/null",
			"-e", "trace=fsync,fdatasync,syncfs", "-e", "inject=fsync,fdatasync,syncfs:retval=0")
	}
	c.startRemote()
	c.trees.wait(t, time.Minute, c.m, c.r)
	for i := range 10 {
		c.burst(10, nil)
		c.acknowledged()
		held := c.cutNow(c.r.host, c.remoteDisk)
		c.r.kill()
		c.remoteDisk.restore(held)
		if faults := c.faults(); len(faults) > 0 {
			t.Logf("cut %d: %d faults are seen, as they have to be, first: %s", i, len(faults), faults[0])
			return
		}
		c.startRemote()
		c.trees.wait(t, time.Minute, c.m, c.r)
	}
	t.Error("a remote that syncs nothing lost nothing: the test would see nothing")
}

// cutting is a main and a remote, each with its data on a disk whose power can
// be cut, the remote's folders too.
type cutting struct {
	t                    *testing.T
	rng                  *random
	m                    *Main
	r                    *Remote
	mainDisk, remoteDisk *powerDisk
	repo                 *repository
	apps, hosts          []string
	trees                *comparison
	startRemote          func()

	mu    sync.Mutex
	acked map[string]string   // by share and path: the SHA-256 that the main has an acknowledgement for
	later map[string][]string // what was written since; "" is a deletion

	cuts                        map[string]int
	fresh, lost, losing, judged int
}

func newCutting(t *testing.T) *cutting {
	t.Helper()
	c := &cutting{t: t, rng: newRandom(t), trees: &comparison{bumps: 100}, cuts: map[string]int{}, later: map[string][]string{}}
	c.m, c.r = newMain(t, "wapt", "wapt-host"), newRemote(t, "remote", "wapt", "wapt-host")
	c.mainDisk = newPowerDisk(t, filepath.Join(filepath.Dir(c.m.data), "disk"))
	c.remoteDisk = newPowerDisk(t, filepath.Join(filepath.Dir(c.r.data), "disk"))
	c.m.data = filepath.Join(c.mainDisk.at, "data")
	c.r.data = filepath.Join(c.remoteDisk.at, "data")
	for i := range c.r.shares {
		c.r.shares[i].dir = filepath.Join(c.remoteDisk.at, c.r.shares[i].name)
		makeDirs(t, c.r.shares[i].dir)
	}
	t.Cleanup(func() { // before the disks go
		for _, h := range []*host{&c.m.host, &c.r.host} {
			if h.proc != nil && h.proc.running() {
				h.proc.kill()
			}
		}
	})
	c.startRemote = c.r.start
	c.repo = newRepository(t, c.rng, c.m.dir("wapt"), c.m.dir("wapt-host"))
	c.apps = c.repo.stock(10, func() int { return c.rng.between(10_000, 400_000) })
	c.hosts = c.repo.addHosts(40)
	c.m.start()
	c.m.admit(c.r)
	c.r.start()
	c.acknowledged()
	return c
}

// burst makes n changes, or fewer when stop is closed.
func (c *cutting) burst(n int, stop <-chan struct{}) {
	wrote := func(share, path string) {
		sum := fileSum(c.m.dir(share), path)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.later[share+"/"+path] = append(c.later[share+"/"+path], sum)
	}
	for range n {
		select {
		case <-stop:
			return
		default:
		}
		switch c.rng.IntN(3) {
		case 0:
			i := c.rng.IntN(len(c.apps))
			old := c.apps[i]
			c.apps[i] = c.repo.add(fmt.Sprintf("tis-app%02d", i), fmt.Sprintf("1-%d", c.rng.Uint32()), c.rng.between(10_000, 400_000))
			wrote("wapt", c.apps[i])
			c.repo.index()
			wrote("wapt", "Packages")
			c.repo.remove(old)
			wrote("wapt", old)
			c.repo.index()
			wrote("wapt", "Packages")
		default:
			for range c.rng.between(1, 10) {
				h := c.hosts[c.rng.IntN(len(c.hosts))]
				c.repo.host(h)
				wrote("wapt-host", h)
			}
		}
	}
}

// fileSum is a file's SHA-256, "" if there is none.
func fileSum(elem ...string) string {
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// acknowledged returns when the main has an acknowledgement for all that its
// folders hold: its own count of what the remote has not acknowledged is 0.
func (c *cutting) acknowledged() {
	c.t.Helper()
	c.trees.wait(c.t, time.Minute, c.m, c.r)
	c.m.waitStatus(time.Minute, "has acknowledgements for everything", func(st status) bool {
		var s struct {
			Remotes map[string]struct {
				Shares map[string]struct {
					Lag *int64 `json:"lag_events"`
				} `json:"shares"`
			} `json:"remotes"`
		}
		if json.Unmarshal([]byte(st.raw), &s) != nil || len(s.Remotes["remote"].Shares) != 2 {
			return false
		}
		for _, sh := range s.Remotes["remote"].Shares {
			if sh.Lag == nil || *sh.Lag != 0 {
				return false
			}
		}
		return true
	})
	acked := map[string]string{}
	for _, share := range []string{"wapt", "wapt-host"} {
		list, err := os.ReadDir(c.m.dir(share))
		check(c.t, err)
		for _, e := range list {
			acked[share+"/"+e.Name()] = fileSum(c.m.dir(share), e.Name())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = acked
	clear(c.later)
}

// cutNow stops a host where it stands, and takes what its disk holds then.
// What it had sent by then it had sent before the cut.
func (c *cutting) cutNow(h host, d *powerDisk) image {
	c.t.Helper()
	check(c.t, h.proc.cmd.Process.Signal(syscall.SIGSTOP))
	held, lost := d.cut(c.rng)
	c.cuts[h.name]++
	c.lost += lost
	if lost > 0 {
		c.losing++
	}
	return held
}

func (c *cutting) round(i int) {
	t := c.t
	t.Helper()
	remote, main := i%3 != 2, i%3 != 0
	working := make(chan struct{})
	stop := make(chan struct{})
	if i%2 == 0 {
		c.burst(c.rng.between(1, 5), nil)
		c.acknowledged() // and cut at once
		c.fresh++
		close(working)
	} else {
		pause := time.Duration(c.rng.between(1, 1500)) * time.Millisecond
		go func() {
			defer close(working)
			c.burst(200, stop)
		}()
		time.Sleep(pause)
	}
	var held struct{ remote, main image }
	if remote {
		held.remote = c.cutNow(c.r.host, c.remoteDisk)
	}
	if main {
		held.main = c.cutNow(c.m.host, c.mainDisk)
	}
	close(stop)
	<-working
	log, err := os.Stat(c.m.log)
	check(t, err)
	if remote {
		c.r.kill()
		c.remoteDisk.restore(held.remote)
		for _, f := range c.faults() {
			t.Errorf("cut %d: %s", i, f)
		}
	}
	if main {
		c.m.kill()
		c.mainDisk.restore(held.main)
		c.m.start()
	}
	if remote {
		c.startRemote()
	}
	c.resumed(i, log.Size())
	c.acknowledged()
}

// faults compares the remote's folders with what it had acknowledged.
func (c *cutting) faults() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, want := range c.acked {
		c.judged++
		got := fileSum(c.remoteDisk.at, path)
		if got == want {
			continue
		}
		newer := false
		for _, sum := range c.later[path] {
			newer = newer || sum == got
		}
		if !newer {
			list = append(list, fmt.Sprintf("%s was acknowledged as %.8s and is %.8q, which is none of %d later ones", path, want, got, len(c.later[path])))
		}
	}
	index, err := os.ReadFile(filepath.Join(c.remoteDisk.at, "wapt", "Packages"))
	if err != nil {
		return append(list, "no index: "+err.Error())
	}
	named, err := readIndex(index)
	if err != nil {
		return append(list, err.Error())
	}
	for file, sum := range named {
		c.judged++
		b, err := os.ReadFile(filepath.Join(c.remoteDisk.at, "wapt", file))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			list = append(list, file+" is named and not there")
		case err != nil:
			list = append(list, err.Error())
		case fmt.Sprintf("%x", md5.Sum(b)) != sum:
			list = append(list, file+" has not the MD5 that the index names")
		}
	}
	return list
}

// resumed returns when the remote has said hello for both shares since then, and
// fails the test if it had to compare whole trees: its own state or the main's
// stream would have lost something.
func (c *cutting) resumed(i int, since int64) {
	c.t.Helper()
	hellos := 0
	if !poll(time.Minute, 100*time.Millisecond, func() bool {
		b, err := os.ReadFile(c.m.log)
		check(c.t, err)
		hellos = 0
		for line := range strings.Lines(string(b[since:])) {
			var l struct {
				Message string `json:"message"`
				Resume  bool   `json:"resume"`
				Reason  string `json:"reason"`
			}
			if json.Unmarshal([]byte(line), &l) != nil || l.Message != "a remote said hello" {
				continue
			}
			hellos++
			if !l.Resume {
				c.t.Fatalf("cut %d: the remote had to begin again: %s", i, l.Reason)
			}
		}
		return hellos >= len(c.r.shares)
	}) {
		c.t.Fatalf("cut %d: %d hellos after it", i, hellos)
	}
}
