package subscriber

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"
)

// opGrace is why a deletion waits that is no failure.
const opGrace = "waiting for the grace time"

// graceOf returns the time before which a path, or what lies beneath it, may not
// be deleted, since clients may hold an index that names it.
func (b *batch) graceOf(path string) (until time.Time) {
	grace := b.s.r.o.DeleteGrace
	if grace <= 0 {
		return time.Time{}
	}
	now := b.s.r.now()
	for _, p := range b.freed {
		if within(p, path) {
			return now.Add(grace)
		}
	}
	_ = b.s.r.state.view(func(tx *stateTx) error { // fails only when the file is closed
		if freed := tx.freedBeneath(path); !freed.IsZero() {
			until = freed.Add(grace)
		}
		return nil
	})
	if !until.After(now) {
		return time.Time{}
	}
	return until
}

// postpone moves a deletion to the waiting bucket until its grace time is over.
func (b *batch) postpone(o *op, until time.Time) {
	b.waits = append(b.waits, waiting{
		Seq: o.seq, At: o.at, Event: o.event, Op: opGrace, Tries: o.tries, Next: until,
	})
	b.graced = append(b.graced, o.event.Path)
	b.done = append(b.done, *o)
}

// storeGrace notes what an index that went had named, and forgets what is named
// again or gone.
func (b *batch) storeGrace(tx *stateTx) error {
	if b.s.r.o.DeleteGrace > 0 {
		for _, p := range b.freed {
			if err := tx.setFreed(p, b.s.r.now()); err != nil {
				return err
			}
		}
	}
	if k, _ := tx.grace().Cursor().First(); k == nil {
		return nil
	}
	for p := range b.changed {
		if err := tx.grace().Delete([]byte(p)); err != nil {
			return err
		}
	}
	return nil
}

func (t *stateTx) setFreed(path string, at time.Time) error {
	return t.grace().Put([]byte(path), binary.AppendVarint(nil, nanos(at)))
}

// freedBeneath returns when an index last ceased to name a path or one beneath it.
func (t *stateTx) freedBeneath(path string) (at time.Time) {
	c := t.grace().Cursor()
	for k, v := c.Seek([]byte(path)); k != nil && strings.HasPrefix(string(k), path); k, v = c.Next() {
		if n, ok := binary.Varint(v); ok > 0 && within(string(k), path) && instant(n).After(at) {
			at = instant(n)
		}
	}
	return at
}

// expireGrace forgets the names whose grace time is over.
func (s *session) expireGrace() error {
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	var over [][]byte
	err := s.r.state.view(func(tx *stateTx) error {
		c := tx.grace().Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if n, ok := binary.Varint(v); ok <= 0 || !instant(n).Add(s.r.o.DeleteGrace).After(s.r.now()) {
				over = append(over, bytes.Clone(k))
			}
		}
		return nil
	})
	if err != nil {
		return broken("reading the state", err)
	}
	if len(over) == 0 {
		return nil
	}
	return broken("writing the state", s.r.state.update(func(tx *stateTx) error {
		for _, k := range over {
			if err := tx.grace().Delete(k); err != nil {
				return err
			}
		}
		return nil
	}))
}
