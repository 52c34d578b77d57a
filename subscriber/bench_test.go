package subscriber

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// These print how long the loads take for which the replica is shaped. Main and
// remote share the machine.

func BenchmarkManySmallFiles(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		m := startMain(b)
		const files, size = 20_000, 5 << 10
		for i := range files {
			m.write(sprint("%08x.wapt", i*2654435761), seeded(uint64(i), size))
		}
		m.publishAll()
		r := newRemote(b, m, "colmar")
		b.StartTimer()
		r.start()
		r.reached()
		b.StopTimer()
		b.ReportMetric(files/b.Elapsed().Seconds(), "files/s")
		r.stop()
		began := time.Now()
		r.start()
		r.reached()
		b.ReportMetric(time.Since(began).Seconds(), "restart-s")
		r.stop()
		m.stop()
		b.StartTimer()
	}
}

func BenchmarkLargeFile(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		m := startMain(b)
		const size = 2 << 30
		f, err := os.Create(filepath.Join(m.dir, "large.wapt"))
		must(b, err)
		for i := range size >> 22 {
			_, err := f.Write(seeded(uint64(i), 1<<22))
			must(b, err)
		}
		must(b, f.Close())
		m.publishAll()
		r := newRemote(b, m, "colmar")
		b.StartTimer()
		r.start()
		r.reached()
		b.StopTimer()
		b.SetBytes(size)
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		b.ReportMetric(float64(ms.Sys>>20), "MiB-sys")
		r.stop()
		m.stop()
		b.StartTimer()
	}
}
