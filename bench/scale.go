//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"waptsync/bench/table"
)

// scale: does a file cost the same among a million as among ten thousand?
func scale(ctx context.Context, t *trial) error {
	for _, n := range t.files {
		n = t.count(n)
		f, err := t.scaleOf(ctx, n)
		name := fmt.Sprintf("scale %d", n)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			t.report(table.Row{Workload: name, Error: err.Error()})
			continue
		}
		t.emit(name, f...)
	}
	return nil
}

func (t *trial) scaleOf(ctx context.Context, n int) ([]table.Figure, error) {
	if err := t.room(int64(n) * 2 * 4096); err != nil { // a block each
		return nil, err
	}
	s, err := t.open(0, 0)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.make.Spread(filepath.Join(s.src, hosts), filepath.Join(s.src, packages), n); err != nil {
		return nil, err
	}
	f, err := s.copyFirst(ctx)
	if err != nil {
		return nil, err
	}
	for i, per := range []string{"copy_us_per_file", "scan_us_per_file"} {
		f = append(f, table.Figure{Name: per, Value: f[i].Value * 1e6 / float64(n)})
	}
	f = append(f, s.costs()...)
	if err := s.rest(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	quiet, err := s.idle(ctx, 10*time.Second)
	if err != nil {
		return nil, err
	}
	one, err := s.oneChange(ctx)
	if err != nil {
		return nil, err
	}
	restarted, err := s.restart(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	if _, err := s.level(ctx, time.Now()); err != nil {
		return nil, err
	}
	f = append(f, quiet...)
	f = append(f, table.Figure{Name: "one_change_ms", Value: one.Seconds() * 1e3}, table.Figure{Name: "restart_s", Value: restarted.Seconds()})
	for _, m := range s.memory() {
		f = append(f, table.Figure{Name: "restarted_" + m.Name, Value: m.Value})
	}
	return f, nil
}

// oneChange is the time from a change of one file to its being at the remote.
func (s *scene) oneChange(ctx context.Context) (time.Duration, error) {
	const name = "file-0000000.wapt"
	data := s.make.Data(2000)
	if err := os.WriteFile(filepath.Join(s.src, hosts, name), data, 0o644); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := s.again(ctx); err != nil {
		return 0, err
	}
	there, err := s.arrives(ctx, filepath.Join(s.dst, hosts, name), data)
	if err != nil {
		return 0, err
	}
	return there.Sub(begin), s.finish(ctx)
}
