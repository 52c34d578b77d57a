package publisher

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"waptsync/bus"
)

// watched takes a watch event as a hint.
func (s *session) watched(e fsnotify.Event) {
	p, ok := s.watch.relative(e.Name)
	if !ok {
		if filepath.Clean(e.Name) == s.o.Dir && e.Op&(fsnotify.Remove|fsnotify.Rename) != 0 {
			s.health()
		}
		return
	}
	kind := hintLook
	switch {
	case e.Has(fsnotify.Rename):
		kind = hintRename
		s.watch.drop(p, true)
		s.dirtyBeneath(p)
	case e.Has(fsnotify.Remove):
		kind = hintRemove
		s.watch.drop(p, false) // a directory is removed after what is in it
	case e.Has(fsnotify.Create):
		kind = hintCreate
		s.dirtyBeneath(p)
	case e.Has(fsnotify.Write):
		kind = hintWrite
	case e.Has(fsnotify.Chmod):
		kind = hintAttributes
	}
	s.hint(p, kind)
}

func (s *session) openWatcher() {
	w, err := newWatcher(s.folder, s.p.refuse)
	if err != nil {
		s.watch = nil
		s.warnUnwatched(err)
		s.problems.note(watchProblem, "watch", "no directory is watched: "+err.Error(), watchAdvice(err))
		s.nextPoll = time.Now().Add(s.o.Poll)
		s.p.setWatch(nil)
		return
	}
	s.watch = w
	s.p.setWatch(w)
	s.warned = false
	s.problems.clear(watchProblem)
}

func (s *session) warnUnwatched(err error) {
	if s.warned {
		return
	}
	s.warned = true
	s.log.Warn().Err(err).Str("hint", watchAdvice(err)).Dur("every", s.o.Poll).
		Msg("not every directory can be watched: scanning those by timer")
}

func (s *session) watchError(err error, open bool) {
	switch {
	case !open:
		s.watcherDied(errors.New("it was closed"))
	case errors.Is(err, fsnotify.ErrEventOverflow):
		s.log.Warn().Msg("watch events were lost: scanning the whole folder")
		s.distrust()
		s.startScan()
	default:
		s.watcherDied(err)
	}
}

// watcherDied begins anew with another watcher and a scan.
func (s *session) watcherDied(err error) {
	s.log.Warn().Err(err).Msg("the watcher failed: making another and scanning the whole folder")
	s.watch.close()
	s.distrust()
	s.openWatcher()
	s.startScan()
}

// distrust doubts all that watch events could have told of, until the next full
// scan. That compares with what is published, so it says nothing of what is
// under way.
func (s *session) distrust() {
	s.trusted = false
	s.gone.distrust()
	for _, w := range s.works {
		w.dirty = true
	}
}

// poll scans what cannot be watched.
func (s *session) poll(now time.Time) {
	s.nextPoll = time.Time{}
	if s.watch == nil {
		s.openWatcher()
		s.startScan()
		return
	}
	dirs, err := s.watch.refused()
	if len(dirs) == 0 {
		s.warned = false
		s.problems.clear(watchProblem)
		return
	}
	cause := fmt.Sprintf("%d directories are not watched but scanned every %s: %v", len(dirs), s.o.Poll, err)
	s.problems.note(watchProblem, "watch", cause, watchAdvice(err))
	for _, dir := range dirs {
		s.subscan(subscan{dir: dir})
	}
	s.nextPoll = now.Add(s.o.Poll)
}

// watchProblem is the path under which a status tells of what cannot be watched.
const watchProblem = "."

// startScan scans the whole folder, once more if a scan is running.
func (s *session) startScan() {
	if s.scanning {
		s.again = true
		return
	}
	s.scanning, s.again = true, false
	s.nextScan = time.Time{}
	if s.watch != nil {
		s.trusted = true // what is lost from now on says so again
	}
	sc := s.newScan(true)
	s.p.setScan(sc)
	s.group.Go(func() { s.scan(sc, "", nil) })
}

// newScan makes a scan whose watches go to the present watcher.
func (s *session) newScan(deep bool) *scan {
	w, first := s.watch, !s.firstDone
	return &scan{
		folder: s.folder, tree: s.tree, deep: deep,
		watch: func(dir string) {
			if w != nil {
				_ = w.add(dir) // remembered there, and reported by the session
			}
		},
		emit: func(ctx context.Context, list []found) error {
			select {
			case s.found <- foundBatch{list: list, first: first, deep: deep}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
}

func (s *session) scan(sc *scan, dir string, sub *subscan) {
	if sc.run(s.ctx, dir) != nil {
		return // the session ends
	}
	select {
	case s.scanned <- scanned{sub: sub, files: sc.files.Load(), bytes: sc.bytes.Load()}:
	case <-s.ctx.Done():
	}
}

// take judges the differences that a scan found.
func (s *session) take(b foundBatch) {
	for i := range b.list {
		f := &b.list[i]
		w := s.works[f.path]
		switch {
		case f.err != nil:
			s.scanFailed(f, b.first)
		case w != nil && w.phase == waiting:
			// It has its own time.
		default:
			h := hint{first: b.first, scanned: b.deep}
			if f.exists && !f.needsLook() {
				h.seen = &f.st
			}
			s.look(f.path, h)
		}
	}
}

// scanFailed has what a scan could not look at tried again.
func (s *session) scanFailed(f *found, first bool) {
	p := f.path
	if f.list {
		p = listing(p)
	}
	if s.works[p] != nil {
		return // under way, or waiting for its time
	}
	w := s.workFor(p, hint{first: first}, nil)
	w.rescan = f.list
	s.failed(w, "scan", f.err)
}

// listing is what the reading of a directory goes by among works and problems,
// beside the directory's own path: no path ends in '/'.
func listing(dir string) string { return dir + "/" }

// surePath is the length in bytes up to which a path that a scan met is valid.
const surePath = 255

// needsLook says whether what a scan saw must be looked at again to be judged.
// A hasher looks at a file anyway; all else could be published as the scan saw
// it before the directory above was renamed.
func (f *found) needsLook() bool {
	return f.st.kind != bus.KindFile || len(f.path) > surePath
}

func (s *session) scanEnded(e scanned) {
	if e.sub != nil {
		s.subsRun--
		if s.works[listing(e.sub.dir)] == nil {
			s.problems.clear(listing(e.sub.dir))
		}
		return
	}
	s.scanning = false
	if !s.firstDone {
		s.firstDone = true
		s.log.Info().Int64("files", e.files).Int64("bytes", e.bytes).Int("differ", len(s.works)).Msg("folder compared with the published state")
	}
	s.nextScan = time.Now().Add(s.o.Rescan)
	if s.watch != nil {
		if dirs, err := s.watch.refused(); len(dirs) > 0 {
			s.warnUnwatched(err)
			if s.nextPoll.IsZero() {
				s.nextPoll = time.Now()
			}
		}
	} else if s.nextPoll.IsZero() {
		s.nextPoll = time.Now().Add(s.o.Poll)
	}
	switch err := s.folder.check(); {
	case s.holding == holdManual || s.holding == holdFolder:
	case err != nil:
		s.hold(holdFolder, err.Error())
	case len(s.gone.paths) > 0 && s.emptied():
		s.hold(holdMass, "the folder "+s.o.Dir+" is empty, and was not")
	}
	if s.approved && len(s.gone.paths) == 0 {
		s.approved = false
	}
	if s.again {
		s.startScan()
	}
}

// enter scans a directory that is not watched yet: created, moved in, or made
// anew under an old name.
func (s *session) enter(dir string, inode uint64, created bool) {
	if s.watch != nil && s.watch.watches(dir, inode) {
		return
	}
	if s.watch == nil && !created {
		return
	}
	s.subscan(subscan{dir: dir, deep: true})
}

func (s *session) subscan(sub subscan) {
	if s.subSet[sub] {
		return
	}
	s.subSet[sub] = true
	s.subs = append(s.subs, sub)
}

func (s *session) startSubscans() {
	for s.subsRun < maxSubs && len(s.subs) > 0 {
		sub := s.subs[0]
		s.subs = s.subs[1:]
		delete(s.subSet, sub)
		if sub.deep && !sub.forced && s.covered(sub.dir) {
			continue
		}
		s.subsRun++
		sc := s.newScan(sub.deep)
		s.group.Go(func() { s.scan(sc, sub.dir, &sub) })
	}
}

// covered says whether another scan came to dir in the meantime: it watches a
// directory before it reads it.
func (s *session) covered(dir string) bool {
	if s.watch == nil {
		return false
	}
	id, ok := s.watch.identify(dir)
	return !ok || s.watch.watches(dir, id.inode)
}
