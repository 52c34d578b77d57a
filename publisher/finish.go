package publisher

import (
	"time"

	"waptsync/bus"
)

// finish judges what a hasher found.
func (s *session) finish(w *work, r *reading) {
	now := time.Now()
	w.quiet = r.quiet
	switch r.outcome {
	case hashed:
		s.finishHashed(w, r)
		s.gone.settle(w.path)
	case hashBusy:
		s.countOff(w)
		if w.busySince.IsZero() {
			w.busySince = now
		}
		busy := now.Sub(w.busySince)
		if busy > settleWarn {
			s.problems.note(w.path, "settle", "open for writing since "+w.busySince.UTC().Format(time.RFC3339),
				"it is published as soon as its writer closes it")
		}
		w.pause = settlePause(busy, w.pause)
		if w.dirty {
			w.pause = settlePause(busy, 0)
		}
		w.dirty, w.written = false, false
		s.wait(w, w.pause)
	case hashQuiet:
		s.countOff(w)
		w.dirty, w.written = false, false
		s.wait(w, r.wait)
	case hashChanged:
		s.countOff(w)
		w.pause = min(changedMax, max(changedMin, 2*w.pause))
		w.dirty, w.written = false, false
		s.wait(w, w.pause)
	case hashFailed:
		w.dirty, w.written = false, false
		s.failed(w, "read", r.err)
		s.gone.settle(w.path)
	}
}

func (s *session) finishHashed(w *work, r *reading) {
	w.st, w.start = r.st, r.start
	w.busySince = time.Time{}
	w.rehash = false
	known, _ := s.tree.get(w.path)
	content := r.content
	if !r.isIndex && known.kind == bus.KindFile && known.content() == content && known.sameFile(r.st) {
		s.settledUnchanged(w)
		return
	}
	e := &bus.Event{
		Kind: bus.KindFile, Path: w.path, Mode: r.st.mode, MTime: r.st.mtime,
		Content: content, InWindow: r.put,
		Origin: bus.Origin{Inode: r.st.inode, CTime: r.st.ctime},
	}
	e.From = s.formerPath(w, known, content)
	if r.isIndex {
		s.admitIndex(w, r, e)
		return
	}
	s.makeReady(w, e)
}

// settledUnchanged ends a work whose file is published as it was read.
func (s *session) settledUnchanged(w *work) {
	dirty, written := w.dirty, w.written
	s.settled(w.path, w)
	if dirty {
		s.hint(w.path, s.recheckKind(w, written))
	}
}

// formerPath returns the path that this new file's content had a moment ago.
func (s *session) formerPath(w *work, known entry, content bus.Content) string {
	old, _ := s.gone.former(w.st.body())
	if known.kind != 0 || old == "" {
		return ""
	}
	if was, _ := s.tree.get(old); was.digest != content.Digest {
		return ""
	}
	return old
}

// recheckKind is how to look at a path again after w: if bytes may have changed
// within the same tick of the clock that its ctime has, they must be read again.
func (s *session) recheckKind(w *work, written bool) hintKind {
	if written && w.st.ctime > w.start.Add(-tick).UnixNano() {
		return hintRehash
	}
	return hintLook
}
