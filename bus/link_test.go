package bus

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// testWire is a TCP way to the main that can be slow, or swallow everything.
type testWire struct {
	listener net.Listener
	to       string
	down     *rate.Limiter // bytes a second from the main, all connections together
	late     time.Duration // of what is carried, each way; set before it is used

	mu    sync.Mutex
	cut   chan struct{} // closed: nothing passes any more, and nobody is told
	conns []net.Conn
}

func newTestWire(t *testing.T, to string, bytesPerSecond int) *testWire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &testWire{listener: l, to: to, down: rate.NewLimiter(rate.Inf, 0), cut: make(chan struct{})}
	if bytesPerSecond > 0 {
		w.down = rate.NewLimiter(rate.Limit(bytesPerSecond), 16<<10)
	}
	go w.accept(t)
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.conns {
			c.Close()
		}
	})
	return w
}

func (w *testWire) accept(t *testing.T) {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			near.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, near, far)
		cut := w.cut
		w.mu.Unlock()
		go w.carry(t, far, near, cut, nil)
		go w.carry(t, near, far, cut, w.down)
	}
}

func (w *testWire) carry(t *testing.T, dst, src net.Conn, cut <-chan struct{}, limit *rate.Limiter) {
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		select {
		case <-cut:
			return // the ends stay open: a cut cable closes nothing
		default:
		}
		time.Sleep(w.late)
		if n > 0 && limit != nil && limit.Limit() != rate.Inf {
			limit.WaitN(t.Context(), n)
		}
		if n > 0 {
			dst.Write(buf[:n])
		}
		if err != nil {
			dst.Close()
			return
		}
	}
}

// breakNow cuts what is connected; new connections pass again.
func (w *testWire) breakNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.cut)
	w.cut = make(chan struct{})
}

func (w *testWire) address() string { return w.listener.Addr().String() }

func TestACutLinkIsNoticedAndMadeAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	b := startBus(t)
	o := b.member(t, "colmar")
	w := newTestWire(t, b.Addr(), 0)
	o.Membership.Address = w.address()
	c := connectClient(t, o)
	mustHello(t, c, Position{})
	f := mustFeed(t, c)
	_, bulkDown, _ := c.bulk.state()
	start := time.Now()
	w.breakNow()
	if _, err := f.Next(testContext(t), 1); !errors.Is(err, ErrFeedLost) {
		t.Errorf("got %v, want ErrFeedLost", err)
	}
	if d := time.Since(start); d > 25*time.Second {
		t.Errorf("noticed after %v", d)
	}
	<-bulkDown
	mustConnect(t, c)
	if d := time.Since(start); d > 35*time.Second {
		t.Errorf("made again after %v", d)
	}
	mustHello(t, c, Position{})
	f = mustFeed(t, c)
	mustAppend(t, b.logs["wapt"], fileEvent("a"))
	nextN(t, f, 1)
}

func TestASlowLinkIsNotTakenForACutOne(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	b := startBus(t)
	o := b.member(t, "colmar")
	w := newTestWire(t, b.Addr(), 1_000_000/8)
	o.Membership.Address = w.address()
	c := connectClient(t, o)
	mustHello(t, c, Position{})
	f := mustFeed(t, c)
	_, eventsDown, _ := c.events.state()
	_, bulkDown, _ := c.bulk.state()
	whole := b.files.add(t, "big", randomBytes(3<<20))
	half := whole
	half.Length /= 2
	done := make(chan error, 2)
	for range 2 {
		go func() {
			errs, err := c.Fetch(testContext(t), "wapt", []Item{half}, func(Piece) error { return nil })
			done <- errors.Join(append(errs, err)...)
		}()
	}
	mustAppend(t, b.logs["wapt"], fileEvents("f", 3000)...)
	nextN(t, f, 3000)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for name, down := range map[string]<-chan struct{}{"events": eventsDown, "bulk": bulkDown} {
		select {
		case <-down:
			t.Errorf("the connection for %s broke", name)
		default:
		}
	}
}

// A link's first dial is put off to the background, and nothing else.
func TestOnlyTheFirstDialOfALinkWaitsForNothing(t *testing.T) {
	d := &lateDialer{}
	if _, err := d.Dial("tcp", "192.0.2.1:4222"); !errors.Is(err, errNotYet) {
		t.Fatalf("the first dial ended with %v", err)
	}
	if wait := d.delay(1); wait != 0 {
		t.Errorf("the first in the background waits for %s", wait)
	}
	for attempt := 1; attempt < 4; attempt++ {
		if wait := d.delay(attempt); wait < firstRetry/2 {
			t.Errorf("attempt %d waits for %s only", attempt, wait)
		}
	}
}
