package bus

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// testClock is a clock that a test sets.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func newTestClock() *testClock { return &testClock{t: time.Now()} }

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func mustRefuse(t *testing.T, line string, id *Identity, want string) {
	t.Helper()
	m, err := Join(shortContext(t), line, id)
	if err == nil {
		t.Fatalf("joined: %+v", m)
	}
	if !strings.Contains(err.Error(), want) {
		t.Fatalf("got %q, want %q in it", err, want)
	}
}

// The account of an invited remote is made with the invitation and filled by the
// join: whatever happens to it before, what crosses into it works at once.
func TestJoinedRemoteIsServedAtOnce(t *testing.T) {
	b, whole := startBus(t), t
	serve := func(t *testing.T, line string, id *Identity) *Client {
		t.Helper()
		m, err := Join(testContext(t), line, id)
		if err != nil {
			t.Fatal(err)
		}
		c := connectClient(t, ClientOptions{Membership: m, Identity: id, Log: b.options.Log})
		mustHello(t, c, Position{})
		feed := mustFeed(t, c)
		b.mustFollow(t, feed, t.Name(), 10*time.Second)
		return c
	}
	invite := func(t *testing.T) string {
		t.Helper()
		line, err := b.options.Registry.Invite("colmar", []string{"wapt"}, b.Addr(), b.options.Authority.Fingerprint(), time.Hour)
		must(t, err)
		must(t, b.Apply())
		return line
	}
	t.Run("invited again", func(t *testing.T) {
		invite(t)
		serve(t, invite(t), newIdentityForTest(t)).Close()
	})
	t.Run("removed and invited at once", func(t *testing.T) {
		must(t, b.options.Registry.Remove("colmar"))
		serve(t, invite(t), newIdentityForTest(t)).Close()
	})
	t.Run("removed, and invited later", func(t *testing.T) {
		must(t, b.options.Registry.Remove("colmar"))
		must(t, b.Apply())
		serve(t, invite(t), newIdentityForTest(t)).Close()
	})
	t.Run("the main restarted meanwhile", func(t *testing.T) {
		must(t, b.options.Registry.Remove("colmar"))
		line := invite(t)
		b.restart(whole)
		serve(t, line, newIdentityForTest(t)).Close()
	})
	t.Run("added by hand while invited", func(t *testing.T) {
		must(t, b.options.Registry.Remove("colmar"))
		invite(t)
		id := newIdentityForTest(t)
		added, err := b.options.Registry.Add("colmar", id.ID(), []string{"wapt"})
		must(t, err)
		must(t, b.Apply())
		m := &Membership{Name: "colmar", Address: b.Addr(), CA: string(b.options.Authority.CAPEM()), Inbox: added.Inbox, Shares: added.Shares}
		c := connectClient(t, ClientOptions{Membership: m, Identity: id, Log: b.options.Log})
		mustHello(t, c, Position{})
		b.mustFollow(t, mustFeed(t, c), t.Name(), 10*time.Second)
	})
}

// Two invitations of one name, as an edited registry may have, make one account.
func TestAnInvitedNameIsOneAccount(t *testing.T) {
	b := startBus(t)
	for range 2 {
		must(t, b.options.Registry.change(func(s *registryState) error {
			s.Invitations = append(s.Invitations, invitation{
				Name: "colmar", Key: newIdentityForTest(t).ID(), Shares: []string{"wapt"}, Expires: time.Now().Add(time.Hour),
			})
			return nil
		}))
		must(t, b.Apply())
	}
}

func TestInvitationWorksOnceAndForOneRemote(t *testing.T) {
	m := startMain(t)
	line := m.invite(t, "colmar", "alpha")
	id := newIdentityForTest(t)
	got, err := Join(shortContext(t), line, id)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "colmar" || got.Address != m.Addr() || got.CA != string(m.options.Authority.CAPEM()) || !reflect.DeepEqual(got.Shares, []string{"alpha"}) {
		t.Errorf("membership: %+v", got)
	}
	known, ok := m.options.Registry.RemoteByID(id.ID())
	if !ok || known.Name != "colmar" || known.Inbox != got.Inbox {
		t.Errorf("the main knows %+v", known)
	}
	mustRefuse(t, line, newIdentityForTest(t), "used already, by another remote")

	// The answer may have been lost on the way.
	again, err := Join(shortContext(t), line, id)
	if err != nil || !reflect.DeepEqual(got, again) {
		t.Errorf("the same remote once more: got %+v, %v", again, err)
	}
	if err := m.options.Registry.Remove("colmar"); err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, line, id, errNoInvitation.Error())
}

func TestSpentInvitationGoesAway(t *testing.T) {
	m := startMain(t)
	clock := newTestClock()
	m.options.Registry.now = clock.now
	line := m.invite(t, "colmar", "alpha")
	id := newIdentityForTest(t)
	if _, err := Join(shortContext(t), line, id); err != nil {
		t.Fatal(err)
	}
	clock.advance(redeemGrace)
	m.sweepInvitations()
	if n := len(m.options.Registry.snapshot().Invitations); n != 0 {
		t.Errorf("%d invitations are left", n)
	}
	mustRefuse(t, line, id, errNoInvitation.Error())
}

func TestExpiredInvitationIsRefused(t *testing.T) {
	m := startMain(t)
	r := m.options.Registry
	t.Run("also before it was swept", func(t *testing.T) {
		line := m.invite(t, "colmar", "alpha")
		r.mu.Lock()
		r.state.Invitations[0].Expires = time.Now().Add(-time.Second)
		r.mu.Unlock()
		mustRefuse(t, line, newIdentityForTest(t), errNoInvitation.Error())
	})
	t.Run("and swept by itself", func(t *testing.T) {
		line, err := r.Invite("nancy", []string{"alpha"}, m.Addr(), m.options.Authority.Fingerprint(), 300*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Apply(); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, 10*time.Second, "the invitation is gone", func() bool { return len(r.snapshot().Invitations) == 0 })
		mustRefuse(t, line, newIdentityForTest(t), errNoInvitation.Error())
	})
}

func TestInvitationMayBeWithdrawnOrReplaced(t *testing.T) {
	m := startMain(t)
	first := m.invite(t, "colmar", "alpha")
	second := m.invite(t, "colmar", "beta")
	mustRefuse(t, first, newIdentityForTest(t), errNoInvitation.Error())
	if err := m.options.Registry.Remove("colmar"); err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, second, newIdentityForTest(t), errNoInvitation.Error())
}

func TestJoinTrustsTheInvitedMainOnly(t *testing.T) {
	m := startMain(t)
	other, err := LoadAuthority(secretDir(t))
	if err != nil {
		t.Fatal(err)
	}
	line, err := m.options.Registry.Invite("colmar", []string{"alpha"}, m.Addr(), other.Fingerprint(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Join(shortContext(t), line, newIdentityForTest(t))
	var wrong *WrongMainError
	if !errors.As(err, &wrong) || wrong.Want != other.Fingerprint() || wrong.Got != m.options.Authority.Fingerprint() {
		t.Fatalf("got %v", err)
	}
}

// openInvitation is what an invitation's line says, and its key.
func openInvitation(tb testing.TB, line string) (*invitationLine, nkeys.KeyPair) {
	tb.Helper()
	l, err := decodeInvitation(line)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := l.key()
	if err != nil {
		tb.Fatal(err)
	}
	return l, key
}

// invitedConn is a connection of an invitation's user.
func invitedConn(t *testing.T, line string) (*testRemote, string) {
	t.Helper()
	l, key := openInvitation(t, line)
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	nc, _, err := dialJoin(shortContext(t), l, key, public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	denied := make(chan error, 64)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err })
	return &testRemote{Conn: nc, denied: denied}, public
}

func TestJoinWantsProofOfTheID(t *testing.T) {
	m := startMain(t)
	r, key := invitedConn(t, m.invite(t, "colmar", "alpha"))
	mine, victim := newIdentityForTest(t), newIdentityForTest(t)
	l := newIdentityForTest(t)
	ask := func(q joinRequest) joinAnswer {
		t.Helper()
		b, err := json.Marshal(&q)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := r.RequestWithContext(shortContext(t), joinPrefix+"."+key, b)
		if err != nil {
			t.Fatal(err)
		}
		var a joinAnswer
		if err := json.Unmarshal(msg.Data, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	sign := func(by *Identity, key, id string) []byte {
		sig, err := by.sign(joinStatement(key, id))
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	for what, q := range map[string]joinRequest{
		"signed by another key":     {ID: victim.ID(), Signature: sign(mine, key, victim.ID())},
		"of another invitation":     {ID: mine.ID(), Signature: sign(mine, l.ID(), mine.ID())},
		"not signed":                {ID: mine.ID()},
		"not an ID":                 {ID: "SUAM", Signature: []byte("x")},
		"text that would be config": {ID: "U}, {nkey: x", Signature: []byte("x")},
	} {
		if a := ask(q); a.Membership != nil || a.Error == "" {
			t.Errorf("%s: got %+v", what, a)
		}
	}
	if n := len(m.options.Registry.Remotes()); n != 0 {
		t.Fatalf("%d remotes are known", n)
	}
	if a := ask(joinRequest{ID: mine.ID(), Signature: sign(mine, key, mine.ID())}); a.Membership == nil {
		t.Fatalf("refused: %s", a.Error)
	}
}

// The invitation's secret is a key, too, and the server refuses a configuration
// in which a key is there twice.
func TestInvitationsOwnKeyIsNoRemote(t *testing.T) {
	m := startMain(t)
	line := m.invite(t, "colmar", "alpha")
	_, key := openInvitation(t, line)
	id, err := newIdentity(key)
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, line, id, "not of a remote")
	if err := m.Apply(); err != nil {
		t.Fatal(err)
	}
}

func TestInvitationGivesNoOtherRight(t *testing.T) {
	m := startMain(t)
	r, _ := invitedConn(t, m.invite(t, "colmar", "alpha"))
	for _, subject := range []string{
		"ws.join.x", "ws.hello.alpha.colmar", "ws.report.colmar", "ev.alpha.x", "$JS.API.INFO", "RJS.DIRECT.GET.OBJECTS_alpha",
	} {
		if err := r.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		r.mustDeny(t, "publishing to "+subject)
	}
	for _, subject := range []string{">", "_R.>", "ws.join.>"} {
		if _, err := r.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		r.mustDeny(t, "listening on "+subject)
	}
}

func TestJoinAnswersItsOwnInboxOnly(t *testing.T) {
	m := startMain(t)
	victim := m.join(t, "nancy", "alpha")
	sub, err := victim.SubscribeSync(inboxPrefix + "." + victim.membership.Inbox + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Flush(); err != nil {
		t.Fatal(err)
	}
	r, key := invitedConn(t, m.invite(t, "colmar", "alpha"))
	if err := r.PublishRequest(joinPrefix+"."+key, inboxPrefix+"."+victim.membership.Inbox+".x", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	// One that is answered shows that the one before was dealt with.
	if _, err := r.RequestWithContext(shortContext(t), joinPrefix+"."+key, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := victim.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := sub.Pending(); err != nil || n != 0 {
		t.Fatalf("%d messages reached another's inbox: %v", n, err)
	}
}

func TestJoinEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := LoadAuthority(secretDir(t))
	if err != nil {
		t.Fatal(err)
	}
	line, _, err := newInvitationLine("colmar", l.Addr().String(), a.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := Join(ctx, line, newIdentityForTest(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Fatalf("it took %v", d)
	}
}

func TestMembershipIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if _, err := LoadMembership(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("before the first join: got %v", err)
	}
	want := &Membership{Name: "colmar", Address: "main.example:4222", CA: "x", Inbox: randomToken(), Shares: []string{"wapt"}}
	for range 2 {
		if err := SaveMembership(dir, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := LoadMembership(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	path := filepath.Join(dir, membershipFile)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode: %v, %v", fi.Mode(), err)
	}
	if err := os.WriteFile(path, []byte(`{"name":"../x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadMembership(dir); err == nil {
		t.Fatalf("a damaged membership was taken: %+v", got)
	}
}
