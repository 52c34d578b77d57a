package publisher

import (
	"cmp"
	"slices"
	"time"

	"waptsync/bus"
)

// burstCap bounds, in delete delays, how long a stream of deletions that never
// pauses can put off its tombstones.
const burstCap = 10

// versionPatience bounds how long a deleted version of a package waits for
// another one that is under way.
const versionPatience = 5 * time.Minute

// vanished is a published path that was not there when it was looked for.
type vanished struct {
	at   time.Time
	wait time.Duration // until it counts as deleted
	body body
	file bool
	// renamed: it was seen to be renamed away, and had no writer since it was
	// published. Without that, inode, size and mtime prove nothing: re-signing a
	// WAPT package edits it in place, restores its mtime and renames it.
	renamed bool
}

// goneSet holds the vanished paths until they come back or get a tombstone.
type goneSet struct {
	paths       map[string]vanished
	bodies      map[body]string // the files among them
	first, last time.Time       // when the present burst began, and its newest path
	needed      map[string]bool // packages of which a version waits for another, see comingPackages
}

func newGoneSet() *goneSet {
	return &goneSet{paths: make(map[string]vanished), bodies: make(map[body]string), needed: make(map[string]bool)}
}

func (g *goneSet) mark(p string, e entry, renamed bool, wait time.Duration, now time.Time) {
	if old, ok := g.paths[p]; ok {
		old.renamed = old.renamed && renamed
		g.paths[p] = old
		return
	}
	if len(g.paths) == 0 {
		g.first = now
	}
	g.last = now
	v := vanished{at: now, wait: wait, body: e.body(), file: e.kind == bus.KindFile, renamed: renamed}
	g.paths[p] = v
	if v.file && v.body.inode != 0 {
		g.bodies[v.body] = p
	}
}

func (g *goneSet) remove(p string) {
	old, ok := g.paths[p]
	if !ok {
		return
	}
	delete(g.paths, p)
	if g.bodies[old.body] == p {
		delete(g.bodies, old.body)
	}
}

// former returns the vanished path whose file now has the body b, and whether
// that alone proves that the bytes are the same.
func (g *goneSet) former(b body) (p string, proven bool) {
	p = g.bodies[b]
	return p, g.paths[p].renamed
}

// distrust forgets what was known of renames, after watch events were lost.
func (g *goneSet) distrust() {
	for p, v := range g.paths {
		v.renamed = false
		g.paths[p] = v
	}
}

// due returns when tombstones may be made: once no path vanished for delay.
func (g *goneSet) due(delay time.Duration) time.Time {
	if len(g.paths) == 0 {
		return time.Time{}
	}
	quiet, latest := g.last.Add(delay), g.first.Add(burstCap*delay)
	if latest.Before(quiet) {
		return latest
	}
	return quiet
}

// settle has the tombstones that waited for a version of the package made now.
func (g *goneSet) settle(path string) {
	if prefix, ok := bus.PackagePrefix(path); ok && g.needed[prefix] {
		delete(g.needed, prefix)
		g.first = time.Time{}
	}
}

// vanish takes note that p, which is published, is not there, nor anything
// beneath it.
func (s *session) vanish(p string, e entry, renamed bool) {
	renamed = renamed && s.trusted && s.watch != nil && s.watch.complete()
	now := time.Now()
	s.gone.mark(p, e, renamed && s.works[p] == nil, s.deleteDelay(p), now)
	if e.kind != bus.KindDir {
		return
	}
	s.vanishBeneath(p, renamed, now)
}

func (s *session) vanishBeneath(p string, renamed bool, now time.Time) {
	s.tree.walk(p, func(q string, e entry) bool {
		w := s.works[q]
		if w == nil || !w.buries() {
			s.gone.mark(q, e, renamed && w == nil, s.deleteDelay(q), now)
		}
		return true
	})
}

// bury makes tombstones of what stayed away, if that much may be deleted.
func (s *session) bury(now time.Time) {
	if s.scanning || s.held() || len(s.gone.paths) == 0 {
		return // the end of the scan, or of the hold, comes back here
	}
	// A slow look at the folder alone would let a mount that just went away
	// pass as a thousand deletions.
	if err := s.folder.check(); err != nil {
		s.hold(holdFolder, err.Error())
		return
	}
	if !s.confirm(now) {
		return
	}
	if reason := s.tooMany(); reason != "" {
		s.hold(holdMass, reason)
		return
	}
	list := make([]string, 0, len(s.gone.paths))
	for p, v := range s.gone.paths {
		if now.Sub(v.at) >= v.wait {
			list = append(list, p)
		}
	}
	// Descending order puts what is in a directory before it.
	slices.SortFunc(list, func(a, b string) int { return cmp.Compare(b, a) })
	busy, coming := s.busyDirs(), s.comingPackages()
	for _, p := range list {
		if prefix, ok := bus.PackagePrefix(p); ok && coming[prefix] && now.Sub(s.gone.paths[p].at) < versionPatience {
			s.gone.needed[prefix] = true
			continue
		}
		s.tombstone(p, busy, now)
	}
	if len(s.gone.paths) == 0 {
		s.gone.first, s.gone.last = time.Time{}, time.Time{}
		s.approved = false
		return
	}
	// What could not be buried yet is tried again soon.
	s.gone.first = now
	s.gone.last = now
}

// confirm looks for each vanished path once more, and lets go of those that
// came back. It says whether any stayed away.
func (s *session) confirm(now time.Time) bool {
	list := make([]string, 0, len(s.gone.paths))
	for p := range s.gone.paths {
		list = append(list, p)
	}
	slices.Sort(list)
	absentDirs := make(map[string]bool)
	for _, p := range list {
		if up := above(p); absentDirs[up] {
			absentDirs[p] = true
			continue
		}
		seen, err := s.folder.look(p)
		switch {
		case err != nil:
			s.gone.remove(p)
			s.problems.add(p, "stat", err)
		case seen.ok:
			s.gone.remove(p)
			s.hint(p, hintCreate)
		default:
			// Nothing beneath it needs a look of its own.
			absentDirs[p] = true
		}
	}
	return len(s.gone.paths) > 0
}

// busyDirs are the directories above paths that are under way: their tombstones
// must not overtake what is in them.
func (s *session) busyDirs() map[string]bool {
	busy := make(map[string]bool)
	for p, w := range s.works {
		if w.buries() || w.phase == waiting || w.phase == withheld {
			continue
		}
		for up := above(p); up != "" && !busy[up]; up = above(up) {
			busy[up] = true
		}
	}
	return busy
}

// comingPackages are those of which a file has no event yet. Remotes make a new
// version from the old one, which is often removed before the main has read the
// new one: with its tombstone first, all of a large package would be sent.
func (s *session) comingPackages() map[string]bool {
	coming := make(map[string]bool)
	for p, w := range s.works {
		switch w.phase {
		case waiting:
			if w.failing || w.rescan || !s.markerMade { // the marker does not wait for a writer
				continue
			}
		case queued, reads:
		case withheld, ready, committing:
			continue
		}
		if prefix, ok := bus.PackagePrefix(p); ok {
			coming[prefix] = true
		}
	}
	return coming
}

func (s *session) tombstone(p string, busy map[string]bool, now time.Time) {
	e, ok := s.tree.get(p)
	if !ok {
		s.gone.remove(p)
		return
	}
	if busy[p] {
		return
	}
	if names, _ := s.tree.size(p); e.kind == bus.KindDir && names > s.tombs[p] {
		s.vanishBeneath(p, false, now) // it got children since
		return
	}
	w := s.works[p]
	switch {
	case w == nil:
		w = &work{path: p, slot: -1}
		s.works[p] = w
	case w.phase == waiting:
		s.times.remove(w)
	case w.phase == withheld:
		s.unwithhold(w)
	default:
		return
	}
	s.gone.remove(p)
	s.tree.doubt(p) // a scan that finds it again must say so
	s.problems.clear(p)
	w.event = &bus.Event{Kind: bus.KindDeleted, Path: p}
	s.tombs[above(p)]++
	s.recent.add(now)
	w.phase = ready
	s.ready.push(w)
	s.named(p)
}

// deleteDelay is for how long p must be gone until it counts as deleted.
func (s *session) deleteDelay(p string) time.Duration {
	if s.o.Index.IsIndex(p) {
		return max(s.o.IndexDelay, s.o.DeleteDelay)
	}
	return s.o.DeleteDelay
}
