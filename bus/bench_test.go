package bus

import (
	"testing"
)

func BenchmarkAppend1000(b *testing.B) {
	l := openTestLog(b, startPlain(b, b.TempDir()).js)
	events := fileEvents("wapt-host/host-", 1000)
	ctx := b.Context()
	for b.Loop() {
		if _, err := l.Append(ctx, events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkAppendOne(b *testing.B) {
	l := openTestLog(b, startPlain(b, b.TempDir()).js)
	events := fileEvents("wapt-host/host-", 1)
	ctx := b.Context()
	for b.Loop() {
		if _, err := l.Append(ctx, events); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplay100k(b *testing.B) {
	const n = 100_000
	l := openTestLog(b, startPlain(b, b.TempDir()).js)
	mustAppend(b, l, fileEvents("wapt-host/host-", n)...)
	ctx := b.Context()
	for b.Loop() {
		got := 0
		if err := l.Replay(ctx, func(uint64, *Event) error { got++; return nil }); err != nil || got != n {
			b.Fatal(got, err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
