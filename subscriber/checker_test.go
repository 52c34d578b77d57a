package subscriber

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waptsync/index"
)

// checker plays clients of a remote: it reads the indexes and every file that
// they name, again and again, and compares sizes and digests.
//
// When a file does not fit, it looks whether the index was replaced meanwhile,
// as a client that begins anew would. What remains is the time between two
// renames that belong together: then the file fits at the next look. That is
// counted apart.
type checker struct {
	t    testing.TB
	dir  string
	done chan struct{}
	stop chan struct{}

	down atomic.Bool // the remote was killed: what clients see now is no promise

	mu       sync.Mutex
	paths    []string // of the indexes
	seen     map[string]bool
	files    int // compared
	rounds   int // indexes read
	between  int // seen between two renames
	longest  time.Duration
	failures []string
}

func (r *testRemote) watch(indexes ...string) *checker {
	c := &checker{
		t: r.t, dir: r.dir, paths: indexes, seen: make(map[string]bool),
		done: make(chan struct{}), stop: make(chan struct{}),
	}
	go func() {
		defer close(c.done)
		for {
			select {
			case <-c.stop:
				return
			default:
				c.round()
			}
		}
	}()
	r.t.Cleanup(func() { c.end() })
	return c
}

// end stops the clients and tells what they saw.
func (c *checker) end() {
	c.t.Helper()
	select {
	case <-c.stop:
		return
	default:
	}
	close(c.stop)
	<-c.done
	c.t.Logf("%d files compared in %d readings of an index, %d of them between two renames (%v at most)", c.files, c.rounds, c.between, c.longest)
	for _, f := range c.failures {
		c.t.Errorf("a client saw: %s", f)
	}
}

func (c *checker) round() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.paths {
		if len(c.failures) < 10 {
			c.index(p)
		}
	}
}

// up lets clients watch again after a kill.
func (c *checker) up() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down.Store(false)
}

func (c *checker) index(p string) {
	data, err := os.ReadFile(filepath.Join(c.dir, p))
	if err != nil {
		if c.seen[p] {
			c.failures = append(c.failures, "no index any more: "+err.Error())
		}
		return
	}
	c.seen[p] = true
	c.rounds++
	entries, err := index.Read(p, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		c.failures = append(c.failures, err.Error())
		return
	}
	for _, e := range entries {
		c.files++
		why := c.fault(&e)
		if why == "" {
			continue
		}
		now, err := os.ReadFile(filepath.Join(c.dir, p))
		if err != nil || !bytes.Equal(now, data) {
			return // replaced: a client begins anew
		}
		if c.down.Load() {
			return
		}
		if fits, replaced := c.soon(p, data, &e); fits {
			c.between++
			continue
		} else if replaced || c.down.Load() {
			return
		}
		c.failures = append(c.failures, time.Now().Format("05.000 ")+p+": "+why)
		return
	}
}

// soon waits for the end of the renames that belong together. How long that takes
// is up to the system: other processes may be given the processor meanwhile.
func (c *checker) soon(p string, data []byte, e *index.Entry) (fits, replaced bool) {
	began := time.Now()
	for time.Since(began) < 2*time.Second && !c.down.Load() {
		if c.fault(e) == "" {
			c.longest = max(c.longest, time.Since(began))
			return true, false
		}
		if now, err := os.ReadFile(filepath.Join(c.dir, p)); err != nil || !bytes.Equal(now, data) {
			return false, true
		}
	}
	return false, false
}

// fault says in what a file differs from its entry.
func (c *checker) fault(e *index.Entry) string {
	b, err := os.ReadFile(filepath.Join(c.dir, e.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist) && e.Optional:
		return ""
	case err != nil:
		return err.Error()
	case int64(len(b)) != e.Size:
		return sprint("%q has %d bytes instead of %d", e.Path, len(b), e.Size)
	case e.HasMD5 && md5.Sum(b) != e.MD5, e.HasSHA256 && sha256.Sum256(b) != e.SHA256:
		return sprint("%q has another digest", e.Path)
	}
	return ""
}

// neverBetween fails if clients saw anything between two renames, for tests in which no
// file is replaced under its name.
func (c *checker) neverBetween() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.between > 0 {
		c.t.Errorf("%d times an index was ahead of its files", c.between)
	}
}
