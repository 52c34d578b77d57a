package bus

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAnEventReachesARemoteAtOnce(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	w := mustHello(t, c, Position{})
	if w.Resume || w.Reason == "" || w.Generation != b.logs["wapt"].Generation() || w.Last != 0 {
		t.Errorf("welcome %+v", w)
	}
	f := mustFeed(t, c)
	ctx := testContext(t)
	type result struct {
		d   []Delivery
		err error
	}
	results := make(chan result)
	for i := range 3 {
		go func() {
			d, err := f.Next(ctx, 10)
			results <- result{d, err}
		}()
		seq := mustAppend(t, b.logs["wapt"], bigFileEvent("f"))
		r := <-results
		if r.err != nil || len(r.d) != 1 || r.d[0].Seq != seq || r.d[0].Event.Path != "f" || r.d[0].Pending != 0 || r.d[0].Err != nil {
			t.Fatalf("event %d: got %+v, %v", i, r.d, r.err)
		}
		if age := time.Since(r.d[0].Time); age < 0 || age > time.Minute {
			t.Errorf("event %d is %v old", i, age)
		}
	}
	if err := f.Ack(3); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "nothing is pending", func() bool {
		n, err := b.logs["wapt"].Pending(ctx, "colmar")
		return err == nil && n == 0
	})
}

func TestManyEventsComeInOrder(t *testing.T) {
	const n = 20_000
	b := startBus(t)
	c := b.remote(t, "colmar")
	mustAppend(t, b.logs["wapt"], fileEvents("f", n)...)
	mustHello(t, c, Position{})
	f := mustFeed(t, c)
	start := time.Now()
	for i, d := range nextN(t, f, n) {
		if d.Seq != uint64(i+1) || d.Err != nil || d.Pending != uint64(n-i-1) {
			t.Fatalf("delivery %d is %+v", i, d)
		}
	}
	t.Logf("%d events in %v", n, time.Since(start))
	if err := f.Ack(n); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all is acknowledged", func() bool {
		p, err := b.logs["wapt"].Pending(testContext(t), "colmar")
		return err == nil && p == 0
	})
}

func TestAnUnreadableEventIsDeliveredAsSuch(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	if _, err := b.JetStream().Publish(testContext(t), "ev.wapt.foreign", []byte("no event")); err != nil {
		t.Fatal(err)
	}
	mustHello(t, c, Position{})
	d := nextN(t, mustFeed(t, c), 1)[0]
	var ee *EventError
	if d.Seq != 1 || !errors.As(d.Err, &ee) {
		t.Errorf("got %+v, want an *EventError", d)
	}
}

func TestWhatWasNotAcknowledgedComesAgainAtOnce(t *testing.T) {
	b := startBus(t)
	o := b.member(t, "colmar")
	mustAppend(t, b.logs["wapt"], fileEvents("f", 10)...)
	c := connectClient(t, o)
	mustHello(t, c, Position{})
	f := mustFeed(t, c)
	nextN(t, f, 10)
	if err := f.Ack(4); err != nil {
		t.Fatal(err)
	}
	at4 := Position{Generation: b.logs["wapt"].Generation(), Seq: 4, MainTime: time.Now()}

	// Another process of the same remote, while the main has not noticed the end of this one.
	c2 := connectClient(t, o)
	if w := mustHello(t, c2, at4); !w.Resume || w.Next != 5 {
		t.Fatalf("welcome %+v", w)
	}
	f2 := mustFeed(t, c2)
	d := nextN(t, f2, 6)
	if d[0].Seq != 5 || d[5].Seq != 10 {
		t.Errorf("got %d to %d, want 5 to 10", d[0].Seq, d[5].Seq)
	}
	if _, err := f.Next(testContext(t), 1); !errors.Is(err, ErrFeedLost) {
		t.Errorf("the old feed: got %v, want ErrFeedLost", err)
	}
	if err := f.Ack(10); !errors.Is(err, ErrFeedLost) {
		t.Errorf("the old feed's ack: got %v, want ErrFeedLost", err)
	}
	mustAppend(t, b.logs["wapt"], fileEvent("g"))
	if d := nextN(t, f2, 1); d[0].Seq != 11 {
		t.Errorf("got %d, want 11", d[0].Seq)
	}
}

func TestAFeedWithoutANewHelloIsLost(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	mustAppend(t, b.logs["wapt"], fileEvents("f", 5)...)
	mustHello(t, c, Position{})
	f := mustFeed(t, c)
	nextN(t, f, 2)
	again := mustFeed(t, c) // what was delivered and not acknowledged would be missing in it
	if err := c.events.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, b.logs["wapt"], fileEvent("g"))
	if d, err := again.Next(testContext(t), 10); !errors.Is(err, ErrFeedLost) {
		t.Errorf("got %d deliveries, %v, want ErrFeedLost", len(d), err)
	}
	if _, err := f.Next(testContext(t), 1); !errors.Is(err, ErrFeedLost) {
		t.Errorf("the first feed: got %v, want ErrFeedLost", err)
	}
}

func TestNextEndsWithItsContextAndGoesOnLater(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	mustHello(t, c, Position{})
	f := mustFeed(t, c)
	ctx, cancel := context.WithTimeout(testContext(t), 20*time.Millisecond)
	defer cancel()
	if _, err := f.Next(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrFeedLost) {
		t.Fatalf("got %v", err)
	}
	mustAppend(t, b.logs["wapt"], fileEvent("a"))
	if d := nextN(t, f, 1); d[0].Seq != 1 {
		t.Errorf("got %d, want 1", d[0].Seq)
	}
	f.Close()
	f.Close()
	if _, err := f.Next(testContext(t), 1); !errors.Is(err, ErrFeedLost) {
		t.Errorf("after Close: got %v, want ErrFeedLost", err)
	}
}

func TestAFeedEndsWithItsConsumerAndItsConnection(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	lost := make(chan error)
	wait := func() {
		f := mustFeed(t, c)
		ctx := testContext(t)
		go func() {
			_, err := f.Next(ctx, 1)
			lost <- err
		}()
		waitFor(t, "the feed waits", func() bool {
			cons, err := b.JetStream().Consumer(ctx, "EVENTS_wapt", "colmar")
			return err == nil && cons.CachedInfo().NumWaiting > 0
		})
	}
	mustHello(t, c, Position{})
	wait()
	if err := b.logs["wapt"].Detach(testContext(t), "colmar"); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !errors.Is(err, ErrFeedLost) {
		t.Errorf("consumer deleted: got %v, want ErrFeedLost", err)
	}
	mustHello(t, c, Position{})
	wait()
	b.restart(t)
	if err := <-lost; !errors.Is(err, ErrFeedLost) {
		t.Errorf("main restarted: got %v, want ErrFeedLost", err)
	}
	waitFor(t, "the connection's loss shows", func() bool { return c.events.conn.Stats().Reconnects > 0 || !c.Connected() })
	mustConnect(t, c)
	if err := c.Trouble(); err != nil {
		t.Errorf("connected, and yet: %v", err)
	}
	mustHello(t, c, Position{})
	f := mustFeed(t, c)
	mustAppend(t, b.logs["wapt"], fileEvent("a"))
	nextN(t, f, 1)
	if c.Received() == 0 {
		t.Error("nothing was received")
	}
}

// A feed's last request may still be on its way when the next hello comes. It
// must not swallow what the hello put the consumer back to.
func TestAHelloRightBehindARequestLosesNothing(t *testing.T) {
	const n = 3000
	b := startBus(t)
	c := b.remote(t, "colmar")
	mustAppend(t, b.logs["wapt"], fileEvents("f", n)...)
	for range 20 {
		mustHello(t, c, Position{})
		f := mustFeed(t, c)
		if d := nextN(t, f, n-1); d[0].Seq != 1 {
			t.Fatalf("the first event is %d", d[0].Seq)
		}
		if err := f.Ack(n / 2); err != nil {
			t.Fatal(err)
		}
	}
}
