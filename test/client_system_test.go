//go:build linux

package test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"waptsync/bench/link"
)

// system is something that replicates folders from a main to remotes:
// waptsync, or what it is compared with.
type system struct {
	name      string
	dir       func(share string) string // of the main
	remotes   []replica
	startMain func()
	killMain  func()
	// converged waits until the remotes equal the main, or fails the test.
	converged func(within time.Duration)
}

// replica is a remote of a system.
type replica struct {
	name              string
	dir               func(share string) string
	start, kill, stop func()
	host              *Remote // of waptsync only
}

// waptsyncSystem is the binary under test. Its first startMain admits the remotes.
func waptsyncSystem(t *testing.T, remotes []string, shares ...string) *system {
	t.Helper()
	m := newMain(t, shares...)
	s := &system{name: "waptsync", dir: m.dir, killMain: m.kill}
	var hosts []*Remote
	for _, name := range remotes {
		r := newRemote(t, name, shares...)
		hosts = append(hosts, r)
		s.remotes = append(s.remotes, replica{name, r.dir, r.start, r.kill, r.stop, r})
	}
	admitted := false
	s.startMain = func() {
		m.launch()
		if admitted {
			return
		}
		m.waitStatus(readyWithin, "answers", func(status) bool { return true })
		for _, r := range hosts {
			m.admit(r)
		}
		admitted = true
	}
	// Seconds are bumped as often as a content changes within one of them; a
	// main killed amid it all can come to see a mass deletion.
	trees := &comparison{bumps: 1 << 20, tend: m.approveHeld}
	s.converged = func(within time.Duration) { trees.wait(t, within, m, hosts...) }
	return s
}

// trouble disturbs a system at random moments while it works, and ends each
// disturbance after a while. One goroutine at a time, with the writer.
type trouble struct {
	t    *testing.T
	rng  *random
	sys  *system
	next time.Time
	undo func()         // of what is under way
	done map[string]int // by kind
	kind []struct {
		name string
		do   func() (undo func(), within int) // within: milliseconds until undone, at most
	}
}

func newTrouble(t *testing.T, rng *random, sys *system) *trouble {
	t.Helper()
	d := &trouble{t: t, rng: rng, sys: sys, done: map[string]int{}, next: time.Now().Add(time.Second)}
	add := func(name string, do func() (func(), int)) {
		d.kind = append(d.kind, struct {
			name string
			do   func() (func(), int)
		}{name, do})
	}
	add("remote killed", func() (func(), int) { r := d.one(); r.kill(); return r.start, 1500 })
	add("remote stopped", func() (func(), int) { r := d.one(); r.stop(); return r.start, 1500 })
	add("main killed", func() (func(), int) { sys.killMain(); return sys.startMain, 1500 })
	add("main and remote killed", func() (func(), int) {
		r := d.one()
		sys.killMain()
		r.kill()
		return func() { r.start(); sys.startMain() }, 1500
	})
	if lab.net.main == nil {
		t.Log("no network namespaces: the link is neither cut nor limited")
		return d
	}
	t.Cleanup(d.clearLink)
	add("link cut", func() (func(), int) { lab.net.cut(t); return func() { lab.net.heal(t) }, 4000 })
	for _, rate := range []string{"1mbit", "20mbit"} {
		qdisc := []string{"tbf", "rate", rate, "burst", "32kb", "latency", "200ms"}
		if err := lab.net.pair.Shape(qdisc...); err != nil {
			t.Logf("link at %s: not on this kernel: %v", rate, err)
			continue
		}
		d.clearLink()
		add("link at "+rate, func() (func(), int) { _ = lab.net.pair.Shape(qdisc...); return d.clearLink, 6000 })
	}
	if _, err := os.Stat(link.TunDevice); err != nil {
		t.Logf("no line with delay and loss: %v", err)
		return d
	}
	add("300 ms and 5 % loss", func() (func(), int) {
		return lab.net.badLine(t, rng, 150*time.Millisecond, 0.05), 8000
	})
	return d
}

func (d *trouble) one() replica { return d.sys.remotes[d.rng.IntN(len(d.sys.remotes))] }

// tick begins or ends a disturbance when its time has come.
func (d *trouble) tick() {
	if time.Now().Before(d.next) {
		return
	}
	if d.undo != nil {
		d.undo()
		d.undo = nil
		d.next = time.Now().Add(time.Duration(d.rng.IntN(3000)) * time.Millisecond)
		return
	}
	k := d.kind[d.rng.IntN(len(d.kind))]
	d.done[k.name]++
	var within int
	d.undo, within = k.do()
	d.next = time.Now().Add(time.Duration(d.rng.IntN(within)) * time.Millisecond)
}

// settle ends what is under way.
func (d *trouble) settle() {
	if d.undo != nil {
		d.undo()
		d.undo = nil
	}
}

func (d *trouble) clearLink() { _ = lab.net.pair.Restore() }

func counts(done map[string]int) string {
	var list []string
	for name, n := range done {
		list = append(list, fmt.Sprintf("%d %s", n, name))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
