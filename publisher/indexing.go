package publisher

import (
	"maps"
	"path"
	"time"

	"waptsync/bus"
	"waptsync/index"
)

// judgements that had to be put off are made again after the limit's
// twentieth, within these bounds.
const (
	indexLookMin = 10 * time.Millisecond
	indexLookMax = 5 * time.Second
	// patienceLimits is how often the limit an index waits for a named file
	// that is there, and is being read: one of 1 TiB takes an hour.
	patienceLimits = 12
)

// admitIndex decides about an index that a hasher has read: it is published
// behind all that it names, or waits for that.
func (s *session) admitIndex(w *work, r *reading, e *bus.Event) {
	if s.signatureWaits(w) {
		return
	}
	f := s.indexes.file(w.path)
	v, err := s.version(f, r)
	if err != nil {
		s.indexes.drop(f)
		if broken := unreadable(err); broken != nil {
			s.log.Warn().Str("path", w.path).Err(err).Msg("index cannot be read: published like any other file")
			f = s.indexes.file(w.path)
			s.indexes.note(func() { f.broken = broken })
		}
		s.publishIndex(w, e)
		return
	}
	known, _ := s.tree.get(w.path)
	s.indexes.note(func() {
		f.broken = nil
		if known.incomplete && known.digest == v.digest && f.excused == nil {
			f.excused = maps.Clone(v.missing) // by the publisher's life before this one
		}
	})
	s.indexes.setNext(f, v)
	w.event = e
	s.judgeNext(f, w, time.Now())
}

// version returns what the file that was read names.
func (s *session) version(f *indexFile, r *reading) (*version, error) {
	if r.namedBy != nil {
		return nil, r.namedBy
	}
	for _, v := range []*version{f.next, f.shown} {
		if v != nil && v.digest == r.content.Digest {
			return v, nil
		}
	}
	return s.indexes.add(f, r.content.Digest, r.named, func(e index.Entry) bool {
		if e.Optional {
			s.seek(e.Path)
		}
		return s.satisfied(e)
	}, func(p string) bool { return s.folder.exclude.Match(p, false) || s.folder.exclude.MatchAbove(p) })
}

// seek looks for a file that an index may name without its being there, unless
// it is published or under way: one that is there must come before the index.
func (s *session) seek(p string) {
	if _, ok := s.tree.get(p); ok || s.works[p] != nil {
		return
	}
	if seen, err := s.folder.look(p); err == nil && seen.ok && seen.kind == bus.KindFile {
		s.look(p, hint{kind: hintLook, first: !s.firstDone})
	}
}

// satisfied says whether what an index names is published, or on its way ahead
// of whatever becomes ready now.
func (s *session) satisfied(e index.Entry) bool {
	w := s.works[e.Path]
	if w != nil && (w.phase == ready || w.phase == committing) && w.event != nil {
		switch w.event.Kind {
		case bus.KindFile:
			return matches(w.event.Content, e)
		case bus.KindDeleted:
			return e.Optional
		}
		return false
	}
	switch known, ok := s.tree.get(e.Path); {
	case ok:
		return known.kind == bus.KindFile && matches(known.content(), e)
	case w != nil && !w.failing:
		return false // on its way
	}
	return e.Optional
}

// named has the indexes that name p judged again: what stands there, or will
// before whatever becomes ready now, may have changed.
func (s *session) named(p string) {
	for _, f := range s.indexes.changed(p, s.satisfied) {
		s.judgeIndex(f, time.Now())
	}
}

// judgeIndex moves an index on if that can be.
func (s *session) judgeIndex(f *indexFile, now time.Time) {
	w := s.works[f.path]
	switch {
	case w != nil && w.phase == withheld && f.next != nil:
		s.judgeNext(f, w, now)
	case w != nil:
		// It is judged when that is through.
		s.indexes.wait(f, now.Add(s.indexLook()))
	case f.shown == nil:
		s.indexes.done(f)
	default:
		s.judgeShown(f, now)
	}
}

// judgeNext publishes an index's newest version, or withholds it.
func (s *session) judgeNext(f *indexFile, w *work, now time.Time) {
	if len(f.next.missing) == 0 || s.excused(f) || s.overdue(f, f.withheld, f.next, now) {
		s.releaseIndex(f, w, now)
		return
	}
	s.indexes.note(func() {
		if f.since.IsZero() {
			f.since = now
		}
		if f.withheld.IsZero() {
			f.withheld = now
		}
	})
	s.indexes.wait(f, s.nextJudgement(f.withheld, now))
	if w.phase == withheld {
		return
	}
	w.phase = withheld
	if _, ok := s.tree.get(w.path); ok {
		s.countOff(w) // an older version stands before the marker
	}
	s.log.Debug().Str("path", w.path).Int("missing", len(f.next.missing)).Msg("index waits for what it names")
	if w.dirty {
		kind := s.recheckKind(w, w.written)
		w.dirty, w.written = false, false
		s.reconsider(w, hint{kind: kind})
	}
}

// excused says whether all that the newest version lacks was known to be
// missing when the index was last published, or is left out on purpose.
func (s *session) excused(f *indexFile) bool {
	v := f.next
	if len(v.missing) > len(f.excused)+len(v.excluded) {
		return false
	}
	for p := range v.missing {
		_, known := f.excused[p]
		if _, excluded := v.excluded[p]; !known && !excluded {
			return false
		}
	}
	return true
}

// overdue says whether an index that lacks something since then waits no longer.
// The limit is about files that are missing: one that is there and on its way
// is waited for, in reason.
func (s *session) overdue(f *indexFile, since time.Time, v *version, now time.Time) bool {
	if since.IsZero() || now.Sub(since) < s.o.IndexLimit {
		return false
	}
	if !s.firstSettled() {
		s.indexes.note(func() { // all may still be found
			if !f.withheld.IsZero() {
				f.withheld = now
			}
			f.since = now
		})
		return false
	}
	if now.Sub(since) > patienceLimits*s.o.IndexLimit {
		return true
	}
	rank := index.Rank(f.path)
	for p := range v.missing {
		w := s.works[p]
		if w == nil {
			continue
		}
		switch w.phase {
		case queued, reads, ready, committing:
			return false
		case withheld:
			if index.Rank(p) < rank {
				return false
			}
		}
	}
	return true
}

// firstSettled says whether all that the first scan found is published or has
// failed, but for the indexes that wait.
func (s *session) firstSettled() bool {
	if !s.firstDone {
		return false
	}
	left := s.firstLeft
	for f := range s.indexes.pending {
		if w := s.works[f.path]; w != nil && w.phase == withheld && w.first {
			left--
		}
	}
	return left <= 0
}

func (s *session) indexLook() time.Duration {
	return min(indexLookMax, max(indexLookMin, s.o.IndexLimit/20))
}

// nextJudgement is when the limit is over, or a while from now if it was.
func (s *session) nextJudgement(since, now time.Time) time.Time {
	if due := since.Add(s.o.IndexLimit); due.After(now) {
		return due
	}
	return now.Add(s.indexLook())
}

// releaseIndex hands an index to the committer, complete or not.
func (s *session) releaseIndex(f *indexFile, w *work, now time.Time) {
	e := w.event
	if w.phase == withheld {
		// It may have been taken away where no watch tells.
		if seen, err := s.folder.look(w.path); err != nil || seen.stat != w.st {
			s.reconsider(w, hint{kind: hintLook})
			return
		}
	}
	w.event = nil
	missing := len(f.next.missing)
	e.Incomplete = missing > 0
	s.indexes.note(func() {
		f.withheld = time.Time{}
		switch {
		case missing == 0:
			f.since, f.told = time.Time{}, false
		case f.since.IsZero():
			f.since = now
		}
	})
	s.indexes.done(f)
	if e.Incomplete {
		s.tell(f, f.next)
	}
	s.publishIndex(w, e)
	s.hurrySignature(w.path)
}

// tell logs once that an index is published though it is incomplete.
func (s *session) tell(f *indexFile, v *version) {
	if f.told {
		return
	}
	f.told = true
	s.log.Warn().Str("path", f.path).Int("missing", len(v.missing)).Strs("first", firstNames(v.missing)).Time("since", f.since).
		Msg("index names files that are missing here: published all the same, marked as incomplete")
}

// publishIndex appends e unless that is what is published.
func (s *session) publishIndex(w *work, e *bus.Event) {
	known, _ := s.tree.get(w.path)
	if known.kind == bus.KindFile && known.content() == e.Content && known.sameFile(w.st) && known.incomplete == e.Incomplete {
		s.indexPublished(w.path, e)
		s.settledUnchanged(w)
		return
	}
	s.makeReady(w, e)
}

// indexPublished takes note that an index's version is what remotes see, or
// that something else stands at its path.
func (s *session) indexPublished(p string, e *bus.Event) {
	f := s.indexes.files[p]
	if f == nil {
		return
	}
	if e.Kind != bus.KindFile {
		s.indexes.drop(f)
		return
	}
	v := f.next
	if v == nil || v.digest != e.Content.Digest {
		v = f.shown
	}
	if v == nil || v.digest != e.Content.Digest {
		if f.broken == nil {
			s.indexes.drop(f)
		}
		return
	}
	s.indexes.setShown(f, v)
	s.indexes.setNext(f, nil)
	s.indexes.note(func() {
		f.excused = nil
		if e.Incomplete {
			f.excused = maps.Clone(v.missing)
		}
	})
	s.indexes.wait(f, time.Now()) // it is judged when its work is through
}

// judgeShown sees to it that the published version is marked as incomplete if
// it has been so for the limit, and not if it is complete.
func (s *session) judgeShown(f *indexFile, now time.Time) {
	known, ok := s.tree.get(f.path)
	if !ok || known.digest != f.shown.digest {
		s.indexes.done(f)
		return
	}
	incomplete := len(f.shown.missing) > 0
	s.indexes.note(func() {
		f.withheld = time.Time{}
		switch {
		case !incomplete:
			f.since, f.told = time.Time{}, false
		case f.since.IsZero():
			f.since = now
		}
	})
	_, vanished := s.gone.paths[f.path]
	switch {
	case incomplete == known.incomplete:
		s.indexes.done(f)
	case vanished: // it is about to be replaced, or deleted
		s.indexes.wait(f, now.Add(s.indexLook()))
	case !incomplete:
		s.republish(f, known, false)
	case s.overdue(f, f.since, f.shown, now):
		s.tell(f, f.shown)
		s.republish(f, known, true)
	default:
		s.indexes.wait(f, s.nextJudgement(f.since, now))
	}
}

// republish publishes an index as it is published already, but for the mark.
func (s *session) republish(f *indexFile, known entry, incomplete bool) {
	w := s.workFor(f.path, hint{}, nil)
	w.st = known.stat()
	s.indexes.wait(f, time.Now().Add(s.indexLook()))
	s.makeReady(w, &bus.Event{
		Kind: bus.KindFile, Path: f.path, Mode: uint32(known.mode), MTime: known.mtime, Content: known.content(),
		Incomplete: incomplete, Origin: bus.Origin{Inode: known.inode, CTime: known.ctime},
	})
}

// reconsider looks again at an index that waits for what it names: it may have
// been rewritten meanwhile, or taken away.
func (s *session) reconsider(w *work, h hint) {
	seen, err := s.folder.look(w.path)
	if err == nil && seen.ok && seen.stat == w.st && h.kind != hintRehash &&
		(h.kind != hintWrite || time.Now().UnixNano()-seen.ctime >= int64(5*tick)) {
		return
	}
	s.unwithhold(w)
	s.check(w.path, h, w)
}

// unwithhold makes a withheld index a work that waits, out of the timetable.
func (s *session) unwithhold(w *work) {
	w.phase, w.event = waiting, nil
	if f := s.indexes.files[w.path]; f != nil {
		s.indexes.setNext(f, nil)
		s.indexes.wait(f, time.Now().Add(s.indexLook()))
	}
}

// signatureWaits lets Debian's Release.gpg wait while the Release that it signs
// is on its way: it names nothing, and must not be ahead of it.
func (s *session) signatureWaits(w *work) bool {
	if path.Base(w.path) != "Release.gpg" {
		return false
	}
	signed := s.works[join(above(w.path), "Release")]
	if signed == nil || signed.failing || signed.phase == ready || signed.phase == committing {
		return false
	}
	s.countOff(w)
	w.dirty, w.written = false, false
	w.pause = min(changedMax, max(changedMin, 2*w.pause))
	s.wait(w, w.pause)
	return true
}

// hurrySignature lets what waits for p's release be looked at at once.
func (s *session) hurrySignature(p string) {
	if path.Base(p) != "Release" {
		return
	}
	if w := s.works[join(above(p), "Release.gpg")]; w != nil && w.phase == waiting && !w.failing {
		s.hurry(w)
	}
}
