package bus

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stolen is a connection with a joined remote's own key, used by a thief.
func (b *testBus) stolen(t testing.TB, o ClientOptions) *testRemote {
	t.Helper()
	r := &testRemote{id: o.Identity, membership: o.Membership}
	r.connect(t)
	return r
}

// belongings are what a remote must not be able to change.
type belongings struct {
	streams   map[string]jetstream.StreamState
	consumers map[string]jetstream.ConsumerInfo // of the other remotes
}

func (b *testBus) look(t testing.TB, others ...string) belongings {
	t.Helper()
	ctx := testContext(t)
	s := belongings{streams: map[string]jetstream.StreamState{}, consumers: map[string]jetstream.ConsumerInfo{}}
	list := b.JetStream().ListStreams(ctx)
	for info := range list.Info() {
		state := info.State
		state.Consumers = 0
		s.streams[info.Config.Name] = state
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	for _, name := range others {
		c, err := b.JetStream().Consumer(ctx, eventsStream("wapt"), name)
		if err != nil {
			t.Fatal(err)
		}
		info := *c.CachedInfo()
		s.consumers[name] = jetstream.ConsumerInfo{Created: info.Created, Delivered: info.Delivered, AckFloor: info.AckFloor, PauseRemaining: info.PauseRemaining}
	}
	return s
}

func (s belongings) mustBe(t testing.TB, is belongings) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(s.streams)), slices.Sorted(maps.Keys(is.streams))) {
		t.Errorf("there are the streams %v, were %v", slices.Collect(maps.Keys(is.streams)), slices.Collect(maps.Keys(s.streams)))
	}
	for name, was := range s.streams {
		if now := is.streams[name]; now.Msgs != was.Msgs || now.FirstSeq != was.FirstSeq || now.LastSeq != was.LastSeq || now.NumDeleted != was.NumDeleted {
			t.Errorf("stream %s changed from %+v to %+v", name, was, now)
		}
	}
	for name, was := range s.consumers {
		now := is.consumers[name]
		if !now.Created.Equal(was.Created) || now.AckFloor.Stream != was.AckFloor.Stream || now.Delivered.Stream != was.Delivered.Stream || now.PauseRemaining != was.PauseRemaining {
			t.Errorf("the consumer of %s changed from %+v to %+v", name, was, now)
		}
	}
}

// victim is another remote that follows the share.
func (b *testBus) victim(t testing.TB) (ClientOptions, *Client, *Feed) {
	t.Helper()
	o := b.member(t, "nancy")
	c := connectClient(t, o)
	mustHello(t, c, Position{})
	return o, c, mustFeed(t, c)
}

// mustFollow appends an event and wants it at the feed within d.
func (b *testBus) mustFollow(t testing.TB, f *Feed, path string, d time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	mustAppend(t, b.logs["wapt"], fileEvent(path))
	ctx, cancel := context.WithTimeout(testContext(t), d)
	defer cancel()
	for {
		got, err := f.Next(ctx, 100)
		if err != nil {
			t.Fatalf("the other remote waits for %s: %v", path, err)
		}
		for _, e := range got {
			if e.Event.Path == path {
				return time.Since(begin)
			}
		}
	}
}

func TestEveryForbiddenSubjectIsDeniedAndCounted(t *testing.T) {
	b := startBus(t)
	victim, _, feed := b.victim(t)
	b.mustFollow(t, feed, "before", 20*time.Second)
	r := b.stolen(t, b.member(t, "colmar"))
	foreign := inboxPrefix + "." + victim.Membership.Inbox
	before := b.look(t, "nancy")

	publish := []string{
		"ev.wapt.x", "ev.wapt.marker", "ob.wapt.x", "rm.colmar", "rm.nancy", "x",
		"$JS.ACK.EVENTS_wapt.nancy.1.1.1.1.1", "$JS.ACK.EVENTS_wapt-host.colmar.1.1.1.1.1", "$JS.ACK.OBJECTS_wapt.colmar.1.1.1.1.1",
		"ws.report.nancy", "ws.report", "ws.report.colmar.x", "ws.join.x",
		"ws.hello.wapt-host.colmar", "ws.fetch.wapt-host.colmar", "ws.hello.wapt.nancy", "ws.fetch.wapt.nancy",
		"RJS.CONSUMER.MSG.NEXT.EVENTS_wapt-host.colmar", "RJS.CONSUMER.MSG.NEXT.EVENTS_wapt.nancy", "RJS.CONSUMER.MSG.NEXT.OBJECTS_wapt.colmar",
		"RJS.DIRECT.GET.OBJECTS_wapt-host", "RJS.DIRECT.GET.EVENTS_wapt", "RJS.DIRECT.GET.REMOTES", "RJS.DIRECT.GET.OBJECTS_wapt.ob.wapt.x",
		foreign + ".events.feed.1", foreign + ".bulk.reply.x", inboxPrefix + ".x", "_W.x", "_INBOX.x",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.REMOTES.CONNZ", "$SYS.ACCOUNT.REMOTES.CONNECT",
		"$SRV.PING", "$SRV.INFO", "$SRV.STATS.waptsync",
	}
	for _, api := range []string{"$JS.API", "RJS"} {
		for _, verb := range []string{
			"INFO", "STREAM.LIST", "STREAM.NAMES", "STREAM.INFO.EVENTS_wapt", "STREAM.CREATE.X", "STREAM.UPDATE.EVENTS_wapt",
			"STREAM.PURGE.EVENTS_wapt", "STREAM.DELETE.EVENTS_wapt", "STREAM.DELETE.OBJECTS_wapt", "STREAM.DELETE.REMOTES",
			"STREAM.MSG.DELETE.EVENTS_wapt", "STREAM.MSG.GET.EVENTS_wapt", "STREAM.SNAPSHOT.EVENTS_wapt", "STREAM.RESTORE.EVENTS_wapt",
			"CONSUMER.CREATE.EVENTS_wapt", "CONSUMER.CREATE.EVENTS_wapt.colmar", "CONSUMER.CREATE.EVENTS_wapt.x.>", "CONSUMER.DURABLE.CREATE.EVENTS_wapt.colmar",
			"CONSUMER.DELETE.EVENTS_wapt.colmar", "CONSUMER.DELETE.EVENTS_wapt.nancy", "CONSUMER.INFO.EVENTS_wapt.colmar", "CONSUMER.INFO.EVENTS_wapt.nancy",
			"CONSUMER.LIST.EVENTS_wapt", "CONSUMER.NAMES.EVENTS_wapt", "CONSUMER.PAUSE.EVENTS_wapt.nancy", "CONSUMER.UNPIN.EVENTS_wapt.nancy",
			"CONSUMER.RESET.EVENTS_wapt.colmar", "CONSUMER.RESET.EVENTS_wapt.nancy", "META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE.PUB",
		} {
			publish = append(publish, api+"."+verb)
		}
	}
	subscribe := []string{
		">", "*", "*.>", "*.*", "ev.>", "ob.>", "rm.>", "ws.>", "ws.fetch.>", "ws.fetch.wapt.*", "ws.fetch.wapt.nancy", "ws.fetch.wapt.colmar", "ws.hello.>", "ws.report.>", "ws.join.>",
		"_R.>", "_R.*", "_R.*.>", "_R_.>", "_W.>", "_INBOX.>", foreign + ".>", foreign + ".events.feed.1",
		"$JS.>", "$JS.ACK.>", "$JS.EVENT.>", "RJS.>", "$SYS.>", "$SRV.>", "$SRV.PING",
	}
	refused := b.Refusals().Permissions
	for _, subject := range publish {
		must(t, r.Publish(subject, []byte("{}")))
		r.mustDeny(t, "publishing to "+subject)
	}
	for _, subject := range subscribe {
		if _, err := r.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		r.mustDeny(t, "listening on "+subject)
		if _, err := r.QueueSubscribeSync(subject, "q"); err != nil {
			t.Fatal(err)
		}
		r.mustDeny(t, "listening in a group on "+subject)
	}
	if n, want := b.Refusals().Permissions-refused, int64(len(publish)+2*len(subscribe)); n != want {
		t.Errorf("%d refusals were counted of %d", n, want)
	}
	before.mustBe(t, b.look(t, "nancy"))
	b.mustFollow(t, feed, "after", 20*time.Second)
}

// The one reading of a stream that a remote may do by itself reaches its own
// share's objects, whatever form the request has.
func TestTheWindowIsReadOfOnesOwnSharesOnly(t *testing.T) {
	b := startBus(t)
	r := b.stolen(t, b.member(t, "colmar"))
	ctx := testContext(t)
	host, err := b.OpenWindow(ctx, "wapt-host", 16<<20)
	must(t, err)
	for w, text := range map[*Window]string{b.window: "own object", host: "secret object"} {
		var id [32]byte
		copy(id[:], text)
		must(t, w.Put(ctx, id, []byte(text)))
		must(t, w.Flush(ctx))
	}
	mustAppend(t, b.logs["wapt-host"], fileEvent("secret-path"))
	inbox := inboxPrefix + "." + r.membership.Inbox + ".got"
	sub, err := r.SubscribeSync(inbox)
	must(t, err)
	own := false
	for _, request := range []string{
		`{"seq":1}`, `{"last_by_subj":"ob.wapt-host.>"}`, `{"last_by_subj":">"}`, `{"next_by_subj":">","seq":1}`,
		`{"next_by_subj":"ob.wapt-host.*","seq":1,"batch":100}`, `{"next_by_subj":"ev.>","seq":1,"batch":100}`,
		`{"multi_last":[">"]}`, `{"multi_last":["ob.wapt-host.>","ev.>","rm.>"]}`, `{"multi_last":["ev.wapt-host.*"],"batch":10}`,
		`{"start_time":"2020-01-01T00:00:00Z","next_by_subj":">","batch":100}`, `{}`, `[]`, `x`, "",
	} {
		must(t, r.PublishRequest("RJS.DIRECT.GET.OBJECTS_wapt", inbox, []byte(request)))
		must(t, r.PublishRequest("RJS.DIRECT.GET.OBJECTS_wapt", inbox, []byte(`{"last_by_subj":"fence"}`)))
	}
	must(t, r.Flush())
	for {
		m, err := sub.NextMsg(500 * time.Millisecond)
		if err != nil {
			break
		}
		own = own || string(m.Data) == "own object"
		if strings.Contains(string(m.Data)+m.Header.Get("Nats-Subject"), "secret") || strings.Contains(m.Header.Get("Nats-Subject"), "wapt-host") {
			t.Errorf("got %q with %v", m.Data, m.Header)
		}
	}
	if !own {
		t.Error("its own object did not come: the test asks in the wrong way")
	}
}

// allowedRequests are all subjects that colmar may publish to, with data that
// makes the server or the service answer.
func allowedRequests(item Item) map[string]string {
	return map[string]string{
		"RJS.CONSUMER.MSG.NEXT.EVENTS_wapt.colmar": `{"batch":1,"no_wait":true}`,
		"RJS.DIRECT.GET.OBJECTS_wapt":              `{"last_by_subj":"ob.wapt.>"}`,
		"$JS.ACK.EVENTS_wapt.colmar.1.1.1.1.1":     "+NXT",
		"ws.hello.wapt.colmar":                     "{}",
		"ws.fetch.wapt.colmar":                     string((&fetchRequest{items: []Item{item}}).append(nil)),
		"ws.report.colmar":                         "{}",
	}
}

func TestNoReplySubjectDoesHarm(t *testing.T) {
	b := startBus(t)
	victim, nancy, feed := b.victim(t)
	b.mustFollow(t, feed, "before", 20*time.Second)
	must(t, nancy.Report(testContext(t), &Report{Host: "srv-nancy"}))
	<-b.reports
	o := b.member(t, "colmar")
	mustHello(t, connectClient(t, o), Position{}) // so that it has a consumer, too
	r := b.stolen(t, o)
	ctx := testContext(t)
	must(t, b.window.Put(ctx, [32]byte{1}, []byte("object")))
	must(t, b.window.Flush(ctx))
	item := b.files.add(t, "a", []byte("file"))

	requests := allowedRequests(item)
	// The list is whole: it is what the permissions of the user say.
	known, _ := b.options.Registry.RemoteByName("colmar")
	for _, subject := range (&access{Shares: b.options.Shares}).mayPublish(&known) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(requests)), func(s string) bool {
			return s == subject || strings.HasSuffix(subject, ".>") && strings.HasPrefix(s, strings.TrimSuffix(subject, ">"))
		}) {
			t.Errorf("%s is allowed and not tried", subject)
		}
	}
	foreign := inboxPrefix + "." + victim.Membership.Inbox
	replies := []string{
		"$JS.API.STREAM.PURGE.EVENTS_wapt", "$JS.API.STREAM.DELETE.EVENTS_wapt", "$JS.API.STREAM.DELETE.OBJECTS_wapt", "$JS.API.STREAM.DELETE.REMOTES",
		"$JS.API.STREAM.UPDATE.EVENTS_wapt", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.MSG.DELETE.EVENTS_wapt",
		"$JS.API.CONSUMER.DELETE.EVENTS_wapt.nancy", "$JS.API.CONSUMER.RESET.EVENTS_wapt.nancy", "$JS.API.CONSUMER.PAUSE.EVENTS_wapt.nancy",
		"$JS.API.CONSUMER.UNPIN.EVENTS_wapt.nancy", "$JS.API.CONSUMER.MSG.NEXT.EVENTS_wapt.nancy", "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS_wapt.x",
		"RJS.STREAM.PURGE.EVENTS_wapt", "RJS.CONSUMER.DELETE.EVENTS_wapt.nancy", "RJS.CONSUMER.MSG.NEXT.EVENTS_wapt.nancy", "RJS.DIRECT.GET.OBJECTS_wapt-host",
		"ev.wapt.x", "ev.wapt.marker", "ob.wapt.y", "rm.nancy", "$JS.ACK.EVENTS_wapt.nancy.1.3.3.1.0", "$JS.ACK.EVENTS_wapt.colmar.1.1.1.1.1",
		"ws.fetch.wapt.nancy", "ws.hello.wapt.nancy", "ws.report.nancy", "ws.fetch.wapt-host.colmar", "ws.join.x",
		"_W.x", "_W.>", "_R.>", "_R.*.events.feed.1", "_R_.x", "_R_.abc.def", "_INBOX.x", "_INBOX_ORD.x", ">", "*", "$SYS.REQ.SERVER.PING", "$SYS.ACCOUNT.REMOTES.CONNECT", "$SRV.STATS",
		"$NRG.x", "_GR_.x", "$GR.x", "_R." + o.Membership.Inbox, "_R." + strings.ToUpper(o.Membership.Inbox) + ".x",
		// The worst: a thief who came to know the other's inbox.
		foreign + ".events.feed.1", foreign + ".bulk.reply.1", foreign + ".>",
	}
	heard := 0
	spy := b.stolen(t, victim) // all that reaches the other remote beside its feed
	_, err := spy.Subscribe(foreign+".>", func(*nats.Msg) { heard++ })
	must(t, err)
	must(t, spy.Flush())
	report := func() string {
		t.Helper()
		s, err := b.JetStream().Stream(ctx, remotesStream)
		must(t, err)
		m, err := s.GetLastMsgForSubject(ctx, "rm.nancy")
		must(t, err)
		return fmt.Sprintf("%d %s", m.Sequence, m.Data)
	}
	hers := report()
	before := b.look(t, "nancy")
	for subject, data := range requests {
		for _, reply := range replies {
			must(t, r.PublishRequest(subject, reply, []byte(data)))
		}
	}
	must(t, r.FlushTimeout(20*time.Second))
	if r.IsClosed() {
		t.Fatal("it was cut before all was tried")
	}
	// Answers that come after these show that those were dealt with. With some
	// of the replies it may have cut off answers to itself.
	for _, subject := range []string{"ws.fetch.wapt.colmar", "ws.report.colmar", "ws.hello.wapt.colmar", "RJS.DIRECT.GET.OBJECTS_wapt"} {
		waitFor(t, subject+" is answered", func() bool {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_, err := r.RequestWithContext(ctx, subject, []byte(requests[subject]))
			return err == nil
		})
	}
	after := b.look(t, "nancy")
	delete(before.streams, remotesStream) // it may report as often as it likes
	delete(after.streams, remotesStream)
	before.mustBe(t, after)
	if now := report(); now != hers {
		t.Errorf("the other remote's report was %s, is %s", hers, now)
	}
	if b.Refusals().Permissions == 0 {
		t.Error("the replies that the server itself refuses were not counted")
	}
	must(t, spy.Flush())
	spy.Close()
	if heard != 0 {
		t.Errorf("%d messages came to the other remote", heard)
	}
	if _, err := b.JetStream().Stream(ctx, "X"); err == nil {
		t.Error("a stream was made")
	}
	b.mustFollow(t, feed, "after", 20*time.Second)
	if _, errs := collect(t, nancy, []Item{item}); errs[0] != nil {
		t.Errorf("the other remote's fetch: %v", errs[0])
	}
}

func TestAFloodDelaysNobodyElse(t *testing.T) {
	b := startBus(t)
	_, nancy, feed := b.victim(t)
	o := b.member(t, "colmar")
	mustHello(t, connectClient(t, o), Position{})
	item := b.files.add(t, "a", randomBytes(200<<10))
	ctx := testContext(t)
	must(t, b.window.Put(ctx, [32]byte{1}, randomBytes(100<<10)))
	must(t, b.window.Flush(ctx))
	measure := func(what string, n int) time.Duration {
		var all []time.Duration
		for i := range n {
			all = append(all, b.mustFollow(t, feed, fmt.Sprintf("%s%d", what, i), 20*time.Second))
		}
		slices.Sort(all)
		t.Logf("%s: median %v, slowest %v", what, all[n/2], all[n-1])
		return all[n/2]
	}
	quiet := measure("quiet", 20)

	stop := make(chan struct{})
	var flood sync.WaitGroup
	requests := allowedRequests(item)
	for range 4 {
		r := b.stolen(t, o)
		own := inboxPrefix + "." + r.membership.Inbox + ".flood"
		_, err := r.Subscribe(own, func(*nats.Msg) {})
		must(t, err)
		flood.Go(func() {
			for {
				for subject, data := range requests {
					for _, reply := range []string{own, "x"} {
						if r.PublishRequest(subject, reply, []byte(data)) != nil {
							return // cut
						}
					}
				}
				_ = r.Publish("ev.wapt.x", nil)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	flooded := measure("flooded", 15)
	_, errs := collect(t, nancy, []Item{item})
	close(stop)
	flood.Wait()
	if errs[0] != nil {
		t.Errorf("the other remote's fetch: %v", errs[0])
	}
	// Four floods and their readers share these processors with the main and
	// the other remote; a queue that the flood could fill would cost seconds.
	if most := max(time.Second, 20*quiet); flooded > most {
		t.Errorf("the other remote's events took %v, %v without the flood", flooded, quiet)
	}
	if b.Refusals().Permissions == 0 {
		t.Error("nothing was counted")
	}
}

// rawRemote is a joined remote's connection without a client that keeps to the rules.
type rawRemote struct {
	net.Conn
	r *bufio.Reader
}

func (b *testBus) raw(t testing.TB, o ClientOptions) *rawRemote {
	t.Helper()
	cfg, err := o.Membership.tls()
	must(t, err)
	c, err := tls.Dial("tcp", o.Membership.Address, cfg)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	r := &rawRemote{c, bufio.NewReader(c)}
	var info struct {
		Nonce string `json:"nonce"`
	}
	line, err := r.r.ReadString('\n')
	must(t, err)
	must(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	sig, err := o.Identity.sign([]byte(info.Nonce))
	must(t, err)
	_, err = fmt.Fprintf(c, "CONNECT {\"nkey\":%q,\"sig\":%q,\"headers\":true,\"no_responders\":true,\"protocol\":1,\"lang\":\"x\",\"version\":\"1.50.0\"}\r\nPING\r\n",
		o.Identity.ID(), base64.RawURLEncoding.EncodeToString(sig))
	must(t, err)
	for {
		line, err := r.r.ReadString('\n')
		must(t, err)
		if strings.HasPrefix(line, "PONG") {
			return r
		}
		if strings.HasPrefix(line, "-ERR") {
			t.Fatal(line)
		}
	}
}

// mustBeCut wants the server to close the connection, whatever it says before.
func (r *rawRemote) mustBeCut(t testing.TB, what string) {
	t.Helper()
	for {
		if _, err := r.r.ReadString('\n'); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("%s: it was not cut", what)
			}
			return
		}
	}
}

func TestOversizeAndMalformedMessagesAreRefused(t *testing.T) {
	b := startBus(t)
	_, _, feed := b.victim(t)
	o := b.member(t, "colmar")
	before := b.Refusals().Permissions
	for what, text := range map[string]string{
		"5 MB announced":       "PUB ws.report.colmar 5000000\r\n",
		"more than an int":     "PUB ws.report.colmar 99999999999999999999\r\n",
		"negative":             "PUB ws.report.colmar -1\r\n",
		"endless control line": "PUB " + strings.Repeat("a", 1<<20),
		"endless header":       "HPUB ws.report.colmar 1000000 1000000\r\nNATS/1.0\r\n" + strings.Repeat("a", 1000000) + "\r\n" + "GARBAGE\r\n",
		"no protocol":          "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"zero bytes":           strings.Repeat("\x00", 100),
	} {
		t.Run(what, func(t *testing.T) {
			r := b.raw(t, o)
			_, _ = r.Write([]byte(text)) // it may be cut before the end
			r.mustBeCut(t, what)
		})
	}
	if b.Refusals().Permissions == before {
		t.Error("nothing was counted")
	}
	r := b.stolen(t, o)
	ctx := testContext(t)
	for subject, want := range map[string]string{"ws.hello.wapt.colmar": "at most", "ws.report.colmar": "at most", "ws.fetch.wapt.colmar": "fetch request"} {
		m, err := r.RequestWithContext(ctx, subject, make([]byte, 560<<10))
		if err != nil || !strings.Contains(string(m.Data), want) {
			t.Errorf("%s with 560 KiB: got %v, %v", subject, m, err)
		}
	}
	b.mustFollow(t, feed, "after", 20*time.Second)
}

func TestASlowReaderCostsLittleAndDelaysNobody(t *testing.T) {
	b := startBus(t)
	_, nancy, feed := b.victim(t)
	o := b.member(t, "colmar")
	ctx := testContext(t)
	for i := range 24 {
		var id [32]byte
		id[0] = byte(i)
		must(t, b.window.Put(ctx, id, randomBytes(500<<10)))
	}
	must(t, b.window.Flush(ctx))
	item := b.files.add(t, "big", randomBytes(MaxFetchBytes))
	r := b.raw(t, o)
	inbox := inboxPrefix + "." + o.Membership.Inbox + ".x"
	_, err := fmt.Fprintf(r, "SUB %s 1\r\n", inbox)
	must(t, err)
	request := string((&fetchRequest{items: []Item{item}}).append(nil))
	batch := `{"multi_last":["ob.wapt.*"]}`
	for range 12 { // never reading
		if _, err := fmt.Fprintf(r, "PUB ws.fetch.wapt.colmar %s %d\r\n%s\r\nPUB RJS.DIRECT.GET.OBJECTS_wapt %s %d\r\n%s\r\n",
			inbox, len(request), request, inbox, len(batch), batch); err != nil {
			break // cut already
		}
	}
	b.mustFollow(t, feed, "meanwhile", 20*time.Second)
	if _, errs := collect(t, nancy, []Item{item}); errs[0] != nil {
		t.Errorf("the other remote's fetch: %v", errs[0])
	}
	// The server drops what is too much at once, and the connection when its
	// write deadline ends.
	for _, c := range b.connz(server.ConnzOptions{User: o.Identity.ID()}) {
		if c.Pending > maxPending+maxPayload {
			t.Errorf("%d bytes are kept for it", c.Pending)
		}
	}
}
