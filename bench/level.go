//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"waptsync/bench/tree"
)

// looking bounds how often trees are looked at: one part in looking of the
// time, at most, of one core.
const looking = 20

// level waits until every copy equals the source, and returns how long after
// the given moment that was: the copies' own newest change tells it, so the
// looks can be rare. Content is compared last and once.
func (s *scene) level(ctx context.Context, since time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("trees differ after %v", s.timeout))
	defer cancel()
	want := make(map[string]tree.Tree)
	for _, share := range shares {
		t, _, err := tree.List(filepath.Join(s.src, share))
		if err != nil {
			return 0, err
		}
		want[share] = t
	}
	open, last := s.copies, since
	for {
		ended := s.ended()
		begin := time.Now()
		var differs string
		for len(open) > 0 {
			var changed time.Time
			var err error
			if differs, changed, err = open[0].differs(want); err != nil {
				return 0, err
			}
			if differs != "" {
				break
			}
			if changed.After(last) {
				last = changed
			}
			open = open[1:]
		}
		cost := time.Since(begin)
		if len(open) == 0 {
			found := time.Now()
			var err error
			if differs, err = s.contentDiffers(want); err != nil {
				return 0, err
			}
			if differs == "" {
				return max(0, min(last.Sub(since), found.Sub(since))), nil
			}
			open, cost = s.copies, max(cost, time.Since(begin))
		}
		if ended != nil {
			return 0, fmt.Errorf("%s: %w", differs, ended)
		}
		for _, p := range s.procs {
			p.sample()
		}
		if err := sleep(ctx, pause(cost)); err != nil {
			return 0, fmt.Errorf("%w: %s", context.Cause(ctx), differs)
		}
	}
}

// pause is the time between two looks of the given cost.
func pause(cost time.Duration) time.Duration {
	return min(max(50*time.Millisecond, looking*cost), time.Minute)
}

// differs tells in what the names and sizes differ, by counting first.
func (m *mirror) differs(want map[string]tree.Tree) (string, time.Time, error) {
	for _, share := range shares {
		n, err := tree.Count(filepath.Join(m.folder, share))
		if err != nil {
			return "", time.Time{}, err
		}
		if n != len(want[share]) {
			return fmt.Sprintf("share %s has %d files of %d", share, n, len(want[share])), time.Time{}, nil
		}
	}
	var newest time.Time
	for _, share := range shares {
		got, changed, err := tree.List(filepath.Join(m.folder, share))
		if err != nil {
			return "", time.Time{}, err
		}
		if d := tree.Difference(want[share], got); d != "" {
			return fmt.Sprintf("share %s: %s", share, d), time.Time{}, nil
		}
		if changed.After(newest) {
			newest = changed
		}
	}
	return "", newest, nil
}

func (s *scene) contentDiffers(want map[string]tree.Tree) (string, error) {
	for _, share := range shares {
		if err := s.source[share].Update(want[share]); err != nil {
			return "", err
		}
		for _, m := range s.copies {
			if err := m.sums[share].Update(want[share]); tree.Gone(err) {
				return fmt.Sprintf("share %s changes", share), nil
			} else if err != nil {
				return "", err
			}
			if d := m.sums[share].Differs(s.source[share]); d != "" {
				return fmt.Sprintf("share %s: %s", share, d), nil
			}
		}
	}
	return "", nil
}

// ended tells whether a process has ended that is still needed: then trees
// that differ now will differ for ever.
func (s *scene) ended() error {
	for name, p := range s.procs {
		if p.running() {
			continue
		}
		if p.err != nil {
			return fmt.Errorf("the %s's process ended: %w: %s", name, p.err, p.tail())
		}
		return fmt.Errorf("the %s's process ended", name)
	}
	return nil
}

// arrives waits until a file is there with these bytes, and returns when.
func (s *scene) arrives(ctx context.Context, path string, data []byte) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("%s did not arrive in %v", filepath.Base(path), s.timeout))
	defer cancel()
	for {
		ended := s.ended()
		if i, err := os.Lstat(path); err == nil && i.Size() == int64(len(data)) {
			now := time.Now()
			if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, data) {
				return now, nil
			}
		}
		if ended != nil {
			return time.Time{}, fmt.Errorf("%s did not arrive: %w", filepath.Base(path), ended)
		}
		if err := sleep(ctx, 2*time.Millisecond); err != nil {
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// measure does something, starts what shall follow it, and waits until all is
// level: took from the end of do on, bytes on the wire from its beginning on.
func (s *scene) measure(ctx context.Context, do func() error, follow func(context.Context) error) (took time.Duration, wire int64, err error) {
	before, err := s.pair.Wire()
	if err != nil {
		return 0, 0, err
	}
	if err := do(); err != nil {
		return 0, 0, err
	}
	since := time.Now()
	if err := follow(ctx); err != nil {
		return 0, 0, err
	}
	if took, err = s.level(ctx, since); err != nil {
		return 0, 0, err
	}
	if err := s.finish(ctx); err != nil {
		return 0, 0, err
	}
	after, err := s.pair.Wire()
	if err != nil {
		return 0, 0, err
	}
	return took, after.Less(before).Bytes(), nil
}

// nothing is what is done where only following is measured.
func nothing() error { return nil }
