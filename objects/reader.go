package objects

import (
	"context"
	"io"
)

// reader reads a content in blocks, in order, and finds the ends of objects.
type reader struct {
	r       io.ReaderAt
	off     int64 // next byte to read
	size    int64
	cutter  cutter
	members *members
	forced  int64 // next place behind the last cut where an object ends whatever the bytes are
}

// newReader also takes the members of a zip container to cut at: those with
// data of half an average object, as each has a name to be sent for its data
// and one for its header.
func newReader(r io.ReaderAt, size int64, p Params) (*reader, error) {
	s := &reader{r: r, size: size, cutter: newCutter(p), forced: size}
	if !p.Zip {
		return s, nil
	}
	var err error
	if s.members, err = findMembers(r, size, int64(p.Avg)/2); err != nil {
		return nil, err
	}
	s.forced, err = s.members.next(0)
	return s, err
}

// more says whether there is something left to read.
func (s *reader) more() bool { return s.off < s.size }

// read fills b. With the last block it makes sure that the content ends there.
func (s *reader) read(ctx context.Context, b *block) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := min(blockSize, s.size-s.off)
	b.data = b.buf[:n]
	if _, err := readAt(s.r, b.data, s.off); err != nil {
		return err
	}
	if s.off+n == s.size {
		if err := checkEnd(s.r, s.size); err != nil {
			return err
		}
	}
	b.parts = b.parts[:0]
	for rest := b.data; len(rest) > 0; {
		k, end := s.cutter.next(rest[:min(int64(len(rest)), s.forced-s.off)])
		s.off += int64(k)
		if s.off == s.forced {
			end = true
			if s.off < s.size {
				var err error
				if s.forced, err = s.members.next(s.off); err != nil {
					return err
				}
			}
		}
		if end {
			s.cutter.reset()
		}
		b.parts = append(b.parts, part{size: k, end: end})
		rest = rest[k:]
	}
	return nil
}
