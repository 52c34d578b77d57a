package publisher

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"waptsync/bus"
)

// memoryLog is an event log without a disk, to measure the publisher alone.
type memoryLog struct {
	mu         sync.Mutex
	generation uuid.UUID
	events     map[string]*bus.Event
	seq        uint64
	onAppend   func([]*bus.Event)
}

func newMemoryLog() *memoryLog {
	return &memoryLog{generation: uuid.New(), events: make(map[string]*bus.Event)}
}

func (l *memoryLog) Append(_ context.Context, events []*bus.Event) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.events[e.Path] = e
		l.seq++
	}
	if l.onAppend != nil {
		l.onAppend(events)
	}
	return l.seq, nil
}

func (l *memoryLog) Replay(_ context.Context, fn func(uint64, *bus.Event) error) error {
	for _, e := range l.events {
		if err := fn(0, e); err != nil {
			return err
		}
	}
	return nil
}

func (l *memoryLog) Generation() uuid.UUID        { return l.generation }
func (l *memoryLog) Last() uint64                 { return l.seq }
func (l *memoryLog) Reopen(context.Context) error { return nil }
func (l *memoryLog) Check(context.Context) error  { return nil }
func (l *memoryLog) Remake(context.Context) error { return nil }

// benchLive runs a publisher until its first scan is published.
func benchLive(b *testing.B, dir string, log *memoryLog) (stop func()) {
	b.Helper()
	live := make(chan struct{})
	log.onAppend = func(events []*bus.Event) {
		if events[len(events)-1].Kind == bus.KindMarker {
			close(live)
		}
	}
	p, err := New(Options{Share: "wapt", Dir: dir, Log: log, MD5: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	<-live
	return func() {
		cancel()
		<-ended
	}
}

func benchFiles(b *testing.B, n, size int) string {
	b.Helper()
	dir := b.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%08d-host.wapt", i)), noise(i, size), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func BenchmarkFirstScanOf20000Files(b *testing.B) {
	dir := benchFiles(b, 20000, 5000)
	for b.Loop() {
		benchLive(b, dir, newMemoryLog())()
	}
}

func BenchmarkRestartWith50000Files(b *testing.B) {
	dir := benchFiles(b, 50000, 10)
	log := newMemoryLog()
	benchLive(b, dir, log)()
	for b.Loop() {
		benchLive(b, dir, log)()
	}
}

// BenchmarkCloseToAppend measures from close of a live file to the call of Append.
func BenchmarkCloseToAppend(b *testing.B) {
	dir := b.TempDir()
	log := newMemoryLog()
	defer benchLive(b, dir, log)()
	arrived := make(chan time.Time, 1)
	log.mu.Lock()
	log.onAppend = func([]*bus.Event) { arrived <- time.Now() }
	log.mu.Unlock()
	var took []time.Duration
	content := noise(1, 20<<10)
	for i := 0; b.Loop(); i++ {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), content, 0o644); err != nil {
			b.Fatal(err)
		}
		closed := time.Now()
		took = append(took, (<-arrived).Sub(closed))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}
