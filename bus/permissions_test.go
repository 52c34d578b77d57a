package bus

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestJoinedRemoteReadsItsShare(t *testing.T) {
	m := startMain(t)
	r := m.join(t, "colmar", "alpha")
	ctx := shortContext(t)
	inbox := inboxPrefix + "." + r.membership.Inbox + ".pull"
	sub, err := r.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.PublishRequest("RJS.CONSUMER.MSG.NEXT.EVENTS_alpha.colmar", inbox, []byte(`{"batch":3}`)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil || string(msg.Data) != "event" {
			t.Fatalf("got %v, %v", msg, err)
		}
		if _, err := r.RequestWithContext(ctx, msg.Reply, []byte("+ACK")); err != nil {
			t.Fatalf("acknowledging: %v", err)
		}
	}
	reply, err := r.RequestWithContext(ctx, apiPrefix+".DIRECT.GET."+objectsStream("alpha"), []byte(`{"last_by_subj":"ob.alpha.x"}`))
	if err != nil || string(reply.Data) != "object" {
		t.Fatalf("object: got %v, %v", reply, err)
	}
	waitUntil(t, 5*time.Second, "the connection shows", func() bool {
		c, ok := m.Connections()["colmar"]
		return ok && c.Sent > 0 && c.RTT > 0 && strings.HasPrefix(c.Address, "127.0.0.1:") && !c.Since.IsZero()
	})
	if err := m.Health(); err != nil {
		t.Fatalf("health: %v", err)
	}
}

func TestRemoteReachesNothingElse(t *testing.T) {
	m := startMain(t)
	other := m.join(t, "nancy", "alpha", "beta")
	r := m.join(t, "colmar", "alpha")
	for _, subject := range []string{
		"ev.alpha.x", "ob.alpha.x", "rm.colmar",
		"$JS.API.INFO", "$JS.API.STREAM.PURGE.EVENTS_alpha", "$JS.API.STREAM.DELETE.EVENTS_alpha",
		"$JS.API.CONSUMER.CREATE.EVENTS_alpha", "RJS.CONSUMER.CREATE.EVENTS_alpha", "RJS.STREAM.INFO.EVENTS_alpha",
		"RJS.CONSUMER.INFO.EVENTS_alpha.nancy", "RJS.CONSUMER.INFO.EVENTS_alpha.colmar", "RJS.CONSUMER.MSG.NEXT.EVENTS_alpha.nancy", "$JS.ACK.EVENTS_alpha.nancy.1.1.1.1.1",
		"RJS.CONSUMER.INFO.EVENTS_beta.colmar", "RJS.CONSUMER.MSG.NEXT.EVENTS_beta.colmar",
		"RJS.DIRECT.GET.OBJECTS_beta", "RJS.DIRECT.GET.EVENTS_alpha", "RJS.DIRECT.GET.OBJECTS_alpha.ob.alpha.x",
		"ws.hello.beta.colmar", "ws.fetch.beta.colmar", "ws.hello.alpha.nancy", "ws.fetch.alpha.nancy", "ws.report.nancy",
		"ws.join.x", "_R." + other.membership.Inbox + ".x", "$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "x",
	} {
		if err := r.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		r.mustDeny(t, "publishing to "+subject)
	}
	for _, subject := range []string{
		">", "*.>", "ev.>", "ws.>", "ws.hello.alpha.colmar", "_R.>", "_R.*.>", "_W.>", "$JS.>", "$SYS.>", "_R." + other.membership.Inbox + ".>",
	} {
		if _, err := r.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		r.mustDeny(t, "listening on "+subject)
	}
}

// A remote chooses where the answer to its request goes, and the server does
// not check that: the answer must not do there what the remote may not.
func TestRepliesCannotBeTurnedAgainstTheMain(t *testing.T) {
	m := startMain(t)
	m.join(t, "nancy", "alpha")
	r := m.join(t, "colmar", "alpha")
	ctx := shortContext(t)
	type state struct {
		streams   map[string]jetstream.StreamState
		consumers int
	}
	look := func() state {
		s := state{streams: make(map[string]jetstream.StreamState)}
		list := m.JetStream().ListStreams(ctx)
		for info := range list.Info() {
			s.streams[info.Config.Name] = info.State
			s.consumers += info.State.Consumers
		}
		if list.Err() != nil {
			t.Fatal(list.Err())
		}
		return s
	}
	before := look()
	if len(before.streams) != 4 || before.consumers != 2 {
		t.Fatalf("unexpected start: %+v", before)
	}
	requests := map[string]string{
		"RJS.CONSUMER.MSG.NEXT.EVENTS_alpha.colmar": `{"batch":1,"no_wait":true}`,
		"RJS.DIRECT.GET.OBJECTS_alpha":              `{"last_by_subj":"ob.alpha.x"}`,
		"$JS.ACK.EVENTS_alpha.colmar.1.1.1.1.1":     "+NXT",
		"ws.hello.alpha.colmar":                     "{}",
		"ws.fetch.alpha.colmar":                     "{}",
		"ws.report.colmar":                          "{}",
	}
	replies := []string{
		"$JS.API.STREAM.PURGE.EVENTS_alpha", "$JS.API.STREAM.DELETE.EVENTS_alpha", "$JS.API.STREAM.DELETE.OBJECTS_beta",
		"$JS.API.CONSUMER.DELETE.EVENTS_alpha.nancy", "RJS.STREAM.PURGE.EVENTS_alpha", "RJS.CONSUMER.DELETE.EVENTS_alpha.nancy",
		"ev.alpha.x", "ob.alpha.y", "rm.nancy", "$JS.ACK.EVENTS_alpha.nancy.1.3.3.1.0", "_R_.x",
	}
	for request, data := range requests {
		for _, reply := range replies {
			if err := r.PublishRequest(request, reply, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The answers of requests that follow on the same connection come after the
	// effects of those before.
	if _, err := r.RequestWithContext(ctx, "RJS.DIRECT.GET.OBJECTS_alpha", []byte(`{"seq":1}`)); err != nil {
		t.Fatal(err)
	}
	after := look()
	if after.consumers != before.consumers {
		t.Errorf("%d consumers are left of %d", after.consumers, before.consumers)
	}
	for name, was := range before.streams {
		if is := after.streams[name]; is.Msgs != was.Msgs || is.LastSeq != was.LastSeq || is.FirstSeq != was.FirstSeq {
			t.Errorf("stream %s changed from %+v to %+v", name, was, is)
		}
	}
	info, err := m.JetStream().Consumer(ctx, eventsStream("alpha"), "nancy")
	if err != nil {
		t.Fatal(err)
	}
	if floor := info.CachedInfo().AckFloor.Stream; floor != 0 {
		t.Errorf("another remote's events were acknowledged up to %d", floor)
	}
}

func TestServiceUserAnswersInboxesOnly(t *testing.T) {
	m := startMain(t)
	for _, subject := range []string{"$JS.API.STREAM.PURGE.EVENTS_alpha", "RJS.CONSUMER.INFO.EVENTS_alpha.x", "ev.alpha.x", "ws.report.x"} {
		if err := m.serviceConn.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := m.serviceConn.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := m.serviceConn.LastError(); !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), subject) {
			t.Errorf("publishing to %s: got %v, want a permission violation", subject, err)
		}
	}
}

func TestRemovedRemoteIsCutAtOnceAndOthersStay(t *testing.T) {
	for _, c := range []struct {
		what string
		act  func(*Registry) error
	}{
		{"removed", func(r *Registry) error { return r.Remove("colmar") }},
		{"paused", func(r *Registry) error { return r.SetPaused("colmar", true) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := startMain(t)
			r, other := m.join(t, "colmar", "alpha"), m.join(t, "nancy", "alpha")
			if err := c.act(m.options.Registry); err != nil {
				t.Fatal(err)
			}
			if err := m.Apply(); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, time.Second, "the remote is cut", r.IsClosed)
			if _, err := other.RequestWithContext(shortContext(t), "RJS.DIRECT.GET.OBJECTS_alpha", []byte(`{"seq":1}`)); err != nil {
				t.Errorf("the other remote: %v", err)
			}
			if other.Stats().Reconnects > 0 || !m.serviceConn.IsConnected() || m.serviceConn.Stats().Reconnects > 0 {
				t.Error("others were cut, too")
			}
		})
	}
}

// A reload must not lose the request with which a remote waits for events.
func TestApplyDoesNotDisturbWhoWaits(t *testing.T) {
	m := startMain(t)
	r := m.join(t, "colmar", "alpha")
	ctx := shortContext(t)
	sub, err := r.SubscribeSync(inboxPrefix + "." + r.membership.Inbox + ".pull")
	if err != nil {
		t.Fatal(err)
	}
	err = r.PublishRequest("RJS.CONSUMER.MSG.NEXT.EVENTS_alpha.colmar", inboxPrefix+"."+r.membership.Inbox+".pull",
		[]byte(`{"batch":4,"expires":20000000000}`))
	if err != nil {
		t.Fatal(err)
	}
	next := func() {
		t.Helper()
		if msg, err := sub.NextMsgWithContext(ctx); err != nil || string(msg.Data) != "event" {
			t.Fatalf("got %v, %v", msg, err)
		}
	}
	for range 3 {
		next()
	}
	for i := range 3 {
		if _, err := m.options.Registry.Add(string(rune('a'+i)), newIdentityForTest(t).ID(), []string{"alpha", "beta"}); err != nil {
			t.Fatal(err)
		}
		if err := m.Apply(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.JetStream().Publish(ctx, eventSubject("alpha", "new"), []byte("event")); err != nil {
		t.Fatal(err)
	}
	next()
}

func TestSharesChangeOnTheLiveConnection(t *testing.T) {
	m := startMain(t)
	r := m.join(t, "colmar", "alpha")
	if err := m.options.Registry.SetShares("colmar", []string{"beta"}); err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RequestWithContext(shortContext(t), "RJS.DIRECT.GET.OBJECTS_beta", []byte(`{"seq":1}`)); err != nil {
		t.Errorf("the new share: %v", err)
	}
	if err := r.Publish("RJS.DIRECT.GET.OBJECTS_alpha", nil); err != nil {
		t.Fatal(err)
	}
	r.mustDeny(t, "reading the share that was taken away")
}

func TestStrangersGetNoConnection(t *testing.T) {
	m := startMain(t)
	r := m.join(t, "colmar", "alpha")
	good, err := ClientTLS([]byte(r.membership.CA))
	if err != nil {
		t.Fatal(err)
	}
	old := good.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	stranger, err := newIdentityForTest(t).nkeyOption()
	if err != nil {
		t.Fatal(err)
	}
	known, err := r.id.nkeyOption()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what    string
		options []nats.Option
	}{
		{"without TLS", []nats.Option{known, nats.Timeout(500 * time.Millisecond)}},
		{"with TLS 1.2", []nats.Option{known, nats.Secure(old), nats.TLSHandshakeFirst()}},
		{"with the system's CAs", []nats.Option{known, nats.Secure(), nats.TLSHandshakeFirst()}},
		{"without a key", []nats.Option{nats.Secure(good), nats.TLSHandshakeFirst()}},
		{"with an unknown key", []nats.Option{stranger, nats.Secure(good), nats.TLSHandshakeFirst()}},
		{"with a user name", []nats.Option{nats.UserInfo("a", "b"), nats.Secure(good), nats.TLSHandshakeFirst()}},
	} {
		t.Run(c.what, func(t *testing.T) {
			nc, err := nats.Connect("nats://"+m.Addr(), append(c.options, nats.NoReconnect())...)
			if err == nil {
				nc.Close()
				t.Fatal("connected")
			}
		})
	}
	t.Run("nothing is said before TLS", func(t *testing.T) {
		c, err := net.Dial("tcp", m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read %d bytes: %v", n, err)
		}
	})
}
