//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mounted puts a folder on a mount of its own: what it holds is elsewhere, and
// comes and goes with the mount.
type mounted struct {
	t       *testing.T
	at, has string
	on      bool
}

func mount(t *testing.T, at string) *mounted {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	m := &mounted{t: t, at: at, has: at + ".disk"}
	makeDirs(t, m.has)
	if err := tool("mount", "--bind", m.has, at); err != nil {
		t.Skipf("no bind mounts: %v", err)
	}
	m.on = true
	t.Cleanup(func() {
		if m.on {
			m.away()
		}
	})
	return m
}

func (m *mounted) away() {
	m.t.Helper()
	check(m.t, tool("umount", "--lazy", m.at))
	m.on = false
}

func (m *mounted) back() {
	m.t.Helper()
	check(m.t, tool("mount", "--bind", m.has, m.at))
	m.on = true
}

// keeps fails the test unless the folder stays as it is for a while.
func keeps(t *testing.T, what, dir string, change func()) {
	t.Helper()
	want, err := readTree(dir)
	check(t, err)
	change()
	waitQuiet(t, 3*time.Second, time.Minute, dir)
	got, err := readTree(dir)
	check(t, err)
	if d := (&comparison{}).differ(want, got); len(d) > 0 {
		t.Fatalf("%s:%s", what, listed(d))
	}
}

// firstCopy starts both and waits until the remote equals the main.
func firstCopy(t *testing.T, m *Main, r *Remote) *comparison {
	t.Helper()
	m.start()
	m.admit(r)
	r.start()
	trees := &comparison{bumps: 5}
	trees.wait(t, time.Minute, m, r)
	return trees
}

// TestUnmountedMainIsHeld unmounts a main's folder while it runs and before it
// starts; the remote keeps all; with the disk's return the main goes on by
// itself, and sees by its watches what is changed then.
func TestUnmountedMainIsHeld(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	disk := mount(t, m.dir("wapt"))
	repo := newRepository(t, rng, m.dir("wapt"), "")
	repo.stock(30, sized(20_000))
	trees := firstCopy(t, m, r)
	held := func() {
		t.Helper()
		m.waitStatus(30*time.Second, "says that the share is held", func(st status) bool { return st.Shares["wapt"].Held != "" })
	}
	rounds := scaled(1, 1, 10)
	var longest time.Duration
	for i := range rounds {
		back := func(when string) {
			t.Helper()
			disk.back()
			begin := time.Now()
			repo.add(fmt.Sprintf("tis-%s%02d", when, i), "1-1", 20_000)
			repo.index()
			trees.wait(t, 2*time.Minute, m, r)
			longest = max(longest, time.Since(begin))
			repo.add(fmt.Sprintf("tis-%s%02d", when, i), "2-1", 20_000)
			repo.index()
			trees.wait(t, time.Minute, m, r)
		}
		keeps(t, "unmounted under a running main", r.dir("wapt"), disk.away)
		held()
		back("running")
		disk.away() // for a moment, before anybody could have looked
		back("moment")
		disk.away()
		keeps(t, "a main started without its disk", r.dir("wapt"), func() { m.stop(); m.launch() })
		held()
		back("started")
	}
	t.Logf("done %d times, each with a running and a starting main; equal %v after the disk's return at most", rounds, longest.Round(time.Millisecond))
}

// TestFailedDiskOfTheMain lets the disk of a main's folder fail while the main
// runs, and before it starts; another disk with the same content takes its
// place. The remote keeps all, and the main goes on by itself.
func TestFailedDiskOfTheMain(t *testing.T) {
	if !long() {
		t.Skip("WAPTSYNC_LONG=1 runs it")
	}
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	disk := newPowerDisk(t, m.dir("wapt"))
	check(t, os.RemoveAll(filepath.Join(disk.at, "lost+found"))) // ext4 has it
	repo := newRepository(t, rng, m.dir("wapt"), "")
	repo.stock(30, sized(20_000))
	trees := firstCopy(t, m, r)
	rounds := scaled(1, 1, 5)
	var longest time.Duration
	for i := range rounds {
		for _, running := range []bool{true, false} {
			check(t, tool("sync", "--file-system", disk.at))
			if !running {
				m.stop()
				disk.restore(disk.fail()) // so that nothing of it is in memory
			}
			var held image
			keeps(t, "a failed disk", r.dir("wapt"), func() {
				held = disk.fail()
				if !running {
					m.launch()
				}
			})
			disk.replace(held)
			begin := time.Now()
			repo.add(fmt.Sprintf("tis-more%02d", i), fmt.Sprint("1-", running), 20_000)
			repo.index()
			trees.wait(t, 2*time.Minute, m, r)
			longest = max(longest, time.Since(begin))
		}
	}
	t.Logf("done %d times, each with a running and a starting main; equal %v after the new disk was there at most", rounds, longest.Round(time.Millisecond))
}

// TestMassDeletionWaitsForApproval deletes most of a main's files, running and
// stopped: the remote keeps them until an administrator says that it is meant.
func TestMassDeletionWaitsForApproval(t *testing.T) {
	rng := newRandom(t)
	m, r := pair(t, "wapt-host")
	repo := newRepository(t, rng, "", m.dir("wapt-host"))
	trees := &comparison{bumps: 5}
	rounds := scaled(1, 2, 6)
	for i := range rounds {
		hosts := repo.addHosts(200)
		trees.wait(t, time.Minute, m, r)
		keeps(t, "a mass deletion", r.dir("wapt-host"), func() {
			if i%2 == 1 {
				m.stop()
			}
			for _, h := range hosts[:150] {
				check(t, os.Remove(filepath.Join(m.dir("wapt-host"), h)))
			}
			if i%2 == 1 {
				m.launch()
			}
		})
		m.waitStatus(30*time.Second, "says that the share is held", func(st status) bool { return st.Shares["wapt-host"].Held != "" })
		if _, err := m.command("", "share", "approve", "wapt-host", "--data", m.data); err != nil {
			t.Fatal(err)
		}
		trees.wait(t, time.Minute, m, r)
	}
	t.Logf("done %d times, every second time while the main was off", rounds)
}

// TestUnmountedRemoteIsNotFilled unmounts a remote's folder: that is neither a
// deletion to heal nor a folder to fill, which would fill the root file system.
func TestUnmountedRemoteIsNotFilled(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	disk := mount(t, r.dir("wapt"))
	for i := range 30 {
		write(t, rng.data(20_000), m.dir("wapt"), fmt.Sprintf("file%02d", i))
	}
	m.start()
	m.admit(r)
	r.start()
	waitEqual(t, time.Minute, m, r)
	rounds := scaled(1, 1, 10)
	for i := range rounds {
		empty := func(when string) {
			t.Helper()
			waitQuiet(t, 3*time.Second, time.Minute, r.dir("wapt"))
			list, err := os.ReadDir(r.dir("wapt"))
			check(t, err)
			if len(list) > 0 {
				t.Fatalf("%s: %d entries were written into the place where the disk should be, first %q", when, len(list), list[0].Name())
			}
		}
		before, err := readTree(disk.has)
		check(t, err)
		disk.away()
		write(t, rng.data(30_000), m.dir("wapt"), fmt.Sprintf("live%02d", i))
		empty("unmounted under a running remote")
		r.stop()
		r.start()
		write(t, rng.data(30_000), m.dir("wapt"), fmt.Sprintf("start%02d", i))
		empty("a remote started without its disk")
		r.waitStatus(30*time.Second, "says why", func(st status) bool {
			return st.Shares["wapt"].State == "held" || strings.Contains(st.raw, "held")
		})
		after, err := readTree(disk.has)
		check(t, err)
		for path, e := range before {
			if after[path] != e {
				t.Errorf("%q changed on the unmounted disk", path)
			}
		}
		disk.back()
		if i%2 == 1 {
			r.stop()
			r.start()
		}
		waitEqual(t, 2*time.Minute, m, r)
	}
	t.Logf("done %d times, each with a running and a starting remote", rounds)
}
