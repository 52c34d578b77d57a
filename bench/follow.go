//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"waptsync/bench/table"
	"waptsync/bench/tree"
)

// latency: new files over quiet trees, at moments that nobody can foresee.
func latency(ctx context.Context, t *trial) error {
	s, err := t.open(t.scaled(20e6), t.count(200))
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.begin(ctx); err != nil {
		return err
	}
	var took []time.Duration
	for i := range max(3, t.count(20)) {
		d, err := s.newHost(ctx, fmt.Sprintf("new-%d.wapt", i), 20_000)
		if err != nil {
			return err
		}
		took = append(took, d)
		if err := s.rest(ctx, time.Duration(s.make.Between(200, 700))*time.Millisecond); err != nil {
			return err
		}
	}
	if _, err := s.level(ctx, time.Now()); err != nil {
		return err
	}
	t.emit(t.workload.name, spread("", took)...)
	return nil
}

// newHost writes a host package and returns how long it takes to be at the remote.
func (s *scene) newHost(ctx context.Context, name string, size int) (time.Duration, error) {
	data := s.make.Data(size)
	if err := os.WriteFile(filepath.Join(s.src, hosts, name), data, 0o644); err != nil {
		return 0, err
	}
	begin := time.Now()
	there, err := s.arrives(ctx, filepath.Join(s.dst, hosts, name), data)
	return there.Sub(begin), err
}

// spread are the median and the greatest.
func spread(prefix string, took []time.Duration) []table.Figure {
	slices.Sort(took)
	return []table.Figure{
		{Name: prefix + "p50_ms", Value: took[len(took)/2].Seconds() * 1e3},
		{Name: prefix + "max_ms", Value: took[len(took)-1].Seconds() * 1e3},
		{Name: prefix + "n", Value: float64(len(took))},
	}
}

// upgrade: the bytes of the old version are shifted, and a tenth of new ones
// is put in their middle; the old version is removed at once.
func upgrade(ctx context.Context, t *trial) error {
	s, err := t.open(t.scaled(20e6), t.count(50))
	if err != nil {
		return err
	}
	defer s.close()
	before, after := filepath.Join(s.src, packages, "tis-big_1.0-1_x64.wapt"), filepath.Join(s.src, packages, "tis-big_1.1-1_x64.wapt")
	data := s.make.Data(t.count(200e6))
	if err := s.make.Package(before, bytes.NewReader(data)); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	half := len(data) / 2
	var changed time.Time
	f, err := s.change(ctx, func() error {
		defer func() { changed = time.Now() }()
		next := io.MultiReader(bytes.NewReader(s.make.Data(12345)), bytes.NewReader(data[:half]),
			bytes.NewReader(s.make.Data(len(data)/10)), bytes.NewReader(data[half:]))
		if err := s.make.Package(after, next); err != nil {
			return err
		}
		if err := s.make.Remove(before); err != nil {
			return err
		}
		return s.make.Index(filepath.Join(s.src, packages))
	})
	if err != nil {
		return err
	}
	usable, err := s.usable(after)
	if err != nil {
		return err
	}
	t.emit(t.workload.name, append(f, table.Figure{Name: "usable_s", Value: usable.Sub(changed).Seconds()})...)
	return nil
}

// usable is when the remote had a package and its index: the old package may
// go later.
func (s *scene) usable(pack string) (time.Time, error) {
	var last time.Time
	for _, name := range []string{filepath.Base(pack), "Packages"} {
		c, err := tree.Changed(filepath.Join(s.dst, packages, name))
		if err != nil {
			return time.Time{}, err
		}
		if c.After(last) {
			last = c
		}
	}
	return last, nil
}

// rewrite: a night in which every host package is made anew.
func rewrite(ctx context.Context, t *trial) error {
	n := t.count(t.rewrites)
	s, err := t.open(0, n)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.begin(ctx); err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(s.src, hosts, "*.wapt"))
	if err != nil {
		return err
	}
	begin := time.Now()
	var wrote time.Duration
	f, err := s.change(ctx, func() error {
		for _, p := range paths {
			if err := s.make.Rewrite(p); err != nil {
				return err
			}
		}
		wrote = time.Since(begin)
		return nil
	})
	if err != nil {
		return err
	}
	f = append(f, table.Figure{Name: "writing_s", Value: wrote.Seconds()}, table.Figure{Name: "files", Value: float64(n)})
	t.emit(t.workload.name, append(f, s.memory()...)...)
	return nil
}

// nextSecond waits for the clock's next second. rsync takes a file of the same
// size and second for the same, and administrators are not that fast.
func nextSecond(ctx context.Context) error {
	now := time.Now()
	return sleep(ctx, now.Truncate(time.Second).Add(1050*time.Millisecond).Sub(now))
}

// change does something to the source and measures until all is level: the
// seconds from its end on, bytes and processor time from its beginning on.
func (s *scene) change(ctx context.Context, do func() error) ([]table.Figure, error) {
	if err := nextSecond(ctx); err != nil {
		return nil, err
	}
	worked := s.processor()
	took, wire, err := s.measure(ctx, do, s.again)
	if err != nil {
		return nil, err
	}
	return append([]table.Figure{
		{Name: "seconds", Value: took.Seconds()},
		{Name: "wire_MB", Value: mega(wire)},
	}, s.workedSince(worked)...), nil
}
