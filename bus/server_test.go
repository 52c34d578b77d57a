package bus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// testMain is a main on loopback with its folders, which a test may start again.
type testMain struct {
	*Server
	options ServerOptions
	dir     string
}

// startMain starts a main with the shares alpha and beta, each with both streams.
func startMain(t *testing.T) *testMain {
	t.Helper()
	m := &testMain{dir: t.TempDir()}
	authority, err := LoadAuthority(filepath.Join(m.dir, "authority"))
	if err != nil {
		t.Fatal(err)
	}
	registry, err := LoadRegistry(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	m.options = ServerOptions{
		Dir: filepath.Join(m.dir, "store"), Listen: "127.0.0.1:0", MaxStore: 64 << 20,
		Authority: authority, Registry: registry, Shares: []string{"alpha", "beta"},
		Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	}
	m.start(t)
	ctx := shortContext(t)
	for _, share := range m.options.Shares {
		for name, subjects := range map[string]string{
			eventsStream(share):  eventsPrefix + "." + share + ".*",
			objectsStream(share): objectsPrefix + "." + share + ".*",
		} {
			_, err := m.JetStream().CreateStream(ctx, jetstream.StreamConfig{
				Name: name, Subjects: []string{subjects}, MaxMsgsPerSubject: 1, AllowDirect: true, MaxBytes: 8 << 20,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			subject := eventSubject(share, string(rune('a'+i)))
			if _, err := m.JetStream().Publish(ctx, subject, []byte("event")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.bulkJS.Publish(ctx, objectsPrefix+"."+share+".x", []byte("object")); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *testMain) start(t *testing.T) {
	t.Helper()
	s, err := StartServer(shortContext(t), m.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	m.Server = s
}

func shortContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// testRemote is a remote that joined, with a connection that may do what the
// main lets it.
type testRemote struct {
	*nats.Conn
	id         *Identity
	membership *Membership
	denied     chan error
}

func newIdentityForTest(t testing.TB) *Identity {
	t.Helper()
	id, err := LoadIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (m *testMain) invite(t *testing.T, name string, shares ...string) string {
	t.Helper()
	line, err := m.options.Registry.Invite(name, shares, m.Addr(), m.options.Authority.Fingerprint(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(); err != nil {
		t.Fatal(err)
	}
	return line
}

func (m *testMain) join(t *testing.T, name string, shares ...string) *testRemote {
	t.Helper()
	r := &testRemote{id: newIdentityForTest(t)}
	membership, err := Join(shortContext(t), m.invite(t, name, shares...), r.id)
	if err != nil {
		t.Fatal(err)
	}
	r.membership = membership
	for _, share := range shares {
		_, err := m.JetStream().CreateConsumer(shortContext(t), eventsStream(share), jetstream.ConsumerConfig{
			Durable: name, AckPolicy: jetstream.AckAllPolicy,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	r.connect(t)
	return r
}

func (r *testRemote) connect(t testing.TB, extra ...nats.Option) {
	t.Helper()
	cfg, err := ClientTLS([]byte(r.membership.CA))
	if err != nil {
		t.Fatal(err)
	}
	auth, err := r.id.nkeyOption()
	if err != nil {
		t.Fatal(err)
	}
	denied := make(chan error, 64)
	options := append([]nats.Option{
		auth, nats.Secure(cfg), nats.TLSHandshakeFirst(), nats.NoReconnect(),
		nats.CustomInboxPrefix(inboxPrefix + "." + r.membership.Inbox),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case denied <- err:
			default:
			}
		}),
	}, extra...)
	nc, err := nats.Connect("tls://"+r.membership.Address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	r.Conn, r.denied = nc, denied
}

// mustDeny wants the server to refuse what was sent just now.
func (r *testRemote) mustDeny(t *testing.T, what string) {
	t.Helper()
	if err := r.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.denied:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatalf("%s: got %v, want a permission violation", what, err)
		}
	case <-time.After(5 * time.Second):
		t.Fatalf("%s was not refused", what)
	}
}

func waitUntil(t *testing.T, within time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestRestartKeepsRemotesAndStreams(t *testing.T) {
	m := startMain(t)
	r := m.join(t, "colmar", "alpha")
	m.Close()
	m.Close() // again is no harm
	registry, err := LoadRegistry(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := LoadAuthority(filepath.Join(m.dir, "authority"))
	if err != nil {
		t.Fatal(err)
	}
	if authority.Fingerprint() != m.options.Authority.Fingerprint() {
		t.Error("the authority is another one")
	}
	m.options.Registry, m.options.Authority = registry, authority
	m.start(t)
	stream, err := m.JetStream().Stream(shortContext(t), eventsStream("alpha"))
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 3 {
		t.Errorf("%d events are left of 3", n)
	}
	r.membership.Address = m.Addr()
	r.connect(t)
	if _, err := r.RequestWithContext(shortContext(t), "RJS.DIRECT.GET.OBJECTS_alpha", []byte(`{"seq":1}`)); err != nil {
		t.Error(err)
	}
}

func TestStartSaysWhyItFails(t *testing.T) {
	m := startMain(t)
	t.Run("store in use", func(t *testing.T) {
		s, err := StartServer(shortContext(t), m.options)
		if !errors.Is(err, ErrStoreInUse) {
			t.Fatalf("got %v, %v", s, err)
		}
	})
	t.Run("port taken", func(t *testing.T) {
		o := m.options
		o.Dir, o.Listen = secretDir(t), m.Addr()
		s, err := StartServer(shortContext(t), o)
		if err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Fatalf("got %v, %v", s, err)
		}
		o.Listen = "127.0.0.1:0" // the lock was given back
		s, err = StartServer(shortContext(t), o)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	})
	t.Run("store cannot be used", func(t *testing.T) {
		o := m.options
		o.Dir = secretDir(t)
		// A file where JetStream wants its folder of the account.
		if err := os.Mkdir(filepath.Join(o.Dir, "jetstream"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, "jetstream", streamsAccount), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := StartServer(shortContext(t), o); err == nil {
			s.Close()
			t.Fatal("started")
		} else {
			t.Log(err)
		}
	})
	t.Run("start called off", func(t *testing.T) {
		o := m.options
		o.Dir = secretDir(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if s, err := StartServer(ctx, o); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, %v", s, err)
		}
	})
	for _, listen := range []string{"", "4222", "127.0.0.1:x", "127.0.0.1:70000"} {
		t.Run("listen "+listen, func(t *testing.T) {
			o := m.options
			o.Dir, o.Listen = secretDir(t), listen
			if s, err := StartServer(shortContext(t), o); err == nil {
				s.Close()
				t.Fatal("started")
			}
		})
	}
}

// secretDir is a folder as the bus wants those with secrets.
func secretDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secret")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAFolderThatOthersCanReadIsRefused(t *testing.T) {
	m := startMain(t)
	for what, use := range map[string]func(dir string) error{
		"store": func(dir string) error {
			o := m.options
			o.Dir = dir
			s, err := StartServer(shortContext(t), o)
			if err == nil {
				s.Close()
			}
			return err
		},
		"authority": func(dir string) error { _, err := LoadAuthority(dir); return err },
	} {
		for _, mode := range []os.FileMode{0o701, 0o710, 0o750, 0o755, 0o777} {
			dir := secretDir(t)
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
			var exposed *ExposedFileError
			if err := use(dir); !errors.As(err, &exposed) || !strings.Contains(err.Error(), "chmod 700 "+dir) {
				t.Errorf("%s with mode %o: got %v", what, mode, err)
			}
		}
	}
	m.invite(t, "colmar", "alpha") // so that there is a file
	if err := os.Chmod(filepath.Join(m.dir, registryFile), 0o640); err != nil {
		t.Fatal(err)
	}
	var exposed *ExposedFileError
	if _, err := LoadRegistry(m.dir); !errors.As(err, &exposed) {
		t.Errorf("registry: got %v", err)
	}
}

func TestStoreIsForItsOwnerOnly(t *testing.T) {
	m := startMain(t)
	for _, name := range []string{"store", "store/jetstream", "authority"} {
		fi, err := os.Stat(filepath.Join(m.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %o", name, fi.Mode().Perm())
		}
	}
	for _, name := range []string{"authority/ca.pem", "authority/server.pem"} {
		fi, err := os.Stat(filepath.Join(m.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, fi.Mode().Perm())
		}
	}
}
