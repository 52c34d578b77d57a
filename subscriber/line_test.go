package subscriber

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waptsync/bandwidth"
	"waptsync/bus"
)

func rule(t testing.TB, text string) bandwidth.Rule {
	t.Helper()
	r, err := bandwidth.Parse(text)
	must(t, err)
	return r
}

func limited(t testing.TB, text string) *Line {
	l := NewLine()
	l.SetOwn(rule(t, text))
	return l
}

// copyOver copies what m has over the line and returns how long that took.
func copyOver(t *testing.T, m *testMain, l *Line) (*testRemote, time.Duration) {
	t.Helper()
	r := newRemote(t, m, "colmar")
	r.tune = func(o *Options) { o.Line = l }
	began := time.Now()
	r.start()
	r.reached()
	took := time.Since(began)
	r.same()
	return r, took
}

func TestTheLineIsUsedAsFarAsItsRuleAllows(t *testing.T) {
	const size = 4_000_000
	for _, c := range []struct {
		name string
		fill func(m *testMain)
	}{
		{"one large file", func(m *testMain) { m.put("big.wapt", random(size)) }},
		{"many small files", func(m *testMain) {
			for i := range 400 {
				m.write(sprint("host-%d.wapt", i), random(size/400))
			}
			m.publishAll()
		}},
		{"a file from the window", func(m *testMain) {
			m.write("live.wapt", random(size))
			m.offer("live.wapt")
			e := m.event("live.wapt")
			e.InWindow = true
			m.append(e)
			m.files.forget("live.wapt") // the file is not what was published any more
		}},
		{"a file of one piece", func(m *testMain) {
			for i := range 4 {
				m.put(sprint("piece-%d", i), random(size/4))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they wait for most of the time
			m := startMain(t)
			c.fill(m)
			r, took := copyOver(t, m, limited(t, "8 Mbit/s"))
			wire := float64(r.client.Received()*8) / took.Seconds() / 1e6
			t.Logf("%d content bytes in %v, %.2f Mbit/s on the wire", size, took, wire)
			// 8 Mbit/s are 4 s. It may be later on a busy machine, and never be earlier.
			if took < 3600*time.Millisecond || took > 20*time.Second {
				t.Errorf("took %v at 8 Mbit/s: want about 4 s", took)
			}
			if wire > 8*1.1 {
				t.Errorf("%.2f Mbit/s on the wire", wire)
			}
		})
	}
}

// TestASmallFilePassesALargeOne has them in one share, and the line slow.
func TestASmallFilePassesALargeOne(t *testing.T) {
	m := startMain(t)
	m.put("big.wapt", random(8_000_000)) // 16 s
	r := newRemote(t, m, "colmar")
	r.tune = func(o *Options) { o.Line = limited(t, "4 Mbit/s") }
	r.start()
	waitFor(t, time.Minute, func() string {
		if r.r.Report().Received < 300_000 {
			return "nothing comes"
		}
		return ""
	})
	for i := range 3 {
		name, content := sprint("host-%d.wapt", i), random(10_000)
		began := time.Now()
		m.put(name, content)
		r.has(name, content)
		t.Logf("%s came in %v", name, time.Since(began))
	}
	if rep := r.r.Report(); len(rep.Transfers) != 1 || rep.Transfers[0].Done > 7_000_000 {
		t.Errorf("they waited for the large file: %+v", rep)
	}
}

func TestARuleChangesWhileAFileIsOnItsWay(t *testing.T) {
	m := startMain(t)
	m.put("big.wapt", random(4_000_000))
	l := limited(t, "1 Mbit/s") // 32 s
	r := newRemote(t, m, "colmar")
	r.tune = func(o *Options) { o.Line = l }
	began := time.Now()
	r.start()
	waitFor(t, time.Minute, func() string {
		if r.r.Report().Received < 200_000 {
			return "nothing comes"
		}
		return ""
	})
	if got := r.r.Report().Received; got > 1_000_000 {
		t.Errorf("%d bytes came at once at 1 Mbit/s", got)
	}
	l.SetOwn(bandwidth.Rule{})
	r.reached()
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("without the rule it still took %v", took)
	}
	r.same()
}

func TestOutsideItsHoursAShareWaitsAndItsEventsFlow(t *testing.T) {
	for _, text := range []string{"off", "only another"} {
		t.Run(text, func(t *testing.T) {
			m := startMain(t)
			m.write("empty", nil) // needs nothing from the main
			m.write("small.wapt", random(20_000))
			m.write("big.wapt", random(2_000_000))
			m.publishAll()
			l := NewLine()
			l.SetMain(rule(t, text))
			r := newRemote(t, m, "colmar")
			r.tune = func(o *Options) { o.Line = l }
			r.start()
			r.has("empty", []byte{})
			m.put("copy/empty", nil)
			r.has("copy/empty", []byte{})
			waitFor(t, time.Minute, func() string {
				if rep := r.r.Report(); rep.State != stateWaiting || rep.LagEvents != 2 || rep.LagBytes != 2_020_000 || !rep.Until.IsZero() {
					return sprint("%+v", rep)
				}
				return ""
			})
			if got := r.r.Report().Received; got != 0 {
				t.Errorf("%d bytes came outside the hours", got)
			}
			l.SetMain(rule(t, "only "+testShare))
			r.reached()
			r.same()
		})
	}
}

func TestAReportSaysUntilWhenAShareWaits(t *testing.T) {
	m := startMain(t)
	m.put("small.wapt", random(20_000))
	l := limited(t, "08:00-12:00 off; 12:00-18:00 only another; else unlimited")
	var moved atomic.Int64
	noon := time.Date(2026, 3, 2, 11, 30, 0, 0, time.Local)
	l.now = func() time.Time { return noon.Add(time.Duration(moved.Load())) }
	r := newRemote(t, m, "colmar")
	r.tune = func(o *Options) { o.Line = l }
	r.start()
	waitFor(t, time.Minute, func() string {
		if rep := r.r.Report(); rep.State != stateWaiting || rep.Until.Hour() != 18 {
			return sprint("%+v", rep)
		}
		return ""
	})
	if s := l.State(); !s.Now.Off() || s.Until.Hour() != 12 {
		t.Errorf("state: %+v", s)
	}
	moved.Store(int64(12 * time.Hour))
	r.reached()
	moved.Store(int64(2 * time.Hour)) // a clock that is set back
	m.put("next.wapt", random(20_000))
	waitFor(t, time.Minute, func() string {
		if rep := r.r.Report(); rep.State != stateWaiting {
			return sprint("%+v", rep)
		}
		return ""
	})
	l.Pass(true)
	r.reached()
	r.same()
}

// TestSharesTakeTurns has one share ask for far more than another.
func TestSharesTakeTurns(t *testing.T) {
	l := limited(t, "4 Mbit/s") // a portion of 125,000 bytes each quarter of a second
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range 7 {
		all.Go(func() {
			for {
				if _, err := l.take(ctx, "wapt", 1<<20); err != nil {
					return
				}
			}
		})
	}
	waitFor(t, time.Minute, func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.grants < 2 {
			return "the large share does not flow"
		}
		return ""
	})
	before := func() uint64 { l.mu.Lock(); defer l.mu.Unlock(); return l.grants }
	for range 3 {
		was := before()
		if _, err := l.take(ctx, "wapt-host", 10_000); err != nil {
			t.Fatal(err)
		}
		// Its own, and one that may have been granted before it asked and one after.
		if n := before() - was; n > 3 {
			t.Errorf("%d others were served before", n-1)
		}
	}
	stop()
	all.Wait()
	if len(l.turns) != 0 {
		t.Errorf("%d turns are left", len(l.turns))
	}
}

// portionBus answers as a main that is busy at each second request.
type portionBus struct {
	Bus
	asked  int
	zeroes bool // of all that comes only the number is sent
}

func (b *portionBus) Fetch(_ context.Context, _ string, items []bus.Item, sink func(bus.Piece) error) ([]error, error) {
	errs := make([]error, len(items))
	if b.asked++; b.asked%2 == 0 {
		for i := range errs {
			errs[i] = &bus.FetchError{Code: bus.FetchBusy}
		}
		return errs, nil
	}
	for i, it := range items {
		if it.Path == "gone" {
			errs[i] = &bus.FetchError{Code: bus.FetchGone}
			continue
		}
		for done := int64(0); done < it.Length; {
			n := min(it.Length-done, bus.MaxPiece)
			if err := sink(bus.Piece{Item: i, Offset: it.Offset + done, Data: make([]byte, n), Zeroes: b.zeroes}); err != nil {
				return errs, err
			}
			done += n
		}
	}
	return errs, nil
}

// A rule counts what was sent.
func TestZeroesThatWereNotSentTakeNothingOfALine(t *testing.T) {
	m := &metered{Bus: &portionBus{zeroes: true}, line: limited(t, "2 Mbit/s")}
	began, came := time.Now(), 0
	errs, err := m.Fetch(context.Background(), testShare, []bus.Item{{Path: "a", Length: 3 << 20}}, func(p bus.Piece) error {
		came += len(p.Data)
		return nil
	})
	must(t, err)
	if errs[0] != nil || came != 3<<20 {
		t.Errorf("%d bytes came, %v", came, errs[0])
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v, and 3 MiB that are sent 12 s", took)
	}
}

func TestPortionsGiveWhatWasAskedFor(t *testing.T) {
	l := limited(t, "4 Mbit/s")
	b := &portionBus{}
	m := &metered{Bus: b, line: l}
	items := []bus.Item{
		{Path: "a", Offset: 7, Length: 300_000}, {Path: "b", Length: 10}, {Path: "gone", Length: 200_000},
		{Path: "m", Length: 90_000, Manifest: true}, {Path: "c", Length: 150_000}, {Path: "none", Length: 0},
	}
	next := make([]int64, len(items))
	for i, it := range items {
		next[i] = it.Offset
	}
	errs, err := m.Fetch(context.Background(), testShare, items, func(p bus.Piece) error {
		if p.Offset != next[p.Item] {
			t.Fatalf("item %d: piece at %d, want %d", p.Item, p.Offset, next[p.Item])
		}
		next[p.Item] += int64(len(p.Data))
		return nil
	})
	must(t, err)
	for i, it := range items {
		if gone := it.Path == "gone"; gone != (errs[i] != nil) || !gone && next[i] != it.Offset+it.Length {
			t.Errorf("item %d: up to %d, %v", i, next[i], errs[i])
		}
	}
	if b.asked < 8 {
		t.Errorf("asked %d times: 540,000 bytes in portions of 125,000", b.asked)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if errs, err := m.Fetch(ctx, testShare, items, nil); err == nil || errs[0] == nil || errs[5] == nil {
		t.Errorf("after the end: %v, %v", errs, err)
	}
}
