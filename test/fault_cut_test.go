//go:build linux

package test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// cutFor bounds the power cuts, or has more of them made.
var cutFor = flag.Duration("cut.for", 0, "how long TestPowerCut cuts the power; 0 means 60 rounds")

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
	begin := time.Now()
	for i := 0; !t.Failed() && (*cutFor == 0 && i < 60 || time.Since(begin) < *cutFor); i++ {
		c.round(i)
	}
	t.Logf("%s: %d cuts of a remote and %d of a main, %d right after an acknowledgement; %d disks held something else than was written to them, %d blocks of 4 KiB less; %d files judged on %d disks of the remote, %d of them between a replaced file and its index",
		c.remoteDisk.kind.name, c.cuts["remote"], c.cuts["main"], c.fresh, c.losing, c.lost, c.judged, c.images, c.between)
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
		held := c.cutNow(c.r.host, c.remoteDisk, 1)
		c.r.kill()
		c.remoteDisk.restore(held[0])
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
	folders              []string // in "wapt", of files that no index names
	trees                *comparison
	startRemote          func()

	mu    sync.Mutex
	acked map[string]string   // by share and path: the SHA-256 that the main has an acknowledgement for, "" for a deletion
	later map[string][]string // what was written since; "" is a deletion

	cuts                                         map[string]int
	fresh, lost, losing, judged, images, between int
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

// fileSums is the SHA-256 of each file beneath a folder, without the remote's own.
func fileSums(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	check(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && e.Name() == hiddenFolder:
			return fs.SkipDir
		case e.Type().IsRegular():
			rel, err := filepath.Rel(dir, name)
			sums[rel] = fileSum(name)
			return err
		}
		return nil
	}))
	return sums
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
		for name, sum := range fileSums(c.t, c.m.dir(share)) {
			acked[share+"/"+name] = sum
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for path := range c.acked {
		if _, there := acked[path]; !there {
			acked[path] = ""
		}
	}
	c.acked = acked
	clear(c.later)
}

// cutNow stops a host where it stands, and takes what its disk may hold then, n
// times. What it had sent by then it had sent before the cut.
func (c *cutting) cutNow(h host, d *powerDisk, n int) (may []image) {
	c.t.Helper()
	check(c.t, h.proc.cmd.Process.Signal(syscall.SIGSTOP))
	c.cuts[h.name]++
	for range n {
		held, lost := d.cut(c.rng)
		may = append(may, held)
		c.lost += lost
		if lost > 0 {
			c.losing++
		}
	}
	return may
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
	var held struct{ remote, main []image }
	if remote {
		held.remote = c.cutNow(c.r.host, c.remoteDisk, 3)
	}
	if main {
		held.main = c.cutNow(c.m.host, c.mainDisk, 1)
	}
	close(stop)
	<-working
	log, err := os.Stat(c.m.log)
	check(t, err)
	if remote {
		c.r.kill()
		for _, may := range held.remote { // and it goes on with the last
			c.remoteDisk.restore(may)
			c.images++
			for _, f := range c.faults() {
				t.Errorf("cut %d: %s", i, f)
			}
		}
	}
	if main {
		c.m.kill()
		c.mainDisk.restore(held.main[0])
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
		if got := fileSum(c.remoteDisk.at, path); got != want && !slices.Contains(c.later[path], got) {
			list = append(list, fmt.Sprintf("%s was acknowledged as %.8q and is %.8q, which is none of %d later ones", path, want, got, len(c.later[path])))
		}
	}
	for _, share := range []string{"wapt", "wapt-host"} {
		for name, got := range fileSums(c.t, filepath.Join(c.remoteDisk.at, share)) {
			path := share + "/" + name
			if _, acked := c.acked[path]; acked {
				continue
			}
			c.judged++
			if !slices.Contains(c.later[path], got) {
				list = append(list, fmt.Sprintf("%s is %.8q, which is none of %d that it was", path, got, len(c.later[path])))
			}
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
		case fmt.Sprintf("%x", md5.Sum(b)) != sum && file == sameName:
			c.between++ // the journal in the stage brings the rest
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
