//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"waptsync/bench/table"
)

// catchup: the remote is off while the main goes on, and comes back.
func catchup(ctx context.Context, t *trial) error {
	n := t.count(10_000)
	s, err := t.open(t.scaled(20e6), 0)
	if err != nil {
		return err
	}
	defer s.close()
	folder := filepath.Join(s.src, hosts)
	paths, err := s.make.Hosts(folder, n)
	if err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.stop("remote")
	if err := nextSecond(ctx); err != nil {
		return err
	}
	for range 4 {
		for _, p := range paths[:n/2] {
			if err := s.make.Rewrite(p); err != nil {
				return err
			}
		}
		if err := s.rest(ctx, time.Second); err != nil {
			return err
		}
	}
	for _, p := range paths[n-n/10:] {
		if err := os.Remove(p); err != nil {
			return err
		}
	}
	if _, err := s.make.Hosts(folder, n/10); err != nil {
		return err
	}
	if err := s.rest(ctx, 5*time.Second); err != nil { // the main has time to publish
		return err
	}
	took, wire, err := s.measure(ctx, nothing, s.system.startRemote)
	if err != nil {
		return err
	}
	t.emit(t.workload.name,
		table.Figure{Name: "seconds", Value: took.Seconds()},
		table.Figure{Name: "wire_MB", Value: mega(wire)})
	return nil
}

// restart: as after a reboot of both sides, neither waits for the other.
func restart(ctx context.Context, t *trial) error {
	s, err := t.open(0, t.count(50_000))
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.begin(ctx); err != nil {
		return err
	}
	took, err := s.restart(ctx)
	if err != nil {
		return err
	}
	if _, err := s.level(ctx, time.Now()); err != nil {
		return err
	}
	t.emit(t.workload.name, append([]table.Figure{{Name: "seconds", Value: took.Seconds()}}, s.costs()...)...)
	return nil
}

// restart stops both sides, writes a file, starts them, and returns the time
// from the start until the file is at the remote.
func (s *scene) restart(ctx context.Context) (time.Duration, error) {
	s.stop()
	const name = "after-restart.wapt"
	data := s.make.Data(20_000)
	if err := os.WriteFile(filepath.Join(s.src, hosts, name), data, 0o644); err != nil {
		return 0, err
	}
	begin := time.Now()
	start := []func(context.Context) error{s.system.startMain, s.system.startRemote}
	if s.kind.pushes {
		start[0], start[1] = start[1], start[0]
	}
	for i, f := range start {
		if err := f(ctx); err != nil {
			return 0, err
		}
		if i == 0 && s.kind.oneShot { // a single pull needs the other side
			if err := s.system.ready(ctx); err != nil {
				return 0, err
			}
		}
	}
	there, err := s.arrives(ctx, filepath.Join(s.dst, hosts, name), data)
	return there.Sub(begin), err
}

// idle: nothing happens, and what follows work, as giving memory back, is over.
func idle(ctx context.Context, t *trial) error {
	s, err := t.open(0, t.count(50_000))
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.rest(ctx, 30*time.Second); err != nil {
		return err
	}
	f, err := s.idle(ctx, 30*time.Second)
	if err != nil {
		return err
	}
	t.emit(t.workload.name, append(f, s.costs()...)...)
	return nil
}
