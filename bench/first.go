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
	return t.firstCopy(ctx, t.scaled(2e9), 0)
}

func small(ctx context.Context, t *trial) error {
	return t.firstCopy(ctx, 0, t.count(20_000))
}

func huge(ctx context.Context, t *trial) error {
	size := t.scaled(int64(t.hugeGB) * 1e9)
	return t.sparseCopy(ctx, "tis-huge", size, size)
}

func share(ctx context.Context, t *trial) error {
	return t.sparseCopy(ctx, "tis-large", t.scaled(int64(t.shareGB)*1e9), t.scaled(5e9))
}

// sparseCopy measures how an empty remote becomes equal to a source of so many bytes
// in files with holes, what disk the files take then, and what memory at rest.
func (t *trial) sparseCopy(ctx context.Context, name string, bytes, each int64) error {
	if err := t.room(bytes / 20); err != nil {
		return err
	}
	s, err := t.open(0, 0)
	if err != nil {
		return err
	}
	defer s.close()
	s.sparse = true
	for i := 0; bytes > 0; i++ {
		n := min(bytes, each)
		if err := s.make.Sparse(filepath.Join(s.src, packages, fmt.Sprintf("%s%03d_1.0-0_x64.wapt", name, i)), n); err != nil {
			return err
		}
		bytes -= n
	}
	f, err := s.copyFirst(ctx)
	if err != nil {
		return err
	}
	f = append(f, s.costs()...)
	disk, err := s.disk()
	if err != nil {
		return err
	}
	if err := s.rest(ctx, time.Minute); err != nil {
		return err
	}
	t.emit(t.workload.name, append(append(f, disk...), s.memoryNow()...)...)
	return nil
}

// firstCopy measures how an empty remote becomes equal to a source.
func (t *trial) firstCopy(ctx context.Context, bytes int64, hostPackages int) error {
	if err := t.room(2 * bytes); err != nil {
		return err
	}
	s, err := t.open(bytes, hostPackages)
	if err != nil {
		return err
	}
	defer s.close()
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
