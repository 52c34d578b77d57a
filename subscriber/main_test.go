package subscriber

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"waptsync/bus"
	"waptsync/objects"
)

const testShare = "wapt"

var testLevel = map[bool]zerolog.Level{true: zerolog.DebugLevel, false: zerolog.ErrorLevel}[os.Getenv("WAPTSYNC_TEST_LOG") != ""]

// testMain is a main without a publisher: a folder, the real bus, and events
// appended by hand.
type testMain struct {
	t       testing.TB
	dir     string
	options bus.ServerOptions
	server  *bus.Server
	log     *bus.Log
	window  *bus.Window
	service *bus.Service
	files   *mainFiles
	md5     bool // events tell the MD5, too
}

func quiet(t testing.TB) zerolog.Logger {
	return zerolog.New(zerolog.NewTestWriter(t)).Level(testLevel)
}

func startMain(t testing.TB) *testMain {
	t.Helper()
	dir := t.TempDir()
	authority, err := bus.LoadAuthority(filepath.Join(dir, "authority"))
	must(t, err)
	registry, err := bus.LoadRegistry(dir)
	must(t, err)
	m := &testMain{t: t, dir: filepath.Join(dir, "share"), options: bus.ServerOptions{
		Dir: filepath.Join(dir, "store"), Listen: "127.0.0.1:0", MaxStore: 1 << 30,
		Authority: authority, Registry: registry, Shares: []string{testShare}, Log: quiet(t),
	}}
	must(t, os.Mkdir(m.dir, 0o755))
	m.files = &mainFiles{dir: m.dir, digests: make(map[string]objects.ID)}
	m.start()
	m.mark()
	return m
}

func (m *testMain) start() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	m.server, err = bus.StartServer(ctx, m.options)
	must(m.t, err)
	m.t.Cleanup(m.server.Close)
	m.log, err = bus.OpenLog(ctx, m.server.JetStream(), bus.LogOptions{Share: testShare, Log: m.options.Log})
	must(m.t, err)
	m.window, err = m.server.OpenWindow(ctx, testShare, 64<<20)
	must(m.t, err)
	m.service, err = bus.StartService(ctx, m.server, bus.ServiceOptions{
		Files: m.files, Logs: map[string]*bus.Log{testShare: m.log}, Log: m.options.Log,
		OnReport: func(string, bus.Report) {},
	})
	must(m.t, err)
	m.t.Cleanup(m.service.Close)
}

func (m *testMain) stop() {
	m.service.Close()
	m.server.Close()
}

// restart begins a new generation on the same port.
func (m *testMain) restart() {
	m.options.Listen = m.server.Addr()
	m.stop()
	m.start()
}

func (m *testMain) append(events ...*bus.Event) uint64 {
	m.t.Helper()
	seq, err := m.log.Append(context.Background(), events)
	must(m.t, err)
	return seq
}

func (m *testMain) mark() { m.append(&bus.Event{Kind: bus.KindMarker}) }

// write puts a file into the main's folder without telling anybody.
func (m *testMain) write(path string, content []byte) {
	m.t.Helper()
	full := filepath.Join(m.dir, path)
	must(m.t, os.MkdirAll(filepath.Dir(full), 0o755))
	temp := filepath.Join(filepath.Dir(m.dir), "being-written")
	must(m.t, os.WriteFile(temp, content, 0o644))
	must(m.t, os.Rename(temp, full))
}

// read returns what the main has under a path.
func (m *testMain) read(path string) []byte {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.dir, path))
	must(m.t, err)
	return b
}

// event says what the main's folder has under a path now.
func (m *testMain) event(path string) *bus.Event {
	m.t.Helper()
	full := filepath.Join(m.dir, path)
	fi, err := os.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		m.files.forget(path)
		return &bus.Event{Kind: bus.KindDeleted, Path: path}
	}
	must(m.t, err)
	e := &bus.Event{Kind: kindOf(fi.Mode()), Path: path, Mode: uint32(fi.Mode().Perm()), MTime: fi.ModTime().UnixNano()}
	switch e.Kind {
	case bus.KindSymlink:
		e.Target, err = os.Readlink(full)
		must(m.t, err)
	case bus.KindFile:
		man, encoding := m.files.describe(m.t, path)
		e.Content = bus.Content{Size: man.Size, Digest: man.Digest, Objects: uint32(len(man.Objects))}
		if m.md5 {
			e.Content.MD5, e.Content.HasMD5 = md5.Sum(m.read(path)), true
		}
		if len(man.Objects) > 1 {
			e.Content.Manifest, e.Content.Params = objects.Sum(encoding), man.Params
		}
	}
	return e
}

// publish appends what the main has under the paths now.
func (m *testMain) publish(paths ...string) uint64 {
	m.t.Helper()
	events := make([]*bus.Event, len(paths))
	for i, p := range paths {
		events[i] = m.event(p)
	}
	return m.append(events...)
}

// put writes a file and publishes it.
func (m *testMain) put(path string, content []byte) uint64 {
	m.t.Helper()
	m.write(path, content)
	return m.publish(path)
}

// remove deletes a path with all beneath and publishes that, children first.
func (m *testMain) remove(path string) uint64 {
	m.t.Helper()
	paths := m.beneath(path)
	must(m.t, os.RemoveAll(filepath.Join(m.dir, path)))
	slices.Reverse(paths)
	return m.publish(paths...)
}

// beneath lists a path and all that is under it, a directory before what is in it.
func (m *testMain) beneath(path string) (paths []string) {
	must(m.t, filepath.WalkDir(filepath.Join(m.dir, path), func(p string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(m.dir, p)
		if rel != "." {
			paths = append(paths, rel)
		}
		return err
	}))
	return paths
}

// publishAll appends the whole folder and a marker.
func (m *testMain) publishAll() {
	m.t.Helper()
	for batch := range slices.Chunk(m.beneath("."), 1000) {
		m.publish(batch...)
	}
	m.mark()
}

// offer puts a file's objects and manifest into the window.
func (m *testMain) offer(path string) {
	m.t.Helper()
	ctx := context.Background()
	f, err := os.Open(filepath.Join(m.dir, path))
	must(m.t, err)
	defer f.Close()
	man, encoding := m.files.describe(m.t, path)
	for off, o := range man.All() {
		data := make([]byte, o.Size)
		_, err := f.ReadAt(data, off)
		must(m.t, err)
		must(m.t, m.window.Put(ctx, o.ID, data))
	}
	if len(man.Objects) > 1 {
		must(m.t, m.window.Put(ctx, objects.Sum(encoding), encoding))
	}
	must(m.t, m.window.Flush(ctx))
}

// mainFiles answers fetches from the folder, for the content last published.
type mainFiles struct {
	dir    string
	served atomic.Int64
	params *objects.Params // nil: those for the file

	mu        sync.Mutex
	digests   map[string]objects.ID
	manifests map[objects.ID][]byte // by the content's digest
}

func (f *mainFiles) forget(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.digests, path)
}

// forgetManifests leaves the digests: what is described next has its manifest.
func (f *mainFiles) forgetManifests() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.manifests)
}

func (f *mainFiles) describe(t testing.TB, path string) (*objects.Manifest, []byte) {
	t.Helper()
	man, err := f.manifest(path)
	must(t, err)
	encoding, err := man.AppendBinary(nil)
	must(t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.digests[path] = man.Digest
	if f.manifests == nil {
		f.manifests = make(map[objects.ID][]byte)
	}
	f.manifests[man.Digest] = encoding
	return man, encoding
}

func (f *mainFiles) manifest(path string) (*objects.Manifest, error) {
	file, err := os.Open(filepath.Join(f.dir, path))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return nil, err
	}
	p := objects.ParamsForFile(file, fi.Size())
	if f.params != nil {
		p = *f.params
	}
	return objects.Describe(context.Background(), file, fi.Size(), p, objects.DescribeOptions{})
}

type countingReader struct {
	*os.File
	served *atomic.Int64
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.File.ReadAt(p, off)
	r.served.Add(int64(n))
	return n, err
}

func (f *mainFiles) Open(_, path string, digest objects.ShortID) (bus.ContentReader, error) {
	f.mu.Lock()
	now := f.digests[path]
	f.mu.Unlock()
	if now.Short() != digest {
		return nil, &bus.FetchError{Code: bus.FetchGone, Text: path + " has other content"}
	}
	file, err := os.Open(filepath.Join(f.dir, path))
	if err != nil {
		return nil, err
	}
	return &countingReader{File: file, served: &f.served}, nil
}

func (f *mainFiles) Manifest(_ context.Context, _, path string, digest objects.ShortID, bases []objects.ID) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.digests[path]
	if now.Short() != digest {
		return nil, &bus.FetchError{Code: bus.FetchGone, Text: path + " has other content"}
	}
	known := make([][]byte, len(bases))
	for i, id := range bases {
		for _, encoding := range f.manifests {
			if objects.Sum(encoding) == id {
				known[i] = encoding
			}
		}
	}
	return objects.Delta(f.manifests[now], known), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// random gives n bytes that do not compress.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// seeded gives n bytes that a seed determines.
func seeded(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	_, _ = mathrand.NewChaCha8(key).Read(b)
	return b
}

// waitFor polls until cond returns an empty string, which says what is missing
// otherwise.
func waitFor(t testing.TB, within time.Duration, cond func() string) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		why := cond()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", within, why)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func sprint(format string, args ...any) string { return fmt.Sprintf(format, args...) }
