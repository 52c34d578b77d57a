//go:build linux

package main

import (
	"context"
	"time"

	"waptsync/bench/table"
	"waptsync/bench/tree"
)

var sides = []string{"main", "remote"}

// costs are what the processes of both sides took since their start.
func (s *scene) costs() []table.Figure {
	return append(s.workedSince(nil), s.memory()...)
}

// worked is the processor time that each process has taken, in seconds.
type worked map[*process]float64

func (s *scene) processor() worked {
	w := make(worked)
	for _, p := range s.procs {
		w[p], _ = p.usage()
	}
	return w
}

// workedSince is what both sides took since an earlier look, or, of processes
// that were not there then, since their start.
func (s *scene) workedSince(earlier worked) []table.Figure {
	var f []table.Figure
	for _, side := range sides {
		if p := s.procs[side]; p != nil {
			cpu, _ := p.usage()
			f = append(f, table.Figure{Name: side + "_cpu_s", Value: cpu - earlier[p]})
		}
	}
	return f
}

// memory is the peak of both sides, of those that were there at some look.
func (s *scene) memory() []table.Figure {
	var f []table.Figure
	for _, side := range sides {
		if p := s.procs[side]; p != nil {
			if _, rss := p.usage(); rss > 0 {
				f = append(f, table.Figure{Name: side + "_rss_MB", Value: mega(rss)})
			}
		}
	}
	return f
}

// memoryNow is what both sides have resident now.
func (s *scene) memoryNow() []table.Figure {
	var f []table.Figure
	for _, side := range sides {
		if p := s.procs[side]; p != nil && p.running() {
			f = append(f, table.Figure{Name: side + "_rested_MB", Value: mega(p.resident())})
		}
	}
	return f
}

// disk is what the files of both sides take.
func (s *scene) disk() ([]table.Figure, error) {
	var f []table.Figure
	for i, folder := range []string{s.src, s.dst} {
		n, err := tree.Disk(folder)
		if err != nil {
			return nil, err
		}
		f = append(f, table.Figure{Name: sides[i] + "_disk_MB", Value: mega(n)})
	}
	return f, nil
}

// idle is the part of a core that each side takes while nothing happens.
func (s *scene) idle(ctx context.Context, d time.Duration) ([]table.Figure, error) {
	before, begin := s.processor(), time.Now()
	if err := s.rest(ctx, d); err != nil {
		return nil, err
	}
	var f []table.Figure
	for _, side := range sides {
		if p := s.procs[side]; p != nil && p.running() {
			cpu, _ := p.usage()
			f = append(f, table.Figure{Name: side + "_idle_cpu_pct", Value: (cpu - before[p]) / time.Since(begin).Seconds() * 100})
		}
	}
	return f, nil
}
