//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// smallDisk puts the main's data folder on a disk of that many MiB: a tmpfs, or the
// file system that WAPTSYNC_DISK names, where it can be so small.
func smallDisk(t *testing.T, m *Main, size int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	makeDirs(t, m.data)
	mount := []string{"-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", size), "small", m.data}
	if os.Getenv("WAPTSYNC_DISK") != "" && size >= 300 { // MiB, the least of mkfs.xfs
		kind := theDiskKind(t)
		file := write(t, nil, t.TempDir(), "small")
		check(t, os.Truncate(file, int64(size)<<20))
		check(t, tool("mkfs."+kind.name, append(slices.Clone(kind.make), file)...))
		mount = []string{"-o", "loop", file, m.data}
	}
	if err := tool("mount", mount...); err != nil {
		t.Skipf("no small disk: %v", err)
	}
	t.Cleanup(func() { check(t, tool("umount", "--lazy", m.data)) })
	check(t, os.Chmod(m.data, 0o700))
}

func answers(status) bool { return true }

// TestStartsWithLittleRoom starts a main whose store's disk has less room than
// one window takes: it goes without, says so, and replicates all the same.
func TestStartsWithLittleRoom(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt", "wapt-host"), newRemote(t, "remote", "wapt", "wapt-host")
	smallDisk(t, m, 64)
	repo := newRepository(t, rng, m.dir("wapt"), m.dir("wapt-host"))
	repo.stock(10, sized(50_000))
	repo.addHosts(20)
	m.launch()
	st := m.waitStatus(readyWithin, "answers", answers)
	if !strings.Contains(st.raw, "switched off") || !strings.Contains(st.raw, "max-store") || !strings.Contains(st.raw, m.data) {
		t.Errorf("the status does not tell of the window: %s", st.raw)
	}
	if strings.Contains(st.raw, "bus_trouble") {
		t.Errorf("the status calls a small disk full: %s", st.raw)
	}
	m.admit(r)
	r.start()
	trees := &comparison{bumps: 5}
	trees.wait(t, time.Minute, m, r)
	m.stop()
	repo.add("tis-app00", "2-1", 50_000)
	repo.index()
	m.launch()
	trees.wait(t, time.Minute, m, r)
}

// TestFullStoreOfTheMain fills the disk on which the main keeps its store,
// and kills it there: it starts again, remotes keep what they have, and with
// room all goes on without a further start.
func TestFullStoreOfTheMain(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	smallDisk(t, m, 300)
	repo := newRepository(t, rng, m.dir("wapt"), "")
	repo.stock(20, sized(50_000))
	m.launch()
	m.waitStatus(readyWithin, "answers", answers)
	m.admit(r)
	r.start()
	trees := &comparison{bumps: 100}
	trees.wait(t, time.Minute, m, r)
	stop, seen := make(chan struct{}), make(chan []string, 1)
	go func() { seen <- watchIndex(r.dir("wapt"), stop) }()
	rounds := scaled(1, 2, 10)
	var longest time.Duration
	for i := range rounds {
		filler := filepath.Join(m.data, "filler")
		f, err := os.Create(filler)
		check(t, err)
		for size := 64 << 10; size > 0; {
			if _, err = f.Write(make([]byte, size)); err != nil {
				size /= 2
			}
		}
		check(t, f.Close())
		for j := range 10 {
			repo.add(fmt.Sprintf("tis-full%02d-%02d", i, j), "1-1", 300_000)
			repo.index()
		}
		waitQuiet(t, 3*time.Second, time.Minute, r.dir("wapt"))
		if i%2 == 1 {
			m.kill()
			m.launch()
			waitQuiet(t, 2*time.Second, time.Minute, r.dir("wapt"))
		}
		m.waitStatus(time.Minute, "says that the disk is full", func(st status) bool {
			return strings.Contains(st.raw, "store is full")
		})
		check(t, os.Remove(filler))
		begin := time.Now()
		trees.wait(t, 2*time.Minute, m, r)
		longest = max(longest, time.Since(begin))
	}
	close(stop)
	if s := <-seen; len(s) > 0 {
		t.Errorf("an agent at the remote saw:%s", listed(s))
	}
	t.Logf("done %d times, every second time with the main killed and started again on the full disk; equal %v after there was room at most",
		rounds, longest.Round(time.Millisecond))
}
