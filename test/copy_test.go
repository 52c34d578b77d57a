//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFirstCopyFollowCatchUp takes WAPT's two folders through a remote's life:
// the first copy, following while connected, and catching up after an absence
// at the price of what changed.
func TestFirstCopyFollowCatchUp(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt", "wapt-host"), newRemote(t, "colmar", "wapt", "wapt-host")
	repo := newRepository(t, rng, m.dir("wapt"), m.dir("wapt-host"))
	var packages []string
	for i := range 20 {
		packages = append(packages, repo.add(fmt.Sprintf("tis-app%02d", i), "1.0-1", rng.between(10_000, scaled(200_000, 2_000_000, 20_000_000))))
	}
	repo.index()
	write(t, nil, m.dir("wapt"), "empty.txt")
	sparse(t, rng, int64(scaled(30, 300, 3000))*1_000_000, m.dir("wapt"), "windows.iso")
	hosts := repo.addHosts(scaled(300, 3000, 20_000))

	begin := time.Now()
	m.start()
	m.waitKnows("wapt-host", len(hosts), 5*time.Minute)
	t.Logf("the main knew its folders after %v", time.Since(begin).Round(time.Millisecond))
	m.admit(r)
	r.start()
	// A file made anew within one second has another second on a remote.
	trees := &comparison{bumps: 5}
	t.Logf("first copy: %v", trees.wait(t, 10*time.Minute, m, r).Round(time.Millisecond))

	t.Run("follow", func(t *testing.T) {
		old := packages[0]
		packages[0] = repo.add("tis-app00", "1.1-1", 300_000)
		repo.index()
		repo.remove(old)
		repo.index()
		for _, h := range hosts[:50] {
			repo.host(h)
		}
		for _, h := range hosts[50:60] {
			check(t, os.Remove(filepath.Join(m.dir("wapt-host"), h)))
		}
		repo.addHosts(10)
		t.Logf("followed in %v", trees.wait(t, time.Minute, m, r).Round(time.Millisecond))
	})

	t.Run("catch up", func(t *testing.T) {
		r.stop()
		changed := hosts[100 : 100+len(hosts)/4]
		for range 4 { // the stream keeps the newest event only, so four changes cost one
			for _, h := range changed {
				repo.host(h)
			}
		}
		for _, h := range hosts[60:80] {
			check(t, os.Remove(filepath.Join(m.dir("wapt-host"), h)))
		}
		repo.addHosts(20)
		repo.remove(packages[1])
		repo.add("tis-app01", "1.1-1", 300_000)
		repo.index()
		before := int64(0)
		if lab.net.main != nil {
			before = lab.net.wire(t)
		}
		r.start()
		t.Logf("caught up in %v", trees.wait(t, 2*time.Minute, m, r).Round(time.Millisecond))
		if lab.net.main != nil {
			// 5.5 kB a file on the average, and twice that for all overhead.
			spent, limit := lab.net.wire(t)-before, int64(len(changed)+20)*5500*2+2_000_000
			t.Logf("on the wire: %d bytes for %d changed files", spent, len(changed)+20)
			if spent > limit {
				t.Errorf("catching up took %d bytes on the wire, want at most %d", spent, limit)
			}
		}
	})
}

// TestJoinsWhileTheMainScans has a remote connected while its main reads its
// folder for the first time: each file can be fetched as soon as it is announced.
func TestJoinsWhileTheMainScans(t *testing.T) {
	rng := newRandom(t)
	for range scaled(1, 3, 30) {
		m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
		for i := range 6 {
			sparse(t, rng, int64(scaled(30, 100, 300))*1_000_000, m.dir("wapt"), fmt.Sprintf("file%d", i))
		}
		m.start()
		m.admit(r)
		r.start()
		t.Logf("equal after %v", waitEqual(t, time.Minute, m, r).Round(time.Millisecond))
		m.stop()
		r.stop()
	}
}

// TestAdoptsExistingFolder joins a remote whose folder already holds the
// right files: they are recognised, not fetched, and what the main does not
// have is put aside, not lost.
func TestAdoptsExistingFolder(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt", "wapt-host"), newRemote(t, "remote", "wapt", "wapt-host")
	repo := newRepository(t, rng, m.dir("wapt"), m.dir("wapt-host"))
	for i := range 10 {
		repo.add(fmt.Sprintf("tis-app%02d", i), "1.0-1", rng.between(1_000_000, 4_000_000))
	}
	repo.index()
	repo.addHosts(200)
	for _, s := range m.shares {
		check(t, tool("cp", "-a", s.dir+"/.", r.dir(s.name)))
	}
	write(t, []byte("a stranger"), r.dir("wapt"), "stranger.txt")
	m.start()
	m.admit(r)
	var before int64
	if lab.net.main != nil {
		before = lab.net.wire(t)
	}
	r.start()
	waitEqual(t, time.Minute, m, r)
	st := r.waitStatus(readyWithin, "tells what it received", func(st status) bool { return len(st.Shares) == 2 })
	for name, s := range st.Shares {
		if s.Received != 0 {
			t.Errorf("share %s: received %d content bytes, want none", name, s.Received)
		}
	}
	if lab.net.main != nil {
		if spent := lab.net.wire(t) - before; spent > 1_000_000 {
			t.Errorf("%d bytes on the wire, want little more than the events", spent)
		}
	}
	found := 0
	trash := filepath.Join(r.dir("wapt"), hiddenFolder, "trash")
	check(t, filepath.WalkDir(trash, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if b, _ := os.ReadFile(name); string(b) == "a stranger" {
				found++
			}
		}
		return err
	}))
	if found != 1 {
		t.Errorf("the file that the main does not have is %d times in the trash, want once", found)
	}
}

// TestSeveralRemotes has three remotes of one main, with different shares,
// and none of them able to disturb the others.
func TestSeveralRemotes(t *testing.T) {
	rng := newRandom(t)
	m := newMain(t, "wapt", "wapt-host")
	repo := newRepository(t, rng, m.dir("wapt"), m.dir("wapt-host"))
	repo.add("tis-one", "1.0-1", 500_000)
	repo.index()
	hosts := repo.addHosts(100)
	m.start()
	remotes := []*Remote{newRemote(t, "one", "wapt", "wapt-host"), newRemote(t, "two", "wapt", "wapt-host"), newRemote(t, "three", "wapt")}
	for _, r := range remotes {
		m.admit(r)
		r.start()
	}
	trees := &comparison{bumps: 3}
	trees.wait(t, time.Minute, m, remotes...)

	remotes[0].kill()
	repo.add("tis-two", "1.0-1", 500_000)
	repo.index()
	for _, h := range hosts[:30] {
		repo.host(h)
	}
	trees.wait(t, time.Minute, m, remotes[1:]...) // does not wait for the one that is off

	before, err := readTree(m.dir("wapt"))
	check(t, err)
	write(t, []byte("a local change"), remotes[1].dir("wapt"), "Packages")
	write(t, []byte("a local file"), remotes[1].dir("wapt"), "local.txt")
	remotes[0].start()
	repo.host(hosts[50])
	trees.wait(t, time.Minute, m, remotes[0], remotes[2])
	after, err := readTree(m.dir("wapt"))
	check(t, err)
	if !sameTree(before, after) {
		t.Errorf("a remote's change reached the main:%s", listed((&comparison{}).differ(before, after)))
	}
}
