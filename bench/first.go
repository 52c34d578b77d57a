//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"waptsync/bench/table"
)

func big(ctx context.Context, t *trial) error {
	return t.firstCopy(ctx, t.scaled(2e9), 0, nil)
}

func small(ctx context.Context, t *trial) error {
	return t.firstCopy(ctx, 0, t.count(20_000), nil)
}

func huge(ctx context.Context, t *trial) error {
	size := t.scaled(int64(t.hugeGB) * 1e9)
	if err := t.room(2 * size); err != nil {
		return err
	}
	return t.firstCopy(ctx, 0, 0, func(s *scene) error {
		return s.make.Sparse(filepath.Join(s.src, packages, "tis-huge_1.0-0_x64.wapt"), size)
	})
}

func share(ctx context.Context, t *trial) error {
	size := t.scaled(int64(t.shareGB) * 1e9)
	if err := t.room(size + size/10); err != nil {
		return err
	}
	return t.firstCopy(ctx, 0, 0, func(s *scene) error {
		for i := 0; size > 0; i++ {
			n := min(size, 1e9)
			if err := s.make.Sparse(filepath.Join(s.src, packages, fmt.Sprintf("tis-large%03d_1.0-0_x64.wapt", i)), n); err != nil {
				return err
			}
			size -= n
		}
		return nil
	})
}

// firstCopy measures how an empty remote becomes equal to a source.
func (t *trial) firstCopy(ctx context.Context, bytes int64, hostPackages int, more func(*scene) error) error {
	if err := t.room(2 * bytes); err != nil {
		return err
	}
	s, err := t.open(bytes, hostPackages)
	if err != nil {
		return err
	}
	defer s.close()
	if more != nil {
		if err := more(s); err != nil {
			return err
		}
	}
	f, err := s.copyFirst(ctx)
	if err != nil {
		return err
	}
	t.emit(t.workload.name, append(f, s.costs()...)...)
	return nil
}

// copyFirst starts both sides and waits until they are level.
func (s *scene) copyFirst(ctx context.Context) ([]table.Figure, error) {
	s.settle()
	begin := time.Now()
	if err := s.first(ctx); err != nil {
		return nil, err
	}
	ready := time.Since(begin)
	took, wire, err := s.measure(ctx, nothing, s.second)
	if err != nil {
		return nil, err
	}
	return []table.Figure{
		{Name: "seconds", Value: took.Seconds()},
		{Name: "main_ready_s", Value: ready.Seconds()},
		{Name: "wire_MB", Value: mega(wire)},
	}, nil
}
