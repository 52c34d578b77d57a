//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"waptsync/bench/table"
)

// joinPause keeps joins below the five a second that a main answers.
const joinPause = 200 * time.Millisecond

// fanout: many remotes make their first copy at once, and then get a new
// package. What counts is what the main does for each.
func fanout(ctx context.Context, t *trial) error {
	remotes := max(2, t.count(t.remotes))
	size := t.scaled(200e6)
	if err := t.room(int64(remotes+3) * 2 * size); err != nil {
		return err
	}
	s, err := t.open(size, t.count(2000))
	if err != nil {
		return err
	}
	defer s.close()
	s.copies = nil
	for i := range remotes {
		if err := s.mirror(filepath.Join(s.dst, fmt.Sprint(i+1))); err != nil {
			return err
		}
	}
	s.settle()
	if err := s.first(ctx); err != nil {
		return err
	}
	var f []table.Figure
	w, ours := s.system.(*waptsync)
	if ours { // joins happen once, and are nothing that its peers do
		if f, err = s.joins(ctx, w); err != nil {
			return err
		}
	}
	more, err := s.round(ctx, "", nothing)
	if err != nil {
		return err
	}
	f = append(f, more...)
	var before int64
	if ours {
		if before, err = w.hashed(ctx); err != nil {
			return err
		}
	}
	fresh := t.count(100e6)
	more, err = s.round(ctx, "new_", func() error {
		name := filepath.Join(s.src, packages, "tis-fresh_1.0-0_x64.wapt")
		if err := s.make.Package(name, bytes.NewReader(s.make.Data(fresh))); err != nil {
			return err
		}
		return s.make.Index(filepath.Join(s.src, packages))
	})
	if err != nil {
		return err
	}
	f = append(append(f, more...), table.Figure{Name: "new_MB", Value: mega(int64(fresh))})
	if ours {
		after, err := w.hashed(ctx)
		if err != nil {
			return err
		}
		f = append(f, table.Figure{Name: "new_hashed_MB", Value: mega(after - before)})
	}
	_, rss := s.procs["main"].usage()
	t.emit(t.workload.name, append(f, table.Figure{Name: "main_rss_MB", Value: mega(rss)}, table.Figure{Name: "remotes", Value: float64(remotes)})...)
	return nil
}

// joins has all remotes join, no faster than the main lets them.
func (s *scene) joins(ctx context.Context, w *waptsync) ([]table.Figure, error) {
	main := s.procs["main"]
	before, _ := main.usage()
	for i := range s.copies {
		if err := w.join(ctx, fmt.Sprintf("remote-%d", i+1)); err != nil {
			return nil, err
		}
		if err := sleep(ctx, joinPause); err != nil {
			return nil, err
		}
	}
	after, _ := main.usage()
	return []table.Figure{{Name: "join_main_cpu_ms_per_remote", Value: (after - before) * 1e3 / float64(len(s.copies))}}, nil
}

// round does something to the source, and brings all remotes level: those of
// single runs by another run of each.
func (s *scene) round(ctx context.Context, prefix string, do func() error) ([]table.Figure, error) {
	if err := nextSecond(ctx); err != nil {
		return nil, err
	}
	main := s.procs["main"]
	cpu, _ := main.usage()
	took, wire, err := s.measure(ctx, do, s.startCopies)
	if err != nil {
		return nil, err
	}
	worked, _ := main.usage()
	each := 1 / float64(len(s.copies))
	return []table.Figure{
		{Name: prefix + "seconds", Value: took.Seconds()},
		{Name: prefix + "main_cpu_ms_per_remote", Value: (worked - cpu) * 1e3 * each},
		{Name: prefix + "wire_MB_per_remote", Value: mega(wire) * each},
	}, nil
}

// startCopies starts the remotes that do not run, and those of single runs again.
func (s *scene) startCopies(ctx context.Context) error {
	for i, m := range s.copies {
		as := fmt.Sprintf("remote-%d", i+1)
		if s.procs[as] != nil {
			if !s.kind.oneShot {
				continue
			}
			s.stop(as)
		}
		if err := s.system.(fanOut).startNext(ctx, i+1, m.folder); err != nil {
			return err
		}
	}
	return nil
}
