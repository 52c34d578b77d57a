package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

func (f *testFiles) Open(_, path string, _ objects.ShortID) (ContentReader, error) {
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

// Manifest gives as a delta the names of the bases.
func (f *testFiles) Manifest(_ context.Context, _, path string, _ objects.ShortID, bases []objects.ID) ([]byte, error) {
	if path == "broken" {
		return nil, errors.New("input/output error")
	}
	if len(bases) > 0 {
		return fmt.Append(nil, bases), nil
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
	orders  atomic.Pointer[[]Order]
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
		OnReport: func(_ string, r Report) {
			select {
			case b.reports <- r:
			default: // nobody looks at that many
			}
		},
		Orders: func(string, Report) []Order {
			if o := b.orders.Load(); o != nil {
				return *o
			}
			return nil
		},
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

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
