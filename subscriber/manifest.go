package subscriber

import (
	"context"
	"fmt"
	"slices"

	"waptsync/bus"
	"waptsync/objects"
)

// manifest returns the objects of a content and their encoding: from the state,
// the main or the window, and always as the event names it.
func (s *session) manifest(ctx context.Context, ev *bus.Event, rels []relative) (*objects.Manifest, []byte, error) {
	c := &ev.Content
	if c.Objects <= 1 {
		m := &objects.Manifest{Params: objects.ParamsFor(c.Size, false), Size: c.Size, Digest: c.Digest}
		if c.Objects == 1 {
			m.Objects = []objects.Object{{ID: c.Digest, Size: uint32(c.Size)}}
		}
		return m, nil, nil
	}
	var encoding []byte
	err := s.r.state.view(func(tx *stateTx) error {
		encoding = append(encoding, tx.manifest(c.Manifest)...)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if len(encoding) == 0 {
		encoding, err = s.fetchManifest(ctx, ev, rels)
		if isGone(err) && ev.InWindow {
			encoding, err = s.windowManifest(ctx, ev, err)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if objects.Sum(encoding) != c.Manifest {
		return nil, nil, fmt.Errorf("the main's manifest: %w", objects.ErrDigest)
	}
	m, err := objects.DecodeManifest(encoding)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the manifest: %w", err)
	}
	if m.Size != c.Size || m.Digest != c.Digest {
		return nil, nil, fmt.Errorf("the manifest is of %d bytes with digest %v, and the event of %d with %v", m.Size, m.Digest, c.Size, c.Digest)
	}
	return m, encoding, nil
}

// windowManifest takes from the bus's window what the main has no more; gone is
// how the main said so, and returned if the window has it not.
func (s *session) windowManifest(ctx context.Context, ev *bus.Event, gone error) (encoding []byte, err error) {
	missing, err := s.r.o.Bus.Window(ctx, s.r.o.Share, []objects.ID{ev.Content.Manifest}, func(_ objects.ID, data []byte) error {
		encoding = append(encoding[:0], data...)
		return nil
	})
	switch {
	case err != nil:
		return nil, linkOr(ctx, err)
	case len(missing) > 0:
		return nil, gone
	}
	return encoding, nil
}

// fetchManifest asks the main, for a delta if files that resemble the content have
// manifests here. What comes of that is right or not: then all is asked for.
func (s *session) fetchManifest(ctx context.Context, ev *bus.Event, rels []relative) ([]byte, error) {
	if ev.Content.Objects > objects.MaxObjects {
		return nil, fmt.Errorf("the content has %d objects: at most %d", ev.Content.Objects, objects.MaxObjects)
	}
	ids, bases := basesFor(&ev.Content, rels)
	if len(bases) == 0 {
		return s.fetchEncoding(ctx, ev, nil)
	}
	got, err := s.fetchEncoding(ctx, ev, ids)
	if err != nil || !objects.IsDelta(got) {
		return got, err
	}
	encoding, err := fromDelta(got, bases)
	if err == nil && objects.Sum(encoding) == ev.Content.Manifest {
		return encoding, nil
	}
	s.r.log.Debug().Err(err).Str("path", ev.Path).Msg("the delta of the manifest is of no use; all of it is asked for")
	return s.fetchEncoding(ctx, ev, nil)
}

func fromDelta(delta []byte, bases []*objects.Manifest) ([]byte, error) {
	m, err := objects.DecodeDelta(delta, bases)
	if err != nil {
		return nil, err
	}
	return m.AppendBinary(nil)
}

// basesFor are manifests against which the one of c may come as a delta.
func basesFor(c *bus.Content, rels []relative) (ids []objects.ID, bases []*objects.Manifest) {
	if c.Objects > objects.MaxDeltaObjects {
		return nil, nil
	}
	left := objects.MaxDeltaObjects
	most := min(objects.MaxBases, int(c.Objects/objectsABase))
	for i := range rels {
		id, m := rels[i].content.Manifest, rels[i].stored
		if m == nil || len(bases) == most || len(m.Objects) > left || slices.Contains(ids, id) {
			continue
		}
		left -= len(m.Objects)
		ids, bases = append(ids, id), append(bases, m)
	}
	return ids, bases
}

// objectsABase is how many objects a manifest has for each base that is named: the
// name costs as much as an object.
const objectsABase = 8

// manifestBound is the most bytes that the encoding of n objects takes.
func manifestBound(n uint32) int64 { return 128 + int64(n)*(5+int64(len(objects.ID{}))) }

// fetchEncoding returns what the main has as the manifest, or as its delta if there
// are bases; those it has only with few objects, and so in one answer.
func (s *session) fetchEncoding(ctx context.Context, ev *bus.Event, bases []objects.ID) (encoding []byte, err error) {
	bound := manifestBound(ev.Content.Objects)
	for {
		from := int64(len(encoding))
		n := min(bound-from, bus.MaxFetchBytes)
		items := []bus.Item{{
			Path: ev.Path, Digest: ev.Content.Digest, Offset: from, Length: n, Manifest: true, Known: bus.KnownManifests(bases),
		}}
		errs, err := s.fetch(ctx, items, func(p bus.Piece) error {
			encoding = append(encoding, p.Data...)
			return nil
		})
		switch {
		case err != nil:
			return nil, linkOr(ctx, err)
		case errs[0] != nil:
			return nil, fmt.Errorf("fetching the manifest: %w", errs[0])
		}
		if got := int64(len(encoding)) - from; got < n || int64(len(encoding)) >= bound {
			return encoding, nil
		}
	}
}
