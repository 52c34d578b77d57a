//go:build linux

package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// system is something that replicates a WAPT repository from a main to two
// remotes: waptsync, or what it is compared with.
type system struct {
	name      string
	wapt      string // the main's folders
	hosts     string
	remotes   []replica
	startMain func()
	killMain  func()
	// converged waits until the remotes equal the main; nil where that is not judged.
	converged func(within time.Duration)
}

// replica is a remote of a system.
type replica struct {
	wapt, hosts       string
	start, kill, stop func()
}

// waptsyncSystem is the binary under test with two remotes.
func waptsyncSystem(t *testing.T) *system {
	t.Helper()
	m := newMain(t, "wapt", "wapt-host")
	s := &system{name: "waptsync", wapt: m.dir("wapt"), hosts: m.dir("wapt-host"), startMain: m.launch, killMain: m.kill}
	var remotes []*Remote
	for _, name := range []string{"colmar", "ulm"} {
		r := newRemote(t, name, "wapt", "wapt-host")
		remotes = append(remotes, r)
		s.remotes = append(s.remotes, replica{r.dir("wapt"), r.dir("wapt-host"), r.start, r.kill, r.stop})
	}
	first := true
	s.startMain = func() {
		m.launch()
		if first {
			m.waitStatus(readyWithin, "answers", func(status) bool { return true })
			for _, r := range remotes {
				m.admit(r)
			}
			first = false
		}
	}
	trees := &comparison{bumps: 1 << 20, tend: m.approveHeld}
	s.converged = func(within time.Duration) { trees.wait(t, within, m, remotes...) }
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
	shape := func(name string, qdisc ...string) {
		if err := d.shapeLink(qdisc...); err != nil {
			t.Logf("%s: not on this kernel: %v", name, err)
			return
		}
		d.clearLink()
		add(name, func() (func(), int) { _ = d.shapeLink(qdisc...); return d.clearLink, 6000 })
	}
	shape("link at 1 Mbit/s", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "200ms")
	shape("link at 20 Mbit/s", "tbf", "rate", "20mbit", "burst", "64kb", "latency", "100ms")
	shape("300 ms and 5 % loss", "netem", "delay", "150ms", "loss", "5%")
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

func (d *trouble) shapeLink(qdisc ...string) error {
	for _, s := range []*namespace{lab.net.main, lab.net.remote} {
		if err := tool("tc", append([]string{"-n", s.name, "qdisc", "replace", "dev", s.dev, "root"}, qdisc...)...); err != nil {
			return err
		}
	}
	return nil
}

func (d *trouble) clearLink() {
	for _, s := range []*namespace{lab.net.main, lab.net.remote} {
		_ = tool("tc", "-n", s.name, "qdisc", "del", "dev", s.dev, "root")
	}
}

func counts(done map[string]int) string {
	var list []string
	for name, n := range done {
		list = append(list, fmt.Sprintf("%d %s", n, name))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
