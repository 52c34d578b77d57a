package publisher

import (
	"strings"
	"time"

	"waptsync/bus"
)

// hintKind is what a hint tells beyond "look".
type hintKind uint8

const (
	hintLook   hintKind = iota
	hintWrite           // bytes may have changed
	hintRehash          // bytes may have changed within one tick of the clock of time stamps
	hintCreate
	hintRemove
	hintRename     // renamed away
	hintAttributes // mode, owner or times may have changed
)

// hint is a reason to look at a path.
type hint struct {
	kind  hintKind
	seen  *stat // the file that a scan has just seen
	first bool  // the generation's first scan saw it
	// scanned: the scan that saw it scans it too, if it is a directory.
	scanned bool
}

// pauses between tries of a file that changes while it is read, or whose
// directory is not published yet
const (
	changedMin = 10 * time.Millisecond
	changedMax = 10 * time.Second
)

// hint looks at p now, or when the work that is under way is through.
func (s *session) hint(p string, kind hintKind) { s.look(p, hint{kind: kind}) }

func (s *session) look(p string, h hint) {
	w := s.works[p]
	if w == nil {
		s.check(p, h, nil)
		return
	}
	switch w.phase {
	case queued:
		// The hasher looks for itself.
		return
	case waiting:
		if h.kind != hintLook {
			s.hurry(w)
		}
		return
	case withheld:
		s.reconsider(w, h)
		return
	case ready:
		if w.event.Kind == bus.KindDeleted {
			s.takeBack(w)
			s.check(p, h, nil)
			return
		}
	}
	w.dirty = true
	w.written = w.written || h.kind == hintWrite || h.kind == hintRehash
}

// hurry lets a waiting work be looked at soon: a writer that has just written
// may be through.
func (s *session) hurry(w *work) {
	if w.quiet != (stat{}) {
		return // it must stay as it is for that long
	}
	now := time.Now()
	soon := now
	if !w.busySince.IsZero() {
		w.pause = 0
		soon = now.Add(settlePause(now.Sub(w.busySince), 0))
	}
	if soon.Before(w.due) {
		s.times.set(w, soon)
	}
}

// dirtyBeneath has all that is under way beneath p looked at again: when a
// directory is renamed, no event tells that of each path in it.
func (s *session) dirtyBeneath(p string) {
	if known, _ := s.tree.get(p); known.kind == bus.KindFile && s.works[p] == nil {
		return // it is nothing else on its way
	}
	prefix := p + "/"
	for q, w := range s.works {
		if strings.HasPrefix(q, prefix) {
			w.dirty = true
		}
	}
}

// takeBack undoes a tombstone that the committer does not have yet.
func (s *session) takeBack(w *work) {
	w.event = nil // its place in the queue stays, and is passed over
	s.buried(w.path)
	s.forget(w)
	s.named(w.path)
}

// buried counts a tombstone under way off.
func (s *session) buried(p string) {
	up := above(p)
	if s.tombs[up]--; s.tombs[up] <= 0 {
		delete(s.tombs, up)
	}
}

// check compares p with what is published, and makes or moves on its work w,
// which is nil or waiting and out of the timetable.
func (s *session) check(p string, h hint, w *work) {
	var seen sight
	if h.seen != nil {
		seen = sight{stat: *h.seen, ok: true}
	} else {
		var err error
		if seen, err = s.folder.look(p); err != nil {
			s.failed(s.workFor(p, h, w), "stat", err)
			return
		}
	}
	known, have := s.tree.get(p)
	if !seen.ok {
		s.forget(w)
		if seen.skip != nil {
			s.problems.note(p, opSkip, seen.skip.Error(), "")
		} else {
			s.problems.clear(p)
		}
		switch names, _ := s.tree.size(p); {
		case have:
			s.vanish(p, known, h.kind == hintRename && w == nil)
		case names > 0: // a directory without an event of its own
			s.vanishBeneath(p, false, time.Now())
		}
		s.named(p)
		return
	}
	s.gone.remove(p)
	switch seen.kind {
	case bus.KindDir:
		s.checkDir(p, h, w, seen, known)
	case bus.KindSymlink:
		if known.kind == bus.KindSymlink && known.target() == seen.target {
			s.settled(p, w)
			return
		}
		if w = s.workFor(p, h, w); !s.clearBeneath(w, known) {
			return
		}
		w.st = seen.stat
		s.makeReady(w, &bus.Event{
			Kind: bus.KindSymlink, Path: p, Mode: 0o777, MTime: seen.mtime, Target: seen.target,
			Origin: bus.Origin{Inode: seen.inode, CTime: seen.ctime},
		})
	default:
		s.checkFile(p, h, w, seen, known)
	}
}

func (s *session) checkDir(p string, h hint, w *work, seen sight, known entry) {
	if !h.scanned {
		s.enter(p, seen.inode, h.kind == hintCreate)
	}
	if w := s.works[listing(p)]; w != nil && h.kind != hintLook {
		s.hurry(w)
	}
	if known.kind == bus.KindDir && uint32(known.mode) == seen.mode {
		s.settled(p, w)
		return
	}
	w = s.workFor(p, h, w)
	w.st = seen.stat
	// The times of a directory change with what is in it and are not replicated.
	s.makeReady(w, &bus.Event{Kind: bus.KindDir, Path: p, Mode: seen.mode})
}

func (s *session) checkFile(p string, h hint, w *work, seen sight, known entry) {
	rehash := h.kind == hintRehash ||
		h.kind == hintWrite && time.Now().UnixNano()-seen.ctime < int64(5*tick) ||
		w != nil && w.rehash
	if known.sameFile(seen.stat) && !rehash {
		s.settled(p, w)
		return
	}
	if w = s.workFor(p, h, w); !s.clearBeneath(w, known) {
		return
	}
	w.rehash = rehash
	w.failing = false
	w.st = seen.stat
	w.blind = s.watch == nil || !s.watch.complete()
	// Of a file whose ctime alone changed, the bytes are most likely the same:
	// chmod -R must not push a repository through the window.
	w.window = !w.first && known.body() != seen.body()
	// An index must be read to know what it names.
	if !s.o.Index.IsIndex(p) && s.renamed(w, known) {
		return
	}
	w.phase = queued
	if seen.size >= largeFile {
		s.large.push(w)
	} else {
		s.small.push(w)
	}
}

// renamed publishes a file that was seen to be renamed without reading it.
func (s *session) renamed(w *work, known entry) bool {
	old, proven := s.gone.former(w.st.body())
	if !proven || known.kind != 0 || w.rehash {
		return false
	}
	// A scan may have seen it before its directory was renamed.
	if seen, err := s.folder.look(w.path); err != nil || seen.stat != w.st {
		return false
	}
	was, ok := s.tree.get(old)
	if !ok || was.kind != bus.KindFile || was.body() != w.st.body() {
		return false
	}
	s.makeReady(w, &bus.Event{
		Kind: bus.KindFile, Path: w.path, Mode: w.st.mode, MTime: w.st.mtime,
		Content: was.content(), From: old,
		Origin: bus.Origin{Inode: w.st.inode, CTime: w.st.ctime},
	})
	return true
}

// clearBeneath says whether w, which is to be no directory, can be published:
// what was published beneath it must have its tombstones first.
func (s *session) clearBeneath(w *work, known entry) bool {
	if known.kind != bus.KindDir {
		return true
	}
	if names, _ := s.tree.size(w.path); names == 0 {
		return true
	}
	s.vanishBeneath(w.path, false, time.Now())
	s.wait(w, s.o.DeleteDelay)
	return false
}

// workFor returns the work of p, made if there is none.
func (s *session) workFor(p string, h hint, w *work) *work {
	if w != nil {
		return w
	}
	w = &work{path: p, slot: -1, first: h.first}
	if w.first {
		s.firstLeft++
	}
	s.works[p] = w
	return w
}

// settled ends the work of a path that is published as it stands.
func (s *session) settled(p string, w *work) {
	s.problems.clear(p)
	s.forget(w)
}

// forget ends a work; nil is none.
func (s *session) forget(w *work) {
	if w == nil {
		return
	}
	s.times.remove(w)
	s.countOff(w)
	delete(s.works, w.path)
}

// countOff lets the marker wait for w no longer.
func (s *session) countOff(w *work) {
	if w.first {
		w.first = false
		s.firstLeft--
	}
}

func (s *session) wait(w *work, d time.Duration) {
	w.phase = waiting
	s.times.set(w, time.Now().Add(d))
}

func (s *session) failed(w *work, op string, err error) {
	w.pause = 0
	s.countOff(w)
	next := s.problems.add(w.path, op, err)
	s.log.Warn().Str("path", w.path).Str("op", op).Err(err).Time("next", next).Msg("path not published, will be tried again")
	w.phase = waiting
	w.failing = true
	s.times.set(w, next)
	s.named(w.path)
}

// makeReady hands an event to the committer, behind that of its directory.
func (s *session) makeReady(w *work, e *bus.Event) {
	if up := above(w.path); up != "" && !s.dirReady(up) {
		s.countOff(w)
		w.pause = min(changedMax, max(changedMin, 2*w.pause))
		s.wait(w, w.pause)
		return
	}
	// One event that cannot be stored must not hold up its whole batch.
	var err error
	if s.scratch, err = e.AppendBinary(s.scratch[:0]); err != nil {
		s.failed(w, "encode", err)
		return
	}
	w.event = e
	w.phase = ready
	s.ready.push(w)
	s.named(w.path)
}

// dirReady says whether the directory at p is published or will be before
// whatever becomes ready now.
func (s *session) dirReady(p string) bool {
	w := s.works[p]
	if w == nil {
		if known, _ := s.tree.get(p); known.kind == bus.KindDir {
			return true
		}
		s.check(p, hint{kind: hintLook}, nil)
		w = s.works[p]
	}
	if w == nil {
		known, _ := s.tree.get(p)
		return known.kind == bus.KindDir
	}
	if w.phase == ready || w.phase == committing {
		return w.event != nil && w.event.Kind == bus.KindDir
	}
	// A directory that waits to be published again, with another mode say, is there.
	known, _ := s.tree.get(p)
	return known.kind == bus.KindDir
}
