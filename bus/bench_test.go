package bus

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"waptsync/objects"
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

// BenchmarkFetchLarge is one content in requests of 4 MiB, as many at a time
// as may be in flight.
func BenchmarkFetchLarge(b *testing.B) {
	bus := startBus(b)
	c := bus.remote(b, "colmar")
	whole := bus.files.add(b, "big", randomBytes(64<<20))
	b.SetBytes(whole.Length)
	ctx := b.Context()
	for b.Loop() {
		var g errgroup.Group
		g.SetLimit(2)
		for off := int64(0); off < whole.Length; off += MaxFetchBytes {
			part := whole
			part.Offset, part.Length = off, min(MaxFetchBytes, whole.Length-off)
			g.Go(func() error {
				errs, err := c.Fetch(ctx, "wapt", []Item{part}, func(Piece) error { return nil })
				return errors.Join(append(errs, err)...)
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFetchSmall is 4,096 files of 2 KiB, the size of a host package.
func BenchmarkFetchSmall(b *testing.B) {
	bus := startBus(b)
	c := bus.remote(b, "colmar")
	items := make([]Item, 4096)
	for i := range items {
		items[i] = bus.files.add(b, fmt.Sprintf("wapt-host/%d.wapt", i), randomBytes(2<<10))
	}
	ctx := b.Context()
	for b.Loop() {
		var g errgroup.Group
		for part := range slices.Chunk(items, 1024) {
			g.Go(func() error {
				errs, err := c.Fetch(ctx, "wapt", part, func(Piece) error { return nil })
				return errors.Join(append(errs, err)...)
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(items)*b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkFeed(b *testing.B) {
	const n = 50_000
	bus := startBus(b)
	c := bus.remote(b, "colmar")
	mustAppend(b, bus.logs["wapt"], fileEvents("f", n)...)
	for b.Loop() {
		mustHello(b, c, Position{})
		f := mustFeed(b, c)
		for got := 0; got < n; {
			d, err := f.Next(b.Context(), 1000)
			if err != nil {
				b.Fatal(err)
			}
			got += len(d)
			if err := f.Ack(d[len(d)-1].Seq); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkWindow(b *testing.B) {
	bus := startBus(b)
	c := bus.remote(b, "colmar")
	var ids []objects.ID
	ctx := b.Context()
	for range 64 {
		data := randomBytes(128 << 10)
		ids = append(ids, objects.Sum(data))
		if err := bus.window.Put(ctx, objects.Sum(data), data); err != nil {
			b.Fatal(err)
		}
	}
	if err := bus.window.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(64 * 128 << 10)
	for b.Loop() {
		missing, err := c.Window(ctx, "wapt", ids, func(objects.ID, []byte) error { return nil })
		if err != nil || len(missing) > 0 {
			b.Fatal(len(missing), err)
		}
	}
}

// BenchmarkEnrol is what an invitation and the join with it cost a main that
// knows 50 remotes, without the connection.
func BenchmarkEnrol(b *testing.B) {
	bus := startBus(b)
	for i := range 50 {
		if _, err := bus.options.Registry.Add(fmt.Sprintf("r%d", i), newIdentityForTest(b).ID(), bus.options.Shares); err != nil {
			b.Fatal(err)
		}
	}
	if err := bus.Apply(); err != nil {
		b.Fatal(err)
	}
	trusted, err := bus.options.Authority.Trust(bus.Addr())
	if err != nil {
		b.Fatal(err)
	}
	id := newIdentityForTest(b)
	bus.joins.SetLimit(rate.Inf)
	for b.Loop() {
		line, err := bus.options.Registry.Invite("colmar", bus.options.Shares, bus.Addr(), trusted, time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		if err := bus.Apply(); err != nil {
			b.Fatal(err)
		}
		key, request := joinRequestForTest(b, line, id)
		if _, _, err := bus.enrol(key, request); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := errors.Join(bus.options.Registry.Remove("colmar"), bus.Apply()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func joinRequestForTest(tb testing.TB, line string, id *Identity) (key string, request []byte) {
	tb.Helper()
	_, pair := openInvitation(tb, line)
	var err error
	if key, err = pair.PublicKey(); err == nil {
		request, err = newJoinRequest(key, id)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key, request
}

// BenchmarkConnect is from nothing until a remote may say hello.
func BenchmarkConnect(b *testing.B) {
	bus := startBus(b)
	o := bus.member(b, "colmar")
	for b.Loop() {
		c, err := Connect(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		for changed := c.Changes(); !c.Connected(); changed = c.Changes() {
			<-changed
		}
		c.Close()
	}
}
