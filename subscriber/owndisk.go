package subscriber

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"waptsync/bus"
	"waptsync/objects"
)

// syncFrom is the size in bytes from which a staged content is made durable by
// whoever staged it, so that it does not keep the committer.
const syncFrom = 1 << 20

// fromOwnDisk finds the whole content where it already is: at the path itself,
// or at another path of the share. What cannot be had so is sent on.
func (s *session) fromOwnDisk(ctx context.Context, it *item) error {
	workCtx, ev, ok := s.win.begin(ctx, it)
	if !ok {
		return nil
	}
	v := s.tree.visit()
	defer v.close()
	found, err := s.adopt(workCtx, v, it, &ev)
	if err == nil && !found {
		found, err = s.copyWhole(workCtx, v, it, &ev)
	}
	switch {
	case found:
		s.give(it)
		return nil
	case err != nil && stopped(workCtx, err):
		s.stage.discard(it.staged)
		return ctx.Err()
	case err != nil:
		s.failed(it, "reusing what is on disk", err)
		return nil
	}
	relatives := false
	err = s.r.state.view(func(tx *stateTx) error {
		relatives = it.old != nil || hasRelatives(tx, ev.Path)
		return nil
	})
	if err != nil {
		return broken("reading the state", err)
	}
	return send(ctx, s.channel(&ev, relatives), it)
}

// adopt hashes what lies at the path when it has the right size. A file that
// cannot be read is one that has to be brought.
func (s *session) adopt(ctx context.Context, v *visit, it *item, ev *bus.Event) (bool, error) {
	f, err := v.openFile(ev.Path)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	before, err := statFile(f)
	if err != nil || before.size != ev.Content.Size {
		return false, nil
	}
	m, err := describe(ctx, f, &ev.Content)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return false, nil // unreadable, or changing: it is replaced
	}
	after, err := statFile(f)
	if err != nil || after != before {
		return false, nil
	}
	if m.Digest != ev.Content.Digest {
		it.old = m
		return false, nil
	}
	it.plan, it.seen = planAdopt, before
	it.manifest = encodingOf(m, &ev.Content)
	s.r.reused.Add(before.size)
	return true, nil
}

// describe cuts a file as content c was cut, so that the result can also serve
// as a source of objects.
func describe(ctx context.Context, f *os.File, c *bus.Content) (*objects.Manifest, error) {
	p := c.Params
	if c.Objects <= 1 {
		p = objects.ParamsFor(c.Size, false)
	}
	st, err := statFile(f)
	if err != nil {
		return nil, err
	}
	return objects.Describe(ctx, f, st.size, p, objects.DescribeOptions{MD5: c.HasMD5})
}

// encodingOf returns m's encoding if it is the one that c names, else nil.
func encodingOf(m *objects.Manifest, c *bus.Content) []byte {
	if c.Objects <= 1 {
		return nil
	}
	b, err := m.AppendBinary(nil)
	if err != nil || objects.Sum(b) != c.Manifest {
		return nil
	}
	return b
}

// copyWhole stages a copy of another path that should hold the content.
func (s *session) copyWhole(ctx context.Context, v *visit, it *item, ev *bus.Event) (bool, error) {
	var from string
	var ok bool
	err := s.r.state.view(func(tx *stateTx) error {
		from, ok = wholeHolder(tx, ev)
		return nil
	})
	if err != nil || !ok {
		return false, err
	}
	src, err := v.openFile(from)
	if err != nil {
		return false, nil
	}
	defer src.Close()
	if st, err := statFile(src); err != nil || st.size != ev.Content.Size {
		return false, nil
	}
	if err := s.stage.disk.take(min(ev.Content.Size, allocated(src))); err != nil {
		return false, err
	}
	name := s.stage.name()
	err = s.stageCopy(ctx, name, src, ev)
	if errors.Is(err, objects.ErrDigest) || errors.Is(err, objects.ErrSizeChanged) {
		s.stage.discard(name)
		return false, nil // it is not what it was any more
	}
	if err != nil {
		s.stage.discard(name)
		return false, err
	}
	it.plan, it.staged, it.synced = planReplace, name, ev.Content.Size >= syncFrom
	s.r.reused.Add(ev.Content.Size)
	return true, nil
}

// copyStep is what is copied between two looks at whether to go on.
const copyStep = 64 << 20

// copyFile copies the first size bytes to a new file, and leaves the holes. io.Copy
// uses copy_file_range(2) between two files on Linux, behind a LimitedReader too, and
// falls back by itself; where extents cannot be shared that fills holes.
func copyFile(ctx context.Context, dst, src *os.File, size int64) error {
	for at := int64(0); at < size; {
		from, to := dataRun(src, at, size)
		for _, f := range []*os.File{dst, src} {
			if _, err := f.Seek(from, io.SeekStart); err != nil {
				return err
			}
		}
		for left := to - from; left > 0; {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := io.Copy(dst, &io.LimitedReader{R: src, N: min(left, copyStep)})
			if err == nil && n == 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
			left -= n
		}
		at = to
	}
	st, err := src.Stat()
	if err == nil && st.Size() < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return dst.Truncate(size)
}

func (s *session) stageCopy(ctx context.Context, name string, src *os.File, ev *bus.Event) error {
	dst, err := s.stage.dir.openStaged(name)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := cloneFile(ctx, dst, src, ev.Content.Size); err != nil {
		return fmt.Errorf("copying within the disk: %w", err)
	}
	if err := objects.Verify(ctx, dst, ev.Content.Size, ev.Content.Digest); err != nil {
		return err
	}
	if ev.Content.Size >= syncFrom {
		return dst.Sync()
	}
	return nil
}
