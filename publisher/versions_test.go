package publisher

import (
	"bytes"
	"context"
	"os"
	"sync/atomic"
	"testing"

	"waptsync/objects"
)

// countingWindow counts what is put into a window that takes all.
type countingWindow struct{ bytes atomic.Int64 }

func (w *countingWindow) MaxBytes() int64 { return 1 << 30 }

func (w *countingWindow) Put(_ context.Context, _ objects.ID, data []byte) error {
	w.bytes.Add(int64(len(data)))
	return nil
}

func (w *countingWindow) Flush(context.Context) error { return nil }

func TestOfANewVersionOnlyWhatIsNewGoesIntoTheWindow(t *testing.T) {
	w := &countingWindow{}
	r := newRig(t, func(o *Options) { o.Window = w })
	old := noise(1, largeFile+1<<20)
	must(t, os.MkdirAll(r.path("d"), 0o755))
	must(t, os.WriteFile(r.path("d/app_1.wapt"), old, 0o644))
	r.startLive()
	next := bytes.Join([][]byte{old[:5<<20], noise(2, 100_000), old[5<<20:]}, nil)
	for _, name := range []string{"d/app_2.wapt", "d/app_1.wapt", "d/other_1.wapt"} {
		before := w.bytes.Load()
		must(t, os.WriteFile(r.path(name), next, 0o644))
		r.converges()
		got := w.bytes.Load() - before
		switch {
		case name == "d/other_1.wapt" && got < int64(len(next)):
			t.Errorf("%s: of %d bytes that no version had, %d were put", name, len(next), got)
		case name == "d/app_2.wapt" && got < 100_000, name != "d/other_1.wapt" && got > 500_000:
			t.Errorf("%s: %d bytes were put for 100,000 new ones", name, got)
		}
		if !r.events()[name].InWindow {
			t.Errorf("%s is not said to be in the window", name)
		}
	}
}
