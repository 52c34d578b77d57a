//go:build linux

package test

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestIndexIsNeverAheadOfItsFiles writes a repository as WAPT does, at full
// speed, while both sides are killed, and reads the remote's index all the
// time: once it is there it stays there, and each file that it names is there
// with the MD5 it gives.
func TestIndexIsNeverAheadOfItsFiles(t *testing.T) {
	rng := newRandom(t)
	m, one := pair(t, "wapt")
	repo := newRepository(t, rng, m.dir("wapt"), "")
	var packages []string
	for i := range 30 {
		packages = append(packages, repo.add(fmt.Sprintf("tis-app%02d", i), "1.0-1", rng.between(1000, 200_000)))
	}
	repo.index()
	// A main that is killed again and again comes to delete many at once.
	trees := &comparison{bumps: 60, tend: m.approveHeld}
	trees.wait(t, time.Minute, m, one)

	stop, seen := make(chan struct{}), make(chan []string, 1)
	go func() { seen <- watchIndex(one.dir("wapt"), stop) }()
	defer func() {
		close(stop)
		if s := <-seen; len(s) > 0 {
			t.Errorf("an agent at the remote saw:%s", listed(s))
		}
	}()
	for version := range scaled(10, 40, 500) {
		i := rng.IntN(len(packages))
		old := packages[i]
		packages[i] = repo.add(fmt.Sprintf("tis-app%02d", i), fmt.Sprintf("1.0-%d", version+2), rng.between(1000, 200_000))
		if rng.IntN(2) == 0 { // upload, then delete: as the console does
			repo.index()
			repo.remove(old)
		} else { // all at once: the main's own index names what is gone
			repo.remove(old)
		}
		wait(rng, 50)
		repo.index()
		wait(rng, 100)
		switch rng.IntN(10) {
		case 0:
			one.kill()
			one.start()
		case 1:
			m.kill()
			m.launch()
		}
	}
	trees.wait(t, time.Minute, m, one)
}

// TestDeletedPackageStaysUntilTheIndexForgetsIt deletes as WAPT does: the
// package first, and the index a while later, which takes long in a big
// repository. The remote's index names the package all that time.
func TestDeletedPackageStaysUntilTheIndexForgetsIt(t *testing.T) {
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	repo := newRepository(t, rng, m.dir("wapt"), "")
	repo.add("tis-one", "1.0-1", 10_000)
	gone := repo.add("tis-two", "1.0-1", 10_000)
	repo.index()
	trees := &comparison{bumps: 1}
	trees.wait(t, 30*time.Second, m, r)
	repo.remove(gone)
	there := filepath.Join(r.dir("wapt"), gone)
	for begin := time.Now(); time.Since(begin) < 4*time.Second; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Lstat(there); err != nil {
			t.Fatalf("%v after its deletion on the main, which the index does not know yet: %v", time.Since(begin).Round(time.Millisecond), err)
		}
	}
	repo.index()
	trees.wait(t, 30*time.Second, m, r)
}

// TestIndexWaitsForItsFiles gives the index of a big package a head start: it
// is published long before the package is there, and must wait for it.
func TestIndexWaitsForItsFiles(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	if lab.net.main != nil {
		lab.net.rate(t, 100)
	}
	repo := newRepository(t, rng, m.dir("wapt"), "")
	repo.add("tis-small", "1.0-1", 10_000)
	repo.index()
	m.start()
	m.admit(r)
	r.start()
	trees := &comparison{bumps: 2}
	trees.wait(t, 30*time.Second, m, r)
	stop, seen := make(chan struct{}), make(chan []string, 1)
	go func() { seen <- watchIndex(r.dir("wapt"), stop) }()
	for i := range scaled(2, 4, 20) {
		repo.add(fmt.Sprintf("tis-big%d", i), "1.0-1", 20_000_000)
		repo.index()
		repo.add(fmt.Sprintf("tis-more%d", i), "1.0-1", 1_000_000)
		repo.index()
	}
	trees.wait(t, time.Minute, m, r)
	close(stop)
	if s := <-seen; len(s) > 0 {
		t.Errorf("an agent at the remote saw:%s", listed(s))
	}
}

// watchIndex plays an agent: it reads the index, then every file that it
// names, and believes what it saw only if the index is still the same one.
func watchIndex(dir string, stop <-chan struct{}) []string {
	var seen []string
	say := func(format string, args ...any) {
		seen = append(seen, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
	index := filepath.Join(dir, "Packages")
	sums := map[fileID]string{}
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for len(seen) < maxDiffs {
		select {
		case <-stop:
			return seen
		case <-pace.C:
		}
		before, err := readEntry(index)
		if err != nil {
			say("no index: %v", err)
			continue
		}
		data, err := os.ReadFile(index)
		if err != nil {
			say("no index: %v", err)
			continue
		}
		named, err := readIndex(data)
		if err != nil {
			say("%v", err)
			continue
		}
		var found []string
		for file, want := range named {
			got, err := sumOf(filepath.Join(dir, file), sums)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				say("%v", err)
			}
			if got != want {
				found = append(found, fmt.Sprintf("%s: MD5 %q, the index says %s", file, got, want))
			}
		}
		// A newer index may have come meanwhile, and the old one's files gone.
		if after, err := readEntry(index); err == nil && after.id == before.id {
			for _, f := range found {
				say("%s", f)
			}
		}
	}
	return seen
}

// sumOf returns a file's MD5, read once for each state of the file.
func sumOf(name string, known map[fileID]string) (string, error) {
	e, err := readEntry(name)
	if err != nil {
		return "", err
	}
	if s, ok := known[e.id]; ok {
		return s, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	known[e.id] = fmt.Sprintf("%x", md5.Sum(b))
	return known[e.id], nil
}
