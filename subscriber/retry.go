package subscriber

import (
	"bytes"
	"context"
	"time"
)

// maxRetries bounds the waiting events that are tried at one time, so that they
// leave room for new ones.
const maxRetries = maxUnresolved / 8

// retryWaiting brings waiting events back when their time has come. At the
// beginning of a session, which may follow on a repaired connection or a
// restart, all of them have a try.
func (s *session) retryWaiting(ctx context.Context) error {
	tried := newPathSet() // in the first round; a path that fails again has to wait
	var after []byte      // in the first round, the last one that had its try
	for {
		items, last, next, more := s.due(tried, after)
		if err := s.examine(ctx, items); err != nil {
			return err
		}
		after = last
		if tried != nil && !more {
			tried, after = nil, nil
			continue
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(max(next.Sub(s.r.now()), 0))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.r.retried:
		case <-timer:
		}
	}
}

// due admits waiting events to the window: those whose time has come, or with
// tried all behind the key after that are not in it yet. next is when the first of the others is due;
// more says that the window has no room for all.
func (s *session) due(tried *pathSet, after []byte) (items []*item, last []byte, next time.Time, more bool) {
	room := s.win.retryRoom()
	now := s.r.now()
	last = after
	_ = s.r.state.view(func(tx *stateTx) error { // fails only when the file is closed
		tx.walkDue(after, func(key []byte, w waiting) bool {
			if tried == nil && w.Next.After(now) {
				next = w.Next
				return false
			}
			if tried != nil && tried.contains(w.Event.Path) {
				return true
			}
			if len(items) >= room {
				more = true
				return false
			}
			if it := s.win.retry(&w); it != nil {
				items = append(items, it)
			}
			if tried != nil {
				tried.add(w.Event.Path)
				last = bytes.Clone(key)
			}
			return true
		})
		return nil
	})
	return items, last, next, more
}

// retryRoom is how many more waiting events may be tried now.
func (w *window) retryRoom() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(maxRetries-(w.retries-w.heldRetries), 0)
}
