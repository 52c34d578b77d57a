package subscriber

import (
	"bytes"
	"encoding/binary"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

// contentsFrom is the size in bytes from which a content is found again by its
// digest: below, fetching it costs no more than looking.
const contentsFrom = 32 << 10

// record returns what is known of a path. A damaged record is none.
func (t *stateTx) record(path string) (record, bool) {
	v := t.files().Get([]byte(path))
	if v == nil {
		return record{}, false
	}
	r, err := decodeRecord(v)
	return r, err == nil && r.Event.Path == path
}

// putRecord stores what is known of a path. manifest is the encoding under
// r.Event.Content.Manifest, if it is at hand.
func (t *stateTx) putRecord(r *record, manifest []byte) error {
	path := r.Event.Path
	old, had := t.record(path)
	sameContent := had && old.Event.Kind == bus.KindFile && r.Event.Kind == bus.KindFile &&
		old.Event.Content.Digest == r.Event.Content.Digest && old.Event.Content.Manifest == r.Event.Content.Manifest
	known := sameContent && (manifest == nil || t.manifest(r.Event.Content.Manifest) != nil)
	if !known {
		if had {
			if err := t.forgetContent(&old); err != nil {
				return err
			}
		}
		if err := t.addContent(r, manifest); err != nil {
			return err
		}
	}
	return put(t.files(), []byte(path), r.append)
}

func (t *stateTx) addContent(r *record, manifest []byte) error {
	c := &r.Event.Content
	if r.Event.Kind != bus.KindFile {
		return nil
	}
	t.addTotals(1, c.Size)
	if c.Objects > 1 {
		if err := t.useManifest(c.Manifest, 1, manifest); err != nil {
			return err
		}
	}
	if c.Size < contentsFrom {
		return nil
	}
	return t.contents().Put(c.Digest[:], []byte(r.Event.Path))
}

func (t *stateTx) forgetContent(r *record) error {
	c := &r.Event.Content
	if r.Event.Kind != bus.KindFile {
		return nil
	}
	t.addTotals(-1, -c.Size)
	if c.Objects > 1 {
		if err := t.useManifest(c.Manifest, -1, nil); err != nil {
			return err
		}
	}
	if c.Size >= contentsFrom && string(t.contents().Get(c.Digest[:])) == r.Event.Path {
		return t.contents().Delete(c.Digest[:])
	}
	return nil
}

// dropRecord forgets a path.
func (t *stateTx) dropRecord(path string) error {
	if t.files().Get([]byte(path)) == nil {
		return nil
	}
	if old, ok := t.record(path); ok {
		if err := t.forgetContent(&old); err != nil {
			return err
		}
	}
	return t.files().Delete([]byte(path))
}

// holder returns a path that held a content when it was last looked at.
func (t *stateTx) holder(digest objects.ID) (path string, ok bool) {
	v := t.contents().Get(digest[:])
	return string(v), v != nil
}

// walkRecords calls fn for up to max records behind the path after, in byte
// order, and returns the last path seen; more is false when there is none behind.
func (t *stateTx) walkRecords(after string, max int, fn func(path string, r record)) (last string, more bool) {
	c := t.files().Cursor()
	k, v := c.Seek([]byte(after))
	if k != nil && string(k) == after {
		k, v = c.Next()
	}
	last = after
	for ; k != nil && max > 0; max-- {
		last = string(k)
		if r, err := decodeRecord(v); err == nil && r.Event.Path == last {
			fn(last, r)
		}
		k, v = c.Next()
	}
	return last, k != nil
}

// walkPrefix calls fn for the records whose path begins with prefix until fn
// returns false.
func (t *stateTx) walkPrefix(prefix string, fn func(path string, r record) bool) {
	c := t.files().Cursor()
	p := []byte(prefix)
	for k, v := c.Seek(p); k != nil && bytes.HasPrefix(k, p); k, v = c.Next() {
		r, err := decodeRecord(v)
		if err == nil && !fn(string(k), r) {
			return
		}
	}
}

// waiting returns the event that waits for a path.
func (t *stateTx) waiting(path string) (waiting, bool) {
	v := t.waits().Get([]byte(path))
	if v == nil {
		return waiting{}, false
	}
	w, err := decodeWaiting(v)
	return w, err == nil && w.Event.Path == path
}

// putWaiting keeps an event for later, unless a newer one of its path waits.
func (t *stateTx) putWaiting(w *waiting) error {
	if old, ok := t.waiting(w.Event.Path); ok && old.Seq > w.Seq {
		return nil
	}
	if err := t.dropWaiting(w.Event.Path); err != nil {
		return err
	}
	if err := t.due().Put(dueKey(w.Next, w.Seq, w.Event.Path), nil); err != nil {
		return err
	}
	if err := t.waits().SetSequence(t.waits().Sequence() + 1); err != nil {
		return err
	}
	if w.Op == opGrace {
		if err := t.due().SetSequence(t.due().Sequence() + 1); err != nil {
			return err
		}
	}
	return put(t.waits(), []byte(w.Event.Path), w.append)
}

// settleWaiting forgets what waits for a path, unless it is newer than seq, and
// returns the content that it wanted.
func (t *stateTx) settleWaiting(path string, seq uint64) (digest objects.ID, err error) {
	v := t.waits().Get([]byte(path))
	if v == nil {
		return objects.ID{}, nil
	}
	if w, err := decodeWaiting(v); err == nil {
		if w.Seq > seq {
			return objects.ID{}, nil
		}
		digest = w.Event.Content.Digest
	}
	return digest, t.dropWaiting(path)
}

// dropWaiting forgets what waits for a path.
func (t *stateTx) dropWaiting(path string) error {
	v := t.waits().Get([]byte(path))
	if v == nil {
		return nil
	}
	if w, err := decodeWaiting(v); err == nil {
		if err := t.due().Delete(dueKey(w.Next, w.Seq, path)); err != nil {
			return err
		}
		if w.Op == opGrace {
			if err := t.due().SetSequence(t.due().Sequence() - 1); err != nil {
				return err
			}
		}
	}
	if err := t.waits().SetSequence(t.waits().Sequence() - 1); err != nil {
		return err
	}
	return t.waits().Delete([]byte(path))
}

// waitingCount is the number of events that wait. The bucket's sequence, which
// has no other use here, keeps it.
func (t *stateTx) waitingCount() int64 { return int64(t.waits().Sequence()) }

// gracedCount is how many of these are deletions that wait for their grace time;
// it is kept in the same way, in the other bucket.
func (t *stateTx) gracedCount() int64 { return int64(t.due().Sequence()) }

// dropAllWaiting forgets all that waits, because it comes again.
func (t *stateTx) dropAllWaiting() error {
	if err := t.due().SetSequence(0); err != nil {
		return err
	}
	for {
		k, _ := t.waits().Cursor().First()
		if k == nil {
			break
		}
		if err := t.waits().SetSequence(0); err != nil {
			return err
		}
		if err := t.waits().Delete(k); err != nil {
			return err
		}
	}
	for {
		k, _ := t.due().Cursor().First()
		if k == nil {
			return nil
		}
		if err := t.due().Delete(k); err != nil {
			return err
		}
	}
}

// walkDue calls fn for waiting events in the order of their time and, within
// one time, of the stream, until fn returns false.
func (t *stateTx) walkDue(after []byte, fn func(key []byte, w waiting) bool) {
	c := t.due().Cursor()
	k, _ := c.Seek(after)
	if k != nil && bytes.Equal(k, after) {
		k, _ = c.Next()
	}
	for ; k != nil; k, _ = c.Next() {
		if len(k) <= 16 {
			continue
		}
		w, ok := t.waiting(string(k[16:]))
		if ok && !fn(k, w) {
			return
		}
	}
}

func dueKey(next time.Time, seq uint64, path string) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, 16+len(path)), uint64(nanos(next)))
	k = binary.BigEndian.AppendUint64(k, seq)
	return append(k, path...)
}
