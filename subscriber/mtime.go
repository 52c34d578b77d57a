package subscriber

import (
	"encoding/binary"
	"math"

	"waptsync/bus"
	"waptsync/objects"
)

// WAPT's agents compare Last-Modified, which has whole seconds, for equality.
// So two contents of one path must never show the same second, also when one of
// them was replaced long ago: an agent may have slept meanwhile.

// shownSecond is a second that a content of a path was shown with.
type shownSecond struct {
	second int64
	digest [8]byte // beginning of the content's
}

// shownSeconds are the last ones of a path, oldest first.
type shownSeconds []shownSecond

// maxShown bounds how many are remembered, and runLength how long a run of
// seconds is, so that older ones are forgotten one by one: an index that changes
// several times a second runs ahead of the clock, which then comes to seconds
// that were shown and are not remembered.
const (
	maxShown  = 32
	runLength = 3600 // seconds
)

func shownAs(mtime int64, digest objects.ID) shownSecond {
	return shownSecond{second: wholeSecond(mtime), digest: [8]byte(digest[:8])}
}

// taken says whether another content showed the second of mtime, or may have:
// when there are more than are remembered, all seconds of the run up to the
// newest count, but for the content's own.
func (h shownSeconds) taken(mtime int64, digest objects.ID) bool {
	s := shownAs(mtime, digest)
	newest := int64(math.MinInt64)
	own := false
	for _, old := range h {
		if old.second == s.second && old.digest != s.digest {
			return true
		}
		own = own || old == s
		newest = max(newest, old.second)
	}
	return len(h) >= maxShown && !own && s.second <= newest && s.second > newest-runLength
}

func (h shownSeconds) with(s shownSecond) shownSeconds {
	for _, old := range h {
		if old == s {
			return h
		}
	}
	if len(h) >= maxShown {
		h = h[1:]
	}
	return append(h[:len(h):len(h)], s)
}

// visibleMTime is the mtime that a file gets: the main's, or the first whole
// second later that no other content of the path was shown with.
func (b *batch) visibleMTime(ev *bus.Event, st stat, rec *record, known bool) int64 {
	want := ev.MTime
	digest := ev.Content.Digest
	same := known && sameContent(&rec.Event, ev)
	if same && rec.Event.MTime == ev.MTime && rec.Local.MTime != 0 {
		want = rec.Local.MTime // as it was shown before
	}
	h := b.shown[ev.Path]
	if known && !same && rec.Event.Kind == bus.KindFile {
		h = h.with(shownAs(rec.Local.MTime, rec.Event.Content.Digest))
	}
	lies := st.kind == bus.KindFile && !(same && rec.vouches(st)) // other content, as far as is known
	for h.taken(want, digest) || lies && wholeSecond(st.mtime) == wholeSecond(want) {
		want += 1e9
	}
	return want
}

// adoptedMTime is visibleMTime for content that lies at the path already: a later
// second that it may have got from us before the state was lost stays.
func (b *batch) adoptedMTime(ev *bus.Event, st stat, rec *record, known bool) int64 {
	same := known && sameContent(&rec.Event, ev)
	if same && rec.Event.MTime == ev.MTime && rec.Local.MTime != 0 {
		return rec.Local.MTime
	}
	h := b.shown[ev.Path]
	if known && !same && rec.Event.Kind == bus.KindFile {
		h = h.with(shownAs(rec.Local.MTime, rec.Event.Content.Digest))
	}
	const most = 60e9 // ns that a bump is likely to have had
	later := st.mtime - ev.MTime
	if !same && later > 0 && later <= most && later%1e9 == 0 && !h.taken(st.mtime, ev.Content.Digest) {
		return st.mtime
	}
	want := ev.MTime
	for h.taken(want, ev.Content.Digest) {
		want += 1e9
	}
	return want
}

// noteShown remembers the second that a record's content was shown with, when
// another content or another second takes its place.
func (b *batch) noteShown(old *record) {
	if old.Event.Kind != bus.KindFile || old.Local.MTime == 0 {
		return
	}
	p := old.Event.Path
	was := shownAs(old.Local.MTime, old.Event.Content.Digest)
	if r := b.changed[p]; r != nil && was == shownAs(r.Local.MTime, r.Event.Content.Digest) {
		return
	}
	b.shown[p] = b.shown[p].with(was)
	b.shownChanged = append(b.shownChanged, p)
}

// storeShown writes what noteShown remembered. What is gone is forgotten, unless
// it is an index: that comes back.
func (b *batch) storeShown(tx *stateTx) error {
	for _, p := range b.shownChanged {
		if err := tx.setShownSeconds(p, b.shown[p]); err != nil {
			return err
		}
	}
	for p, r := range b.changed {
		if r == nil && !b.s.r.o.Index.IsIndex(p) {
			if err := tx.shown().Delete([]byte(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *stateTx) shownSeconds(path string) (h shownSeconds) {
	d := decoder{b: t.shown().Get([]byte(path))}
	for len(d.b) > 0 && len(h) < maxShown {
		s := shownSecond{second: d.varint()}
		copy(s.digest[:], d.take(len(s.digest)))
		if d.bad {
			return nil
		}
		h = append(h, s)
	}
	return h
}

func (t *stateTx) setShownSeconds(path string, h shownSeconds) error {
	var b []byte
	for _, s := range h {
		b = binary.AppendVarint(b, s.second)
		b = append(b, s.digest[:]...)
	}
	return t.shown().Put([]byte(path), b)
}

func wholeSecond(ns int64) int64 {
	s := ns / 1e9
	if ns%1e9 < 0 {
		s--
	}
	return s
}
