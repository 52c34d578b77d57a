//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// stocked is a main and a remote of it that hold the same repository.
type stocked struct {
	t     *testing.T
	rng   *random
	m     *Main
	r     *Remote
	repo  *repository
	apps  []string
	hosts []string
	trees *comparison
	made  int64 // content bytes written since forget
}

func stock(t *testing.T) *stocked {
	t.Helper()
	s := &stocked{t: t, rng: newRandom(t), trees: &comparison{bumps: 100}}
	s.m, s.r = newMain(t, "wapt", "wapt-host"), newRemote(t, "remote", "wapt", "wapt-host")
	s.repo = newRepository(t, s.rng, s.m.dir("wapt"), s.m.dir("wapt-host"))
	s.apps = s.repo.stock(20, func() int { return s.rng.between(100_000, 400_000) })
	s.hosts = s.repo.addHosts(150)
	s.m.start()
	s.m.admit(s.r)
	s.r.start()
	s.equal()
	return s
}

func (s *stocked) equal() {
	s.t.Helper()
	s.trees.wait(s.t, time.Minute, s.m, s.r)
}

// change makes a few changes of every kind.
func (s *stocked) change() {
	s.t.Helper()
	size := s.rng.between(50_000, 100_000)
	i := s.rng.IntN(len(s.apps))
	old := s.apps[i]
	s.apps[i] = s.repo.add(fmt.Sprintf("tis-app%02d", i), fmt.Sprintf("1-%d", s.rng.Uint32()), size)
	s.repo.index()
	s.repo.remove(old)
	s.repo.index()
	for range 10 {
		s.repo.host(s.hosts[s.rng.IntN(len(s.hosts))])
	}
	gone := s.rng.IntN(len(s.hosts))
	check(s.t, os.Remove(filepath.Join(s.m.dir("wapt-host"), s.hosts[gone])))
	s.hosts[gone] = s.repo.addHosts(1)[0]
	s.made += int64(size) + 11*8000 + 20_000 // the index twice
}

// received is what the remote's service fetched since it started.
func (s *stocked) received() (n int64) {
	s.t.Helper()
	st := s.r.waitStatus(readyWithin, "counts", func(st status) bool { return len(st.Shares) == 2 })
	for _, sh := range st.Shares {
		n += sh.Received
	}
	return n
}

// TestLostStates takes away what a service knows: the bus's store, or puts an
// older copy of it in place, with the remote running or not; the remote's
// state; both. The trees become equal again, and no byte that is on the
// remote's disk is fetched again.
func TestLostStates(t *testing.T) {
	store := func(s *stocked) string { return filepath.Join(s.m.data, "bus") }
	cases := []struct {
		name string
		// copied: an older copy of the bus's store comes back, instead of none.
		copied bool
		// hot: the copy is taken while the main runs, as a careless backup does.
		hot bool
		// store, state: what is lost.
		store, manifests, state bool
		// damaged: what is lost of manifests and state is there and cannot be read.
		damaged   bool
		remoteOff bool
	}{
		{name: "store deleted, remote on", store: true},
		{name: "store deleted, remote off", store: true, remoteOff: true},
		{name: "store and manifests deleted", store: true, manifests: true},
		{name: "store rolled back, remote on", store: true, copied: true},
		{name: "store rolled back, remote off", store: true, copied: true, remoteOff: true},
		{name: "store rolled back to a copy of a running one", store: true, copied: true, hot: true},
		{name: "remote's state deleted", state: true, remoteOff: true},
		{name: "store and remote's state deleted", store: true, state: true, remoteOff: true},
		{name: "remote's state and the main's manifests damaged", manifests: true, state: true, damaged: true, remoteOff: true},
		{name: "store rolled back, remote's state deleted", store: true, copied: true, state: true, remoteOff: true},
	}
	if !long() { // some of them, others each time
		newRandom(t).Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
		cases = cases[:scaled(1, 4, 0)]
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := stock(t)
			rounds := scaled(1, 1, 5)
			for range rounds {
				backup := filepath.Join(t.TempDir(), "backup")
				if c.copied {
					if !c.hot {
						s.m.stop()
					}
					check(t, tool("cp", "-a", store(s), backup))
					if !c.hot {
						s.m.launch()
					}
					for range 3 {
						s.change()
					}
					s.equal()
				}
				if c.remoteOff {
					s.r.stop()
				}
				before := int64(0)
				if !c.remoteOff {
					before = s.received()
				}
				s.m.stop()
				if c.store {
					check(t, os.RemoveAll(store(s)))
				}
				if c.copied {
					check(t, os.Rename(backup, store(s)))
				}
				lose := func(name string) {
					check(t, os.RemoveAll(name))
				}
				if c.damaged {
					lose = func(name string) {
						fi, err := os.Stat(name)
						check(t, err)
						write(t, s.rng.data(int(fi.Size())), name)
					}
				}
				if c.manifests {
					for _, name := range files(t, filepath.Join(s.m.data, "manifests")) {
						lose(name)
					}
				}
				if c.state {
					lose(filepath.Join(s.r.data, "state.db"))
				}
				s.made = 0
				s.change()
				s.m.start()
				s.change()
				if c.remoteOff {
					s.r.start()
				}
				s.equal()
				if n := s.received() - before; n > s.made+s.made/2 {
					t.Errorf("%d bytes fetched, though only %d are new", n, s.made)
				}
			}
			t.Logf("done %d times", rounds)
		})
	}
}

// TestChangedByHand changes and deletes files of a remote: they are healed and
// counted, and what is whole is not fetched again.
func TestChangedByHand(t *testing.T) {
	s := stock(t)
	dir := s.r.dir("wapt")
	app := func() string { return filepath.Join(dir, s.apps[s.rng.IntN(len(s.apps))]) }
	cases := []struct {
		name   string
		change func()
	}{
		{"deleted", func() { check(t, os.Remove(app())) }},
		{"rewritten", func() { write(t, s.rng.data(1000), app()) }},
		{"one bit, with the old mtime", func() {
			name := app()
			fi, err := os.Stat(name)
			check(t, err)
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			check(t, err)
			b := make([]byte, 1)
			_, err = f.ReadAt(b, 5000)
			check(t, err)
			_, err = f.WriteAt([]byte{b[0] ^ 1}, 5000)
			check(t, err)
			check(t, f.Close())
			check(t, os.Chtimes(name, fi.ModTime(), fi.ModTime()))
		}},
		{"cut short", func() { check(t, os.Truncate(app(), 100)) }},
		{"index deleted", func() { check(t, os.Remove(filepath.Join(dir, "Packages"))) }},
		{"index overwritten", func() { write(t, []byte("no index"), dir, "Packages") }},
		{"mode", func() { check(t, os.Chmod(app(), 0o600)) }},
		{"renamed", func() { name := app(); check(t, os.Rename(name, name+".renamed")) }},
		{"stranger", func() { write(t, s.rng.data(1000), dir, "stranger") }},
		{"turned into a folder", func() { name := app(); check(t, os.Remove(name)); makeDirs(t, name) }},
		{"all host packages deleted", func() {
			for _, f := range files(t, s.r.dir("wapt-host")) {
				if filepath.Ext(f) == ".wapt" {
					check(t, os.Remove(f))
				}
			}
		}},
	}
	// One service through all cases, so no subtests: a cleanup would kill it.
	for _, running := range []bool{true, false} {
		for _, c := range cases {
			t.Logf("%s; remote running: %v", c.name, running)
			if !running {
				s.r.stop()
			}
			c.change()
			if running {
				for _, share := range []string{"wapt", "wapt-host"} {
					if _, err := s.r.command("", "share", "rescan", share, "--data", s.r.data); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				s.r.start()
			}
			s.equal()
		}
	}
}
