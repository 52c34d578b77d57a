//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"waptsync/bench/link"
	"waptsync/bench/table"
)

// Bytes of headers in a packet, as the line counts them: IPv4, TCP and its
// time stamps, with Ethernet where there is some.
const (
	ipHeaders       = 20 + 20 + 12
	ethernetHeaders = 14 + ipHeaders
)

func thin(ctx context.Context, t *trial) error {
	const bits = 50_000_000
	return t.line(ctx, t.scaled(200e6), bits, ethernetHeaders, func() error { return t.pair.Limit(bits) })
}

func lossy(ctx context.Context, t *trial) error {
	if _, err := os.Stat(link.TunDevice); err != nil {
		return fmt.Errorf("needs %s: %w", link.TunDevice, err)
	}
	bad := link.Line{Rate: 2_000_000, Delay: 150 * time.Millisecond, Loss: 0.01}
	return t.line(ctx, t.scaled(6e6), bad.Rate, ipHeaders, func() error { return t.pair.Spoil(bad, uint64(t.run)+1) })
}

// line measures a package over a line of a rate, and then, while another such
// package is under way, how long a host package takes.
func (t *trial) line(ctx context.Context, size, bits int64, headers int64, begin func() error) error {
	s, err := t.open(t.scaled(1e6), 20)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.pair.Restore(); err != nil { // of a limit for all workloads
		return err
	}
	if err := begin(); err != nil { // a line is what it is from the start
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	roundTrip, err := s.pair.RoundTrip()
	if err != nil {
		return err
	}
	before, err := s.pair.Wire()
	if err != nil {
		return err
	}
	f, err := s.change(ctx, func() error { return s.large("tis-large_1.0-0_x64.wapt", size) })
	if err != nil {
		return err
	}
	after, err := s.pair.Wire()
	if err != nil {
		return err
	}
	f = append(f, filling(after.Less(before), size, bits, headers, f[0].Value)...)
	if !s.kind.oneShot {
		amid, err := s.hostAmid(ctx, size, roundTrip)
		if err != nil {
			return err
		}
		f = append(f, amid...)
	}
	t.emit(t.workload.name, f...)
	return nil
}

// filling are the parts of the line's rate that were used, with all headers
// and by the package's own bytes, and what the system's own protocol adds to
// these bytes: all that TCP carried, both ways, less the package.
func filling(w link.Wire, size, bits, headers int64, seconds float64) []table.Figure {
	could := seconds * float64(bits) / 8
	carried := w.Bytes() - headers*(w.PacketsToRemote+w.PacketsToMain)
	return []table.Figure{
		{Name: "line_used_pct", Value: float64(w.ToRemote) / could * 100},
		{Name: "payload_pct", Value: float64(size) / could * 100},
		{Name: "overhead_pct", Value: float64(carried-size) / float64(size) * 100},
	}
}

// large writes a package of other bytes each time.
func (s *scene) large(name string, size int64) error {
	if err := s.make.Package(filepath.Join(s.src, packages, name), bytes.NewReader(s.make.Data(int(size)))); err != nil {
		return err
	}
	return s.make.Index(filepath.Join(s.src, packages))
}

// hostAmid measures host packages of 5 kB while a large one is under way. The
// last of them may arrive after it: then host_amid_n is less than host_n, and
// at 0 the scale is too small, or the large one kept the others waiting.
func (s *scene) hostAmid(ctx context.Context, size int64, roundTrip time.Duration) ([]table.Figure, error) {
	before, err := s.pair.Wire()
	if err != nil {
		return nil, err
	}
	since := time.Now()
	const name = "tis-other_1.0-0_x64.wapt"
	if err := s.large(name, size); err != nil {
		return nil, err
	}
	if err := s.again(ctx); err != nil {
		return nil, err
	}
	for { // until it flows
		w, err := s.pair.Wire()
		if err != nil {
			return nil, err
		}
		if w.Less(before).ToRemote > size/10 {
			break
		}
		if time.Since(since) > s.timeout {
			return nil, fmt.Errorf("%s does not flow", name)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
	var took []time.Duration
	amid := 0
	for i := range 5 {
		d, err := s.newHost(ctx, fmt.Sprintf("amid-%d.wapt", i), 5000)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
		if _, err := os.Lstat(filepath.Join(s.dst, packages, name)); err == nil {
			break // the line is free now
		}
		amid++
	}
	if _, err := s.level(ctx, since); err != nil {
		return nil, err
	}
	f := spread("host_", took)
	f = append(f, table.Figure{Name: "host_amid_n", Value: float64(amid)})
	if roundTrip > 10*time.Millisecond {
		f = append(f, table.Figure{Name: "host_round_trips", Value: f[0].Value / (roundTrip.Seconds() * 1e3)})
	}
	return append(f, table.Figure{Name: "round_trip_ms", Value: roundTrip.Seconds() * 1e3}), nil
}
