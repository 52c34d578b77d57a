package bus

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"
)

func TestARevokedRemoteIsCutWithinASecondAndNothingOfItIsKept(t *testing.T) {
	b := startBus(t)
	_, _, feed := b.victim(t)
	o := b.member(t, "colmar")
	c := connectClient(t, o)
	mustHello(t, c, Position{})
	must(t, c.Report(testContext(t), &Report{Host: "srv-colmar"}))
	must(t, b.options.Registry.Remove("colmar"))
	begin := time.Now()
	must(t, b.Apply())
	waitUntil(t, time.Second-time.Since(begin), "it is cut", func() bool { return !c.Connected() })
	must(t, b.service.Tidy(testContext(t)))
	if n, err := b.logs["wapt"].Pending(testContext(t), "colmar"); n != -1 || err != nil {
		t.Errorf("its consumer is kept: %d, %v", n, err)
	}
	if n, err := b.logs["wapt"].Pending(testContext(t), "nancy"); n == -1 || err != nil {
		t.Errorf("another's is not: %d, %v", n, err)
	}
	s, err := b.JetStream().Stream(testContext(t), remotesStream)
	must(t, err)
	if m, err := s.GetLastMsgForSubject(testContext(t), "rm.colmar"); err == nil {
		t.Errorf("its report is kept: %s", m.Data)
	}
	b.mustFollow(t, feed, "after", 20*time.Second)
}

func TestAShareThatIsTakenAwayLeavesNoConsumer(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	mustHello(t, c, Position{})
	feed := mustFeed(t, c)
	must(t, b.options.Registry.SetShares("colmar", []string{"wapt-host"}))
	must(t, b.Apply())
	must(t, b.service.Tidy(testContext(t)))
	if n, err := b.logs["wapt"].Pending(testContext(t), "colmar"); n != -1 || err != nil {
		t.Errorf("its consumer is kept: %d, %v", n, err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 20*time.Second)
	defer cancel()
	if d, err := feed.Next(ctx, 1); err == nil || ctx.Err() != nil {
		t.Errorf("the feed goes on: %v, %v", d, err)
	}
}

func TestWhatARevokedRemoteLeftIsRemovedAtTheStart(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	mustHello(t, c, Position{})
	must(t, c.Report(testContext(t), &Report{Host: "srv-colmar"}))
	must(t, b.options.Registry.Remove("colmar")) // and the main stops at once
	b.restart(t)
	if _, err := b.JetStream().Consumer(testContext(t), eventsStream("wapt"), "colmar"); err != jetstream.ErrConsumerNotFound {
		t.Errorf("its consumer: %v", err)
	}
}

// No log line of either side, and no error, tells a secret.
func TestNoSecretIsLogged(t *testing.T) {
	b := startBus(t)
	b.service.Close()
	b.Server.Close()
	log := new(lockedLog)
	b.options.Log = zerolog.New(log).Level(zerolog.TraceLevel)
	b.start(t)
	secrets := map[string]string{}
	line, err := b.options.Registry.Invite("colmar", []string{"wapt"}, b.Addr(), b.options.Authority.Fingerprint(), time.Hour)
	must(t, err)
	must(t, b.Apply())
	secrets["the invitation"] = strings.TrimSpace(line)[len(linePrefix)+50:]
	_, key := openInvitation(t, line)
	seed, err := key.Seed()
	must(t, err)
	secrets["the invitation's seed"] = string(seed)
	dir := t.TempDir()
	id, err := LoadIdentity(dir)
	must(t, err)
	text, err := os.ReadFile(filepath.Join(dir, identityFile))
	must(t, err)
	secrets["the remote's seed"] = strings.TrimSpace(string(text))
	m, err := Join(testContext(t), line, id)
	must(t, err)
	secrets["the inbox token"] = m.Inbox
	for _, k := range []nkeys.KeyPair{b.publisher, b.Server.service, b.system} {
		s, err := k.Seed()
		must(t, err)
		secrets["a seed of the main's own "+string(s[:2])] = string(s)
	}
	if _, err := Join(testContext(t), line, newIdentityForTest(t)); err == nil {
		t.Fatal("joined twice")
	} else {
		_, _ = log.Write([]byte(err.Error()))
	}
	o := ClientOptions{Membership: m, Identity: id, Log: b.options.Log}
	c := connectClient(t, o)
	mustHello(t, c, Position{})
	feed := mustFeed(t, c)
	b.mustFollow(t, feed, "a", 20*time.Second)
	must(t, c.Report(testContext(t), &Report{Host: "srv-colmar"}))
	item := b.files.add(t, "a", []byte("hello"))
	collect(t, c, []Item{item})
	if _, err := c.Hello(testContext(t), "wapt-host", Position{}); err == nil {
		t.Fatal("a foreign share")
	} else {
		_, _ = log.Write([]byte(err.Error()))
	}
	// What others try is logged, and must not tell the token either.
	thief := b.stolen(t, b.member(t, "nancy"))
	_, err = thief.SubscribeSync(inboxPrefix + "." + m.Inbox + ".>")
	must(t, err)
	must(t, thief.Publish(inboxPrefix+"."+m.Inbox+".x", nil))
	must(t, thief.Flush())
	must(t, b.options.Registry.Remove("colmar"))
	must(t, b.Apply())
	waitFor(t, "the remote is cut", func() bool { return !c.Connected() })
	must(t, b.service.Tidy(testContext(t)))
	status, err := json.Marshal(map[string]any{"connections": b.Connections(), "refused": b.Refusals(), "invitations": b.options.Registry.Invitations()})
	must(t, err)
	_, _ = log.Write(status)
	_, _ = log.Write([]byte(c.Trouble().Error()))
	waitFor(t, "the violations are logged", func() bool { return log.has("Violation") })
	for what, secret := range secrets {
		if secret == "" || log.has(secret) {
			t.Errorf("%s is in a log, an error or the status", what)
		}
	}
	registry, err := os.ReadFile(b.options.Registry.path)
	must(t, err)
	for _, what := range []string{"the invitation's seed", "the remote's seed"} {
		if strings.Contains(string(registry), secrets[what]) {
			t.Errorf("%s is in the registry", what)
		}
	}
}
