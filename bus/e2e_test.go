package bus

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"waptsync/objects"
)

// testFiles are contents under their paths, on a real disk.
type testFiles struct {
	dir string

	mu      sync.Mutex
	changed map[string]bool          // Close says that these changed
	gate    map[string]chan struct{} // Open of these waits
	opened  atomic.Int64
}

func newTestFiles(t testing.TB) *testFiles {
	return &testFiles{dir: t.TempDir(), changed: map[string]bool{}, gate: map[string]chan struct{}{}}
}

func (f *testFiles) add(t testing.TB, path string, content []byte) Item {
	t.Helper()
	full := filepath.Join(f.dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return Item{Path: path, Digest: objects.Sum(content), Length: int64(len(content))}
}

type testReader struct {
	*os.File
	changed bool
}

func (r *testReader) Close() error {
	if err := r.File.Close(); err != nil {
		return err
	}
	if r.changed {
		return errors.New("another size")
	}
	return nil
}

func (f *testFiles) Open(_, path string, _ objects.ID) (ContentReader, error) {
	f.opened.Add(1)
	f.mu.Lock()
	changed, gate := f.changed[path], f.gate[path]
	f.mu.Unlock()
	if gate != nil {
		<-gate
	}
	file, err := os.Open(filepath.Join(f.dir, path))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &FetchError{Code: FetchGone, Text: path + " is gone"}
	}
	if err != nil {
		return nil, err
	}
	return &testReader{File: file, changed: changed}, nil
}

func (f *testFiles) Manifest(_ context.Context, _, path string, _ objects.ID) ([]byte, error) {
	if path == "broken" {
		return nil, errors.New("input/output error")
	}
	return os.ReadFile(filepath.Join(f.dir, path+".manifest"))
}

// testBus is a main with the shares wapt and wapt-host, of which remotes get
// the first only, and its service.
type testBus struct {
	*Server
	options ServerOptions
	logs    map[string]*Log
	window  *Window
	files   *testFiles
	service *Service
	reports chan Report
}

func startBus(t testing.TB) *testBus {
	t.Helper()
	dir := t.TempDir()
	authority, err := LoadAuthority(filepath.Join(dir, "authority"))
	if err != nil {
		t.Fatal(err)
	}
	registry, err := LoadRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := &testBus{
		options: ServerOptions{
			Dir: filepath.Join(dir, "store"), Listen: "127.0.0.1:0", MaxStore: 1 << 30,
			Authority: authority, Registry: registry, Shares: []string{"wapt", "wapt-host"},
			Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
		},
		files:   newTestFiles(t),
		reports: make(chan Report, 10),
	}
	b.start(t)
	return b
}

func (b *testBus) start(t testing.TB) {
	t.Helper()
	ctx := testContext(t)
	s, err := StartServer(ctx, b.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b.Server = s
	b.logs = map[string]*Log{}
	for _, share := range b.options.Shares {
		if b.logs[share], err = OpenLog(ctx, s.JetStream(), LogOptions{Share: share, Log: b.options.Log}); err != nil {
			t.Fatal(err)
		}
	}
	if b.window, err = s.OpenWindow(ctx, "wapt", 16<<20); err != nil {
		t.Fatal(err)
	}
	b.service, err = StartService(ctx, s, ServiceOptions{
		Files: b.files, Logs: b.logs, Log: b.options.Log,
		OnReport: func(_ string, r Report) { b.reports <- r },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.service.Close)
}

// restart stops the bus and starts it on the same port.
func (b *testBus) restart(t testing.TB) {
	t.Helper()
	b.options.Listen = b.Addr()
	b.service.Close()
	b.Server.Close()
	b.start(t)
}

// member joins a remote that has the share wapt.
func (b *testBus) member(t testing.TB, name string) ClientOptions {
	t.Helper()
	id, err := LoadIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	line, err := b.options.Registry.Invite(name, []string{"wapt"}, b.Addr(), b.options.Authority.Fingerprint(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(); err != nil {
		t.Fatal(err)
	}
	m, err := Join(testContext(t), line, id)
	if err != nil {
		t.Fatal(err)
	}
	return ClientOptions{Membership: m, Identity: id, Log: b.options.Log}
}

func connectClient(t testing.TB, o ClientOptions) *Client {
	t.Helper()
	c, err := Connect(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	mustConnect(t, c)
	return c
}

func mustConnect(t testing.TB, c *Client) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		changes := c.Changes()
		if c.Connected() {
			return
		}
		select {
		case <-changes:
		case <-deadline:
			t.Fatalf("not connected: %v", c.Trouble())
		}
	}
}

func (b *testBus) remote(t testing.TB, name string) *Client {
	t.Helper()
	return connectClient(t, b.member(t, name))
}

func mustHello(t testing.TB, c *Client, p Position) Welcome {
	t.Helper()
	w, err := c.Hello(testContext(t), "wapt", p)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustFeed(t testing.TB, c *Client) *Feed {
	t.Helper()
	f, err := c.Feed(testContext(t), "wapt")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// nextN reads n deliveries.
func nextN(t testing.TB, f *Feed, n int) []Delivery {
	t.Helper()
	var all []Delivery
	ctx := testContext(t)
	for len(all) < n {
		d, err := f.Next(ctx, n-len(all))
		if err != nil {
			t.Fatalf("after %d deliveries: %v", len(all), err)
		}
		all = append(all, d...)
	}
	return all
}

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

func TestAHelloIsForOnesOwnSharesOnly(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	if w, err := c.Hello(ctx, "wapt-host", Position{}); err == nil {
		t.Errorf("got %+v", w)
	}
}

func TestAClientSaysWhyItIsNotConnected(t *testing.T) {
	b := startBus(t)
	o := b.member(t, "colmar")
	b.service.Close()
	b.Server.Close()
	c, err := Connect(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Connected() || c.Trouble() == nil {
		t.Errorf("connected %v, trouble %v", c.Connected(), c.Trouble())
	}
	waitFor(t, "the trouble names the cause", func() bool { return strings.Contains(c.Trouble().Error(), "refused") })
	if _, err := c.Hello(testContext(t), "wapt", Position{}); !errors.Is(err, ErrNotConnected) {
		t.Errorf("hello: got %v, want ErrNotConnected", err)
	}
	if _, err := c.Feed(testContext(t), "wapt"); !errors.Is(err, ErrFeedLost) {
		t.Errorf("feed: got %v, want ErrFeedLost", err)
	}
	if _, err := c.Fetch(testContext(t), "wapt", []Item{{Path: "a", Length: 1}}, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("fetch: got %v, want ErrNotConnected", err)
	}
	b.options.Listen = o.Membership.Address
	b.start(t)
	mustConnect(t, c)
}

func TestARevokedRemoteComesBackWhenItMay(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	pause := func(paused bool) {
		if err := b.options.Registry.SetPaused("colmar", paused); err != nil {
			t.Fatal(err)
		}
		if err := b.Apply(); err != nil {
			t.Fatal(err)
		}
	}
	pause(true)
	waitFor(t, "both connections are cut and refused", func() bool {
		events, _, whyEvents := c.events.state()
		bulk, _, whyBulk := c.bulk.state()
		return !events && !bulk && !c.Connected() &&
			strings.Contains(whyEvents.Error(), "uthorization") && strings.Contains(whyBulk.Error(), "uthorization")
	})
	pause(false)
	mustConnect(t, c)
}

func TestAReportIsTakenAndKept(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	want := Report{Host: "srv-colmar", Shares: map[string]ShareReport{"wapt": {State: "live", Seq: 7}}}
	if err := c.Report(testContext(t), &want); err != nil {
		t.Fatal(err)
	}
	if got := <-b.reports; got.Host != want.Host || got.Shares["wapt"].Seq != 7 {
		t.Errorf("got %+v", got)
	}
	s, err := b.JetStream().Stream(testContext(t), remotesStream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(testContext(t), "rm.colmar")
	if err != nil || !bytes.Contains(m.Data, []byte("srv-colmar")) {
		t.Errorf("kept %v, %v", m, err)
	}
	want.Host = strings.Repeat("x", maxReportBytes)
	if err := c.Report(testContext(t), &want); err == nil {
		t.Error("a report above the limit was sent")
	}
}

// What answers remotes must not be led to answer somebody else.
func TestAReplyToAForeignInboxIsDropped(t *testing.T) {
	b := startBus(t)
	other := b.remote(t, "nancy")
	c := b.remote(t, "colmar")
	item := b.files.add(t, "a", []byte("hello"))
	request := (&fetchRequest{items: []Item{item}}).append(nil)
	foreign := other.bulk.inbox + ".reply.x"
	n := int64(0)
	for subject, data := range map[string][]byte{
		"ws.fetch.wapt.colmar": request,
		"ws.hello.wapt.colmar": []byte("{}"),
		"ws.report.colmar":     []byte("{}"),
	} {
		for _, reply := range []string{foreign, "_R.x", "_R." + c.membership.Inbox, "ev.wapt.x", "$JS.API.STREAM.PURGE.EVENTS_wapt", ""} {
			if err := c.bulk.conn.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: data}); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	waitFor(t, "all are refused", func() bool { return b.service.Refused() == n })
	if b.files.opened.Load() != 0 || len(b.reports) != 0 {
		t.Errorf("%d files were opened, %d reports taken", b.files.opened.Load(), len(b.reports))
	}
	if p, err := b.logs["wapt"].Pending(testContext(t), "colmar"); p != -1 || err != nil {
		t.Errorf("a consumer was made: %d, %v", p, err)
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
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
