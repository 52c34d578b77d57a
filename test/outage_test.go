//go:build linux

package test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestResumesInterruptedTransfer kills a remote several times on its way
// through one big file: what had arrived is not fetched again.
func TestResumesInterruptedTransfer(t *testing.T) {
	lab.net.needNamespaces(t)
	rng := newRandom(t)
	size := int64(scaled(60, 200, 1000)) * 1_000_000
	lab.net.rate(t, 400)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	f, err := os.Create(filepath.Join(m.dir("wapt"), "big.iso"))
	check(t, err)
	for n := int64(0); n < size; n += 10_000_000 {
		_, err := f.Write(rng.data(10_000_000))
		check(t, err)
	}
	check(t, f.Close())
	m.start()
	m.waitKnows("wapt", 1, time.Minute)
	m.admit(r)

	begin := lab.net.wire(t)
	for i := range int64(4) {
		r.start()
		goal := begin + size*(i+1)/5
		if !poll(time.Minute, 10*time.Millisecond, func() bool { return lab.net.wire(t) >= goal }) {
			t.Fatalf("after %d kills only %d bytes came", i, lab.net.wire(t)-begin)
		}
		r.kill()
	}
	r.start()
	waitEqual(t, 2*time.Minute, m, r)
	spent := lab.net.wire(t) - begin
	t.Logf("%d bytes on the wire for a file of %d, with 4 kills", spent, size)
	if spent > size*13/10 {
		t.Errorf("%d bytes on the wire for a file of %d: it did not go on where it stood", spent, size)
	}
	if left := files(t, filepath.Join(r.dir("wapt"), hiddenFolder, "stage")); len(left) > 0 {
		t.Errorf("left behind in the stage: %q", left)
	}
}

// files lists the regular files under a folder.
func files(t *testing.T, root string) []string {
	t.Helper()
	var list []string
	if err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			list = append(list, name)
		}
		return err
	}); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return list
}

// TestRestartHashesNothing restarts both sides over equal trees: neither reads
// the files again, and a change made while both were off gets across.
func TestRestartHashesNothing(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	total := 0
	// There before the main: what comes live is in the bus's window too, of
	// which the NATS server reads the last two minutes at its start.
	for i := range 64 {
		n := scaled(500_000, 2_000_000, 20_000_000)
		write(t, rng.data(n), m.dir("wapt"), fmt.Sprintf("file%d", i))
		total += n
	}
	m.start()
	m.admit(r)
	r.start()
	waitEqual(t, 2*time.Minute, m, r)
	for _, order := range []string{"main first", "remote first"} {
		t.Run(order, func(t *testing.T) {
			r.stop()
			m.stop()
			write(t, rng.data(1000), m.dir("wapt"), order)
			begin := time.Now()
			if order == "main first" {
				m.start()
				r.start()
			} else {
				r.start()
				m.start()
			}
			waitFile(t, 30*time.Second, filepath.Join(r.dir("wapt"), order))
			t.Logf("a change made while off came after %v", time.Since(begin).Round(time.Millisecond))
			for _, h := range []*host{&m.host, &r.host} {
				if n := h.proc.readBytes(t); n > int64(total)/4 {
					t.Errorf("%s read %d bytes after its restart, of a tree of %d", h.name, n, total)
				}
			}
			waitEqual(t, 30*time.Second, m, r)
		})
	}
}

func waitFile(t *testing.T, within time.Duration, name string) {
	t.Helper()
	if !poll(within, 10*time.Millisecond, func() bool { _, err := os.Lstat(name); return err == nil }) {
		t.Fatalf("%s did not come within %v", name, within)
	}
}

// TestStartsInAnyOrder starts a remote long before its main, and each side
// again while the other runs.
func TestStartsInAnyOrder(t *testing.T) {
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	m.start()
	m.admit(r)
	m.stop()
	write(t, rng.data(1000), m.dir("wapt"), "one")

	r.start()
	r.waitStatus(readyWithin, "answers without its main", func(status) bool { return true })
	m.start()
	waitEqual(t, time.Minute, m, r)

	m.stop()
	write(t, rng.data(1000), m.dir("wapt"), "two")
	m.start()
	waitEqual(t, time.Minute, m, r)

	r.stop()
	write(t, rng.data(1000), m.dir("wapt"), "three")
	r.start()
	waitEqual(t, time.Minute, m, r)

	m.kill()
	r.kill()
	write(t, rng.data(1000), m.dir("wapt"), "four")
	r.start()
	m.start()
	waitEqual(t, time.Minute, m, r)
}

// TestStopsInOrderAtAnyMoment sends SIGTERM at any moment, also amid the start:
// that is no failure, and a service manager must not be told of one.
func TestStopsInOrderAtAnyMoment(t *testing.T) {
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	for i := range 50 {
		write(t, rng.data(10_000), m.dir("wapt"), fmt.Sprintf("file%d", i))
	}
	waitEqual(t, 30*time.Second, m, r)
	for range scaled(3, 8, 100) {
		m.stop()
		r.stop()
		m.launch()
		r.start()
		wait(rng, 600)
	}
	waitEqual(t, 30*time.Second, m, r)
}

// TestGoesOnAfterTheLinkWasCut takes the link away for a while, at rest and in
// the middle of a transfer.
func TestGoesOnAfterTheLinkWasCut(t *testing.T) {
	lab.net.needNamespaces(t)
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	write(t, rng.data(100_000), m.dir("wapt"), "before")
	waitEqual(t, 30*time.Second, m, r)

	lab.net.cut(t)
	write(t, rng.data(100_000), m.dir("wapt"), "meanwhile")
	check(t, os.Remove(filepath.Join(m.dir("wapt"), "before")))
	m.waitKnows("wapt", 1, 30*time.Second)
	lab.net.heal(t)
	t.Logf("equal %v after the link came back", waitEqual(t, time.Minute, m, r).Round(time.Millisecond))

	lab.net.rate(t, 100)
	begin := lab.net.wire(t)
	write(t, rng.data(20_000_000), m.dir("wapt"), "big")
	if !poll(30*time.Second, 10*time.Millisecond, func() bool { return lab.net.wire(t)-begin > 5_000_000 }) {
		t.Fatal("the transfer did not begin")
	}
	lab.net.cut(t)
	waitQuiet(t, 2*time.Second, 30*time.Second, r.dir("wapt")) // the outage has some length
	lab.net.heal(t)
	t.Logf("equal %v after the link came back", waitEqual(t, time.Minute, m, r).Round(time.Millisecond))
}
