package subscriber

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

// packItems bounds one packed request, beside its bytes. Items are collected
// while the requests before run, so a lone file does not wait for others.
const packItems = 1024

// linkPause is how long to wait after a request that failed as a whole.
const linkPause = time.Second

// pack brings small contents, many in one request.
func (s *session) pack(ctx context.Context) error {
	var left *item // did not fit into the last request
	for {
		var items []*item
		if left == nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case left = <-s.small:
			}
		}
		items, left = s.collect(left)
		if err := s.bringSmall(ctx, items); err != nil {
			return err
		}
	}
}

// collect takes what is queued behind first, as much as fits into one request.
func (s *session) collect(first *item) (items []*item, left *item) {
	var bytes int64
	limit := s.pace.size()
	for it := first; ; {
		size := it.size()
		if len(items) > 0 && (bytes+size > limit || len(items) == packItems) {
			return items, it
		}
		items, bytes = append(items, it), bytes+size
		select {
		case it = <-s.small:
		default:
			return items, nil
		}
	}
}

// size is the content's size; it does not change while an item is under way.
func (it *item) size() int64 { return it.content.Size }

// want is one item of a packed request.
type want struct {
	it  *item
	ev  bus.Event
	buf []byte // what came so far of a content in several pieces
	got bool
	err error // why the main did not give it
}

// bringSmall brings and stages contents that fit into one request. The main's
// files are asked first: many to a message, where the window has one in each. It
// has what the main's files are not any more.
func (s *session) bringSmall(ctx context.Context, items []*item) error {
	var wants []*want
	for _, it := range items {
		ev, _, ok := s.win.current(it)
		if !ok {
			continue
		}
		w := &want{it: it, ev: ev}
		switch err := s.stage.disk.take(ev.Content.Size); {
		case err != nil:
			s.failed(it, "staging", err)
		case ev.Content.Size == 0:
			s.stageSmall(w, nil)
		default:
			wants = append(wants, w)
		}
	}
	err := s.fetchSmall(ctx, wants)
	if err == nil {
		err = s.readWindow(ctx, wants)
	}
	if err != nil {
		return s.again(ctx, err, wants)
	}
	for _, w := range wants {
		switch {
		case w.got:
		case w.ev.InWindow && w.ev.Content.Objects > 1:
			if err := send(ctx, s.large, w.it); err != nil {
				return err
			}
		default:
			s.failed(w.it, "fetching", w.err)
		}
	}
	return nil
}

// again queues what did not come once more, after a pause: the request failed
// and not the files.
func (s *session) again(ctx context.Context, err error, wants []*want) error {
	if err := s.linkFailed(ctx, err); err != nil {
		return err
	}
	for _, w := range wants {
		if !w.got {
			if err := send(ctx, s.small, w.it); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkFailed notes why fetching does not work and waits a little. It returns an
// error only when the session ends.
func (s *session) linkFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	news := s.bulk == nil
	s.bulk = err
	s.mu.Unlock()
	if news {
		s.r.log.Warn().Err(err).Msg("fetching failed; trying again")
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.r.o.Bus.Changes():
	case <-time.After(linkPause):
	}
	return nil
}

func (s *session) linkWorks() {
	s.mu.Lock()
	s.bulk = nil
	s.mu.Unlock()
}

// readWindow takes from the bus's window the contents that the main's files are
// not any more.
func (s *session) readWindow(ctx context.Context, wants []*want) error {
	by := make(map[objects.ID][]*want)
	var ids []objects.ID
	for _, w := range wants {
		if w.got || !isGone(w.err) || !w.ev.InWindow || w.ev.Content.Objects != 1 {
			continue
		}
		id := w.ev.Content.Digest
		if by[id] == nil {
			ids = append(ids, id)
		}
		by[id] = append(by[id], w)
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := s.r.o.Bus.Window(ctx, s.r.o.Share, ids, func(id objects.ID, data []byte) error {
		s.r.received.Add(int64(len(data)))
		for _, w := range by[id] {
			s.stageSmall(w, data)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the window: %w", err)
	}
	return nil
}

// fetchSmall asks the main for whole contents. Its error is about the request;
// what is about one content goes to that item.
func (s *session) fetchSmall(ctx context.Context, wants []*want) error {
	for len(wants) > 0 {
		n, bytes := 0, int64(0)
		for n < len(wants) && n < bus.MaxFetchItems && bytes+wants[n].ev.Content.Size <= bus.MaxFetchBytes {
			bytes += wants[n].ev.Content.Size
			n++
		}
		if err := s.fetchPacked(ctx, wants[:n]); err != nil {
			return err
		}
		wants = wants[n:]
	}
	return nil
}

func (s *session) fetchPacked(ctx context.Context, wants []*want) error {
	items := make([]bus.Item, len(wants))
	for i, w := range wants {
		items[i] = bus.Item{Path: w.ev.Path, Digest: w.ev.Content.Digest, Length: w.ev.Content.Size}
	}
	errs, err := s.fetch(ctx, items, func(p bus.Piece) error {
		w := wants[p.Item]
		s.r.received.Add(p.Sent())
		size := w.ev.Content.Size
		if int64(len(p.Data)) == size {
			s.stageSmall(w, p.Data)
			return nil
		}
		if w.buf == nil {
			w.buf = make([]byte, 0, size)
		}
		if p.Offset != int64(len(w.buf)) || p.Offset+int64(len(p.Data)) > size {
			return fmt.Errorf("piece of %q at %d, want %d", w.ev.Path, p.Offset, len(w.buf))
		}
		w.buf = append(w.buf, p.Data...)
		if int64(len(w.buf)) == size {
			s.stageSmall(w, w.buf)
			w.buf = nil
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.fetchErrors(wants, errs)
	return nil
}

// fetchErrors notes why items of a request did not come.
func (s *session) fetchErrors(wants []*want, errs []error) {
	for i, w := range wants {
		if w.got {
			continue
		}
		w.err = errs[i]
		if w.err == nil {
			w.err = errors.New("the main sent less than the content")
		}
	}
}

// stageSmall verifies a whole content and writes it to the stage.
func (s *session) stageSmall(w *want, data []byte) {
	if w.got {
		return
	}
	w.got = true
	it := w.it
	if objects.Sum(data) != w.ev.Content.Digest {
		s.failed(it, "verifying", fmt.Errorf("the main's bytes: %w", objects.ErrDigest))
		return
	}
	a := s.r.attributes(&w.ev)
	var err error
	if it.staged, err = s.stage.put(data, a, it.fresh && !it.index); err != nil {
		s.failed(it, "writing to the stage", err)
		return
	}
	it.plan, it.have, it.synced = planReplace, a, false
	s.give(it)
}
