package subscriber

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

// testRemote is a replica with all that a restart needs.
type testRemote struct {
	t       testing.TB
	m       *testMain
	dir     string
	state   string
	client  *bus.Client
	faults  *faultyBus
	tune    func(*Options)
	prepare func(*Replica) // before it runs
	parts   bool           // interrupted transfers are no fault

	st     *State
	r      *Replica
	cancel context.CancelFunc
	done   chan error
}

// faultyBus lets a test see requests and break them.
type faultyBus struct {
	Bus
	mu    sync.Mutex
	fetch func(items []bus.Item) error // called before each
}

func (f *faultyBus) onFetch(fn func(items []bus.Item) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetch = fn
}

func (f *faultyBus) Fetch(ctx context.Context, share string, items []bus.Item, sink func(bus.Piece) error) ([]error, error) {
	f.mu.Lock()
	fn := f.fetch
	f.mu.Unlock()
	if fn != nil {
		if err := fn(items); err != nil {
			return make([]error, len(items)), err
		}
	}
	return f.Bus.Fetch(ctx, share, items, sink)
}

// newRemote joins a remote; its folder is made by the replica.
func newRemote(t testing.TB, m *testMain, name string) *testRemote {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	id, err := bus.LoadIdentity(dir)
	must(t, err)
	line, err := m.options.Registry.Invite(name, []string{testShare}, m.server.Addr(), m.options.Authority.Fingerprint(), time.Hour)
	must(t, err)
	must(t, m.server.Apply())
	membership, err := bus.Join(ctx, line, id)
	must(t, err)
	client, err := bus.Connect(ctx, bus.ClientOptions{Membership: membership, Identity: id, Log: quiet(t)})
	must(t, err)
	t.Cleanup(client.Close)
	return &testRemote{
		t: t, m: m, dir: filepath.Join(dir, "share"), state: filepath.Join(dir, "state.db"),
		client: client, faults: &faultyBus{Bus: client},
	}
}

// start runs the replica.
func (r *testRemote) start() {
	r.t.Helper()
	var err error
	r.st, err = OpenState(r.state)
	must(r.t, err)
	o := Options{Share: testShare, Dir: r.dir, State: r.st, Bus: r.faults, Logger: quiet(r.t)}
	if r.tune != nil {
		r.tune(&o)
	}
	r.r, err = New(o)
	must(r.t, err)
	if r.prepare != nil {
		r.prepare(r.r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan error, 1)
	go func() { r.done <- r.r.Run(ctx) }()
	r.t.Cleanup(r.stop)
}

func (r *testRemote) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("Run returned %v", err)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatal("Run does not end")
	}
	r.cancel = nil
	must(r.t, r.st.Close())
}

func (r *testRemote) restart() {
	r.stop()
	r.start()
}

// reached waits until the remote has all that the main published on disk.
func (r *testRemote) reached() {
	r.t.Helper()
	waitFor(r.t, time.Minute, func() string {
		rep := r.r.Report()
		if rep.State == "live" && rep.Seq >= r.m.log.Last() && rep.LagEvents == 0 {
			return ""
		}
		return sprint("not at %d: %+v", r.m.log.Last(), rep)
	})
}

// path is a path of the remote's folder in the system's form.
func (r *testRemote) path(p string) string { return filepath.Join(r.dir, p) }

// thing is one path as a test compares it.
type thing struct {
	kind   bus.Kind
	mode   fs.FileMode
	second int64
	target string
	digest objects.ID
}

// snapshot reads a whole folder but the replica's own.
func snapshot(t testing.TB, dir string) map[string]thing {
	t.Helper()
	all := make(map[string]thing)
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if rel == hidden {
			return filepath.SkipDir
		}
		if rel == "." {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		x := thing{kind: kindOf(fi.Mode())}
		switch x.kind {
		case bus.KindFile:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			x.digest, x.mode, x.second = objects.Sum(b), fi.Mode().Perm(), fi.ModTime().UnixNano()
		case bus.KindDir:
			x.mode = fi.Mode().Perm()
		case bus.KindSymlink:
			x.target, _ = os.Readlink(p)
		}
		all[rel] = x
		return nil
	}))
	return all
}

// mostLater bounds how far ahead of the main's time a file may be shown, in
// nanoseconds: one that is replaced again and again gets a second each time.
const mostLater = 600e9

// same fails unless the remote's folder is the main's, apart from the second
// that a replaced file may be shown later.
func (r *testRemote) same() {
	r.t.Helper()
	want, got := snapshot(r.t, r.m.dir), snapshot(r.t, r.dir)
	for p, w := range want {
		g, ok := got[p]
		if !ok {
			r.t.Errorf("%q is missing", p)
			continue
		}
		if later := g.second - w.second; later > 0 && later <= mostLater && later%1e9 == 0 {
			g.second = w.second
		}
		if g != w {
			r.t.Errorf("%q is %+v instead of %+v", p, g, w)
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			r.t.Errorf("%q is too many", p)
		}
	}
	r.clean()
}

// clean fails if the stage keeps anything but transfers that may go on.
func (r *testRemote) clean() {
	r.t.Helper()
	must(r.t, filepath.WalkDir(filepath.Join(r.dir, hidden, stageName), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !(strings.HasSuffix(path, partEnd) && r.parts) {
			r.t.Errorf("the stage still has %q", path)
		}
		return err
	}))
}

// has waits until a file of the remote has a content.
func (r *testRemote) has(path string, content []byte) {
	r.t.Helper()
	waitFor(r.t, 15*time.Second, func() string {
		b, err := os.ReadFile(r.path(path))
		if err != nil {
			return err.Error()
		}
		if !bytes.Equal(b, content) {
			return sprint("%q has other content", path)
		}
		return ""
	})
}

// trash lists what was moved away.
func (r *testRemote) trash() (paths []string) {
	r.t.Helper()
	must(r.t, r.r.ListTrash(context.Background(), func(e TrashEntry) error {
		paths = append(paths, e.Path)
		return nil
	}))
	return paths
}

// problem waits until a path is reported with a cause that has the text.
func (r *testRemote) problem(path, text string) {
	r.t.Helper()
	waitFor(r.t, 15*time.Second, func() string {
		rep := r.r.Report()
		for _, p := range rep.Problems {
			if p.Path == path && strings.Contains(p.Op+": "+p.Cause, text) {
				return ""
			}
		}
		return sprint("no problem %q of %q in %+v", text, path, rep.Problems)
	})
}
