package publisher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/objects"
)

// outcome is what became of a file that was to be read.
type outcome uint8

const (
	hashed      outcome = iota // its event is ready
	hashBusy                   // somebody writes it
	hashQuiet                  // look again after wait, nobody can say whether somebody writes it
	hashChanged                // it changed while it was read, or is no file any more
	hashFailed
)

// reading is one file to be read, and what came of it.
type reading struct {
	path   string
	window bool                // put its objects into the window
	had    map[objects.ID]bool // but these
	// quiet is the file as it was when a wait began, and is set when one begins.
	quiet stat
	// blind: no watch tells of a change within the same tick of the clock of
	// time stamps, so a file must be older than that.
	blind bool
	// isIndex: tell what the file names.
	isIndex bool

	outcome outcome
	wait    time.Duration
	st      stat // what was read
	start   time.Time
	content bus.Content
	put     bool // all objects but those were put into the window
	err     error
	named   []index.Entry
	namedBy error // why the index cannot be read
}

// hasher reads files. Its methods may be called concurrently.
type hasher struct {
	folder    *folder
	window    ObjectWindow
	manifests *manifestCache
	md5       bool
	writers   func(*os.File) settled
	quiet     time.Duration
	files     *atomic.Int64
	bytes     *atomic.Int64
}

// read fills r. A content is good only if the file was the same before and
// after it was read, and is still what stands at the path.
func (h *hasher) read(ctx context.Context, r *reading) {
	r.start = time.Now()
	f, before, err := h.folder.open(r.path)
	if err != nil {
		r.fail(err)
		return
	}
	defer func() { _ = f.Close() }()
	if wait := tick - time.Duration(r.start.UnixNano()-before.ctime); r.blind && wait > 0 && wait <= tick {
		r.outcome, r.wait, r.quiet = hashQuiet, wait, stat{}
		return
	}
	switch h.writers(f) {
	case settleBusy:
		r.outcome, r.quiet = hashBusy, stat{}
		return
	case settleUnknown:
		if wait := before.quiet(r.start, h.quiet); wait > 0 && before != r.quiet {
			r.outcome, r.wait, r.quiet = hashQuiet, wait, before
			return
		}
	case settleDone:
	}
	r.quiet = stat{}
	put := h.putter(ctx, r, before.size)
	params := objects.ParamsForFile(f, before.size)
	counted := &countingReader{r: f, n: h.bytes}
	m, err := objects.Describe(ctx, counted, before.size, params, objects.DescribeOptions{MD5: h.md5, Emit: put.emit()})
	if errors.Is(err, objects.ErrSizeChanged) {
		r.outcome = hashChanged
		return
	}
	if err != nil {
		r.fail(err)
		return
	}
	h.files.Add(1)
	if r.isIndex {
		r.named, r.namedBy = index.Read(r.path, f, before.size)
	}
	fi, err := f.Stat()
	if err != nil {
		r.fail(err)
		return
	}
	now, err := h.folder.look(r.path)
	if err != nil {
		r.fail(err)
		return
	}
	if !now.ok || statOf(fi) != before || now.stat != before {
		r.outcome = hashChanged
		return
	}
	r.st = before
	if err := h.describe(m, r, put); err != nil {
		r.fail(err)
		return
	}
	r.put = put != nil && put.err == nil
	r.outcome = hashed
}

// describe makes r.content of m, and keeps the manifest if a remote will need it.
func (h *hasher) describe(m *objects.Manifest, r *reading, put *putter) error {
	r.content = bus.Content{
		Size: m.Size, Digest: m.Digest, MD5: m.MD5, HasMD5: m.HasMD5, Objects: uint32(len(m.Objects)),
	}
	if len(m.Objects) < 2 {
		return nil
	}
	encoded, err := m.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	r.content.Manifest, r.content.Params = objects.Sum(encoded), m.Params
	h.manifests.put(r.content.Manifest, encoded)
	if put != nil {
		put.put(objects.Object{ID: r.content.Manifest, Size: uint32(len(encoded))}, encoded)
	}
	return nil
}

func (r *reading) fail(err error) {
	r.outcome, r.err, r.quiet = hashFailed, err, stat{}
	switch {
	case absent(err) == nil, errors.Is(err, errNotFile):
		r.outcome = hashChanged
	case errors.Is(err, syscall.EAGAIN): // another program holds a lease that forbids readers
		r.outcome = hashBusy
	}
}

// putter puts a content's objects into the window. An error only means that
// remotes will have to fetch.
type putter struct {
	ctx    context.Context
	window ObjectWindow
	had    map[objects.ID]bool
	err    error
}

func (h *hasher) putter(ctx context.Context, r *reading, size int64) *putter {
	if !r.window || h.window == nil || size == 0 || size > h.window.MaxBytes()/8 {
		return nil
	}
	return &putter{ctx: ctx, window: h.window, had: r.had}
}

func (p *putter) emit() func(objects.Object, []byte) error {
	if p == nil {
		return nil
	}
	return func(o objects.Object, data []byte) error {
		p.put(o, data)
		return nil
	}
}

func (p *putter) put(o objects.Object, data []byte) {
	switch {
	case p.err != nil, p.had[o.ID]:
	case o.Size > bus.MaxWindowObject:
		p.err = errors.New("object too large for the window")
	default:
		p.err = p.window.Put(p.ctx, o.ID, data)
	}
}

// countingReader adds the bytes read to n.
type countingReader struct {
	r interface {
		ReadAt(b []byte, off int64) (int, error)
	}
	n *atomic.Int64
}

func (c *countingReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(b, off)
	c.n.Add(int64(n))
	return n, err
}
