package publisher

import (
	"context"
	"errors"
	"fmt"

	"waptsync/bus"
	"waptsync/objects"
)

// Set answers fetches for several shares, by their names.
type Set map[string]*Publisher

var _ bus.Files = Set(nil)

// Open implements [bus.Files].
func (s Set) Open(share, path string, digest objects.ShortID) (bus.ContentReader, error) {
	p, err := s.share(share)
	if err != nil {
		return nil, err
	}
	return p.Open(path, digest)
}

// Manifest implements [bus.Files].
func (s Set) Manifest(ctx context.Context, share, path string, digest objects.ShortID, bases []objects.ID) ([]byte, error) {
	p, err := s.share(share)
	if err != nil {
		return nil, err
	}
	return p.Manifest(ctx, path, digest, bases)
}

func (s Set) share(name string) (*Publisher, error) {
	if p := s[name]; p != nil {
		return p, nil
	}
	return nil, &bus.FetchError{Code: bus.FetchRefused, Text: fmt.Sprintf("no share %q", name)}
}

// Open opens a content as it lies under path. Close of the reader says whether
// it changed while it was open: what was read is good only then.
func (p *Publisher) Open(path string, digest objects.ShortID) (bus.ContentReader, error) {
	s, e, err := p.published(path, digest)
	if err != nil {
		return nil, err
	}
	key := readerKey{path, e.digest}
	if f := p.readers.get(key); f != nil {
		return &contentReader{p: p, f: f}, nil
	}
	file, st, err := s.folder.open(path)
	switch {
	case err != nil && (absent(err) == nil || errors.Is(err, errNotFile)):
		return nil, p.changed(path)
	case err != nil:
		// A link that leads out, or nowhere, has an error of its own, and is no
		// failure: what was published is not there any more.
		if now, lerr := s.folder.look(path); lerr == nil && (!now.ok || now.kind != bus.KindFile) {
			return nil, p.changed(path)
		}
		return nil, &bus.FetchError{Code: bus.FetchFailed, Text: fmt.Sprintf("opening %q: %s", path, cause(err))}
	case !e.sameFile(st):
		_ = file.Close()
		return nil, p.changed(path)
	}
	f := &openFile{key: key, file: file, st: st}
	if st.size <= bus.MaxPiece {
		f.refs, f.dead = 1, true // one request has all of it
	} else {
		p.readers.put(f)
	}
	return &contentReader{p: p, f: f}, nil
}

// Manifest returns the encoded manifest of a content of several objects, or its
// delta against those of the bases that are remembered. It must not be changed.
func (p *Publisher) Manifest(ctx context.Context, path string, digest objects.ShortID, bases []objects.ID) ([]byte, error) {
	encoded, err := p.manifest(ctx, path, digest)
	if err != nil || len(bases) == 0 {
		return encoded, err
	}
	remembered := make([][]byte, len(bases))
	for i, id := range bases {
		remembered[i], _ = p.manifests.get(id)
	}
	return objects.Delta(encoded, remembered), nil
}

// manifest reads the file again if its manifest is remembered nowhere.
func (p *Publisher) manifest(ctx context.Context, path string, digest objects.ShortID) ([]byte, error) {
	_, e, err := p.published(path, digest)
	if err != nil {
		return nil, err
	}
	c := e.content()
	if c.Manifest.IsZero() {
		return nil, &bus.FetchError{Code: bus.FetchRefused, Text: fmt.Sprintf("%q needs no manifest", path)}
	}
	if encoded, ok := p.manifests.get(c.Manifest); ok {
		return encoded, nil
	}
	made := p.making.DoChan(string(c.Manifest[:]), func() (any, error) {
		return p.makeManifest(path, c)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-made:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.([]byte), nil
	}
}

// makeManifest reads the file at path again. It goes on when the one who asked
// gave up, since others may wait for the same.
func (p *Publisher) makeManifest(path string, c bus.Content) ([]byte, error) {
	s := p.running()
	if s == nil {
		return nil, errNotPublished
	}
	r, err := p.Open(path, c.Digest.Short())
	if err != nil {
		return nil, err
	}
	m, err := objects.Describe(s.ctx, r, c.Size, c.Params, objects.DescribeOptions{MD5: c.HasMD5})
	if closed := r.Close(); closed != nil {
		return nil, closed
	}
	if err != nil {
		return nil, &bus.FetchError{Code: bus.FetchFailed, Text: fmt.Sprintf("reading %q: %s", path, cause(err))}
	}
	encoded, err := m.AppendBinary(nil)
	if err != nil {
		return nil, &bus.FetchError{Code: bus.FetchFailed, Text: fmt.Sprintf("encoding the manifest of %q: %v", path, err)}
	}
	if objects.Sum(encoded) != c.Manifest {
		// The time stamps say that nothing changed, the bytes that something did.
		return nil, p.changed(path)
	}
	p.manifests.put(c.Manifest, encoded)
	return encoded, nil
}

var errNotPublished = &bus.FetchError{Code: bus.FetchBusy, Text: "the share's state is being read back"}

// published returns the published state of path, which must have that content.
func (p *Publisher) published(path string, digest objects.ShortID) (*session, entry, error) {
	if err := bus.ValidPath(path); err != nil {
		return nil, entry{}, &bus.FetchError{Code: bus.FetchRefused, Text: err.Error()}
	}
	s := p.running()
	if s == nil {
		return nil, entry{}, errNotPublished
	}
	if v, ok := s.announced.Load(path); ok {
		if e := v.(entry); e.digest.Short() == digest {
			return s, e, nil
		}
	}
	e, ok := s.tree.get(path)
	if !ok || e.kind != bus.KindFile || e.digest.Short() != digest {
		return nil, entry{}, gone(path)
	}
	return s, e, nil
}

func gone(path string) error {
	return &bus.FetchError{Code: bus.FetchGone, Text: fmt.Sprintf("%q holds that content no more", path)}
}

// changed has path looked at again and returns the error for the one who asked.
func (p *Publisher) changed(path string) error {
	select {
	case p.recheck <- path:
	default: // so many have changed that the next scan will do
	}
	return gone(path)
}
