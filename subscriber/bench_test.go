package subscriber

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"waptsync/bus"
	"waptsync/objects"
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

// BenchmarkStoringABatch is what the state costs of 20,000 new paths in batches,
// without the disk.
func BenchmarkStoringABatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		sh := openTestState(b)
		sh.db.DB().NoSync = true
		s := &session{r: &Replica{state: sh}}
		b.StartTimer()
		const files, size = 20_000, 2500
		for from := 0; from < files; from += size {
			batch := newBatch(s, nil)
			for i := from; i < from+size; i++ {
				path := sprint("hosts/%016X.wapt", uint64(i)*0x9e3779b97f4a7c15)
				batch.changed[path] = &record{
					Seq: uint64(i), Local: local{MTime: int64(i), CTime: int64(i), Inode: uint64(i)},
					Event: bus.Event{Kind: bus.KindFile, Path: path, Mode: 0o644, MTime: int64(i), Content: bus.Content{Size: 5000, Objects: 1, Digest: objects.Sum([]byte(path))}},
				}
			}
			must(b, sh.update(batch.store))
		}
	}
}
