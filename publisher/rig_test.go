package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"waptsync/bus"
	"waptsync/objects"
)

// patience bounds how long a test waits for what must come.
const patience = 20 * time.Second

// rig is a share with a real bus. Its publisher can be stopped and started.
type rig struct {
	t      *testing.T
	dir    string
	log    *bus.Log
	window *bus.Window
	o      Options
	*Publisher
	stopRun func()
	// most is how many paths events has seen. Nothing ever leaves the log, but a
	// replay during an append misses what that overwrites.
	most int
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	data := t.TempDir()
	authority, err := bus.LoadAuthority(filepath.Join(data, "authority"))
	must(t, err)
	registry, err := bus.LoadRegistry(filepath.Join(data, "registry"))
	must(t, err)
	server, err := bus.StartServer(t.Context(), bus.ServerOptions{
		Dir: filepath.Join(data, "store"), Listen: "127.0.0.1:0", Authority: authority, Registry: registry,
		Shares: []string{"wapt"}, MaxStore: 1 << 30, Log: zerolog.Nop(),
	})
	must(t, err)
	t.Cleanup(server.Close)
	log, err := bus.OpenLog(t.Context(), server.JetStream(), bus.LogOptions{Share: "wapt", Log: zerolog.Nop()})
	must(t, err)
	window, err := bus.OpenWindow(t.Context(), server.JetStream(), "wapt", 64<<20)
	must(t, err)
	dir := filepath.Join(t.TempDir(), "wapt")
	must(t, os.Mkdir(dir, 0o755))
	r := &rig{t: t, dir: dir, log: log, window: window, o: Options{
		Share: "wapt", Dir: dir, Log: log, Window: window, DeleteDelay: 50 * time.Millisecond,
		Logger: zerolog.New(zerolog.NewTestWriter(t)),
	}}
	for _, f := range change {
		f(&r.o)
	}
	return r
}

// start runs a publisher until the test ends or stop.
func (r *rig) start() {
	r.t.Helper()
	p, err := New(r.o)
	must(r.t, err)
	r.run(p)
}

func (r *rig) run(p *Publisher) {
	r.Publisher = p
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stopped := false
	r.stopRun = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.t.Errorf("Run ended with %v", err)
		}
	}
	r.t.Cleanup(r.stopRun)
}

func (r *rig) startLive() {
	r.t.Helper()
	r.start()
	r.waitFor("the share to be live", func() bool { return r.Status().State == StateLive })
}

// restart stops the publisher, lets change happen, and starts another.
func (r *rig) restart(change func()) {
	r.t.Helper()
	r.stopRun()
	change()
	r.startLive()
}

// events returns the newest event of each path.
func (r *rig) events() map[string]*bus.Event {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		all := r.replay()
		if len(all) >= r.most {
			r.most = len(all)
			return all
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d events, and there were %d", len(all), r.most)
		}
	}
}

func (r *rig) replay() map[string]*bus.Event {
	r.t.Helper()
	all := make(map[string]*bus.Event)
	must(r.t, r.log.Replay(r.t.Context(), func(_ uint64, e *bus.Event) error {
		c := *e
		all[e.Path] = &c
		return nil
	}))
	return all
}

func (r *rig) waitFor(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s; status %+v", what, r.Status())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// converges waits until the events say exactly what the folder holds, apart
// from the paths in without.
func (r *rig) converges(without ...string) {
	r.t.Helper()
	var why string
	deadline := time.Now().Add(patience)
	for {
		if why = r.differs(without); why == "" {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("events and folder differ: %s; status %+v", why, r.Status())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (r *rig) differs(without []string) string {
	r.t.Helper()
	events := r.events()
	skip := make(map[string]bool)
	for _, p := range without {
		skip[p] = true
	}
	live := 0
	for p, e := range events {
		if p == "" || e.Kind == bus.KindDeleted {
			continue
		}
		live++
		if skip[p] {
			return p + " is published"
		}
	}
	found := 0
	why := ""
	must(r.t, filepath.WalkDir(r.dir, func(full string, d os.DirEntry, err error) error {
		if err != nil || full == r.dir {
			return nil
		}
		p, _ := filepath.Rel(r.dir, full)
		if skip[p] {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		found++
		if w := r.pathDiffers(p, full, events[p]); w != "" {
			why = w
		}
		return nil
	}))
	if why == "" && found != live {
		for p, e := range events {
			if _, err := os.Lstat(r.path(p)); p != "" && e.Kind != bus.KindDeleted && err != nil {
				why = p + " is not there"
			}
		}
	}
	return why
}

func (r *rig) pathDiffers(p, full string, e *bus.Event) string {
	fi, err := os.Lstat(full)
	if err != nil {
		return err.Error()
	}
	if e == nil {
		return p + " has no event"
	}
	st := statOf(fi)
	if e.Kind != st.kind {
		return fmt.Sprintf("%q has another kind: event %d of %v, folder %d of %v", p, e.Kind, time.Unix(0, e.MTime), st.kind, fi.ModTime())
	}
	switch st.kind {
	case bus.KindDir:
		if e.Mode != st.mode {
			return p + " has another mode"
		}
	case bus.KindSymlink:
		if target, _ := os.Readlink(full); target != e.Target {
			return p + " has another target"
		}
	case bus.KindFile:
		b, err := os.ReadFile(full)
		if err != nil {
			return err.Error()
		}
		if e.Content.Digest != objects.Sum(b) || e.Content.Size != int64(len(b)) {
			return p + " has another content"
		}
		if e.Mode != st.mode || e.MTime != st.mtime || e.Origin.Inode != st.inode || e.Origin.CTime != st.ctime {
			return p + " has other attributes"
		}
	}
	return ""
}

func (r *rig) path(p string) string { return filepath.Join(r.dir, p) }

func (r *rig) write(p, content string) {
	r.t.Helper()
	must(r.t, os.MkdirAll(filepath.Dir(r.path(p)), 0o755))
	must(r.t, os.WriteFile(r.path(p), []byte(content), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noise returns n bytes that depend on seed and do not repeat.
func noise(seed, n int) []byte {
	var b bytes.Buffer
	id := objects.Sum([]byte{byte(seed), byte(seed >> 8)})
	for b.Len() < n {
		b.Write(id[:])
		id = objects.Sum(id[:])
	}
	return b.Bytes()[:n]
}
