package bus

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// The server says that it refuses a request, but not as an answer to it.
func TestARequestWithoutRightIsRefusedAtOnce(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	ctx := testContext(t)
	var refused *NotAllowedError
	begin := time.Now()
	if _, err := c.Hello(ctx, "wapt-host", Position{}); !errors.As(err, &refused) || refused.Share != "wapt-host" ||
		!strings.Contains(err.Error(), "waptsync remote set colmar") {
		t.Errorf("hello: got %v", err)
	}
	if _, err := c.Fetch(ctx, "wapt-host", []Item{{Path: "a", Length: 1}}, nil); !errors.As(err, &refused) || refused.Share != "wapt-host" {
		t.Errorf("fetch: got %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	if len(c.events.denials.waiting)+len(c.bulk.denials.waiting) != 0 {
		t.Error("somebody still waits")
	}
}

func TestAShareThatIsTakenAwayIsRefusedByName(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	mustHello(t, c, Position{})
	if err := b.options.Registry.SetShares("colmar", []string{"wapt-host"}); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(); err != nil {
		t.Fatal(err)
	}
	var refused *NotAllowedError
	if _, err := c.Hello(testContext(t), "wapt", Position{}); !errors.As(err, &refused) {
		t.Errorf("the share that it had: got %v", err)
	}
	if _, err := c.Hello(testContext(t), "wapt-host", Position{}); err != nil {
		t.Errorf("the share that it has now: %v", err)
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
func TestAnAnswerGoesBackToWhoAskedOnly(t *testing.T) {
	b := startBus(t)
	other := b.remote(t, "nancy")
	c := b.remote(t, "colmar")
	item := b.files.add(t, "a", []byte("hello"))
	foreign := other.bulk.inbox + ".reply.x"
	sub, err := other.bulk.conn.SubscribeSync(foreign)
	must(t, err)
	must(t, other.bulk.conn.Flush())
	n := int64(0)
	for subject, data := range map[string][]byte{
		"ws.fetch.wapt.colmar": (&fetchRequest{items: []Item{item}}).append(nil),
		"ws.hello.wapt.colmar": []byte("{}"),
		"ws.report.colmar":     []byte("{}"),
	} {
		for _, reply := range []string{foreign, "_R.x", "_R." + c.options.Membership.Inbox, "ev.wapt.x", "$JS.API.STREAM.PURGE.EVENTS_wapt"} {
			must(t, c.bulk.conn.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: data}))
		}
		must(t, c.bulk.conn.Publish(subject, data)) // nobody to answer
		n++
	}
	waitFor(t, "those without a reply are refused", func() bool { return b.service.Refused() == n })
	if _, errs := collect(t, c, []Item{item}); errs[0] != nil {
		t.Error(errs[0])
	}
	must(t, other.bulk.conn.Flush())
	if got, _, err := sub.Pending(); err != nil || got != 0 {
		t.Errorf("%d messages came to another remote: %v", got, err)
	}
}
