package publisher

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"waptsync/bus"
)

// main is a rig whose bus can be stopped and started.
type mainRig struct {
	*rig
	data   string
	store  string
	server *bus.Server
}

func newMainRig(t *testing.T, store string) *mainRig {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "wapt")
	must(t, os.Mkdir(dir, 0o755))
	m := &mainRig{data: t.TempDir(), store: store, rig: &rig{t: t, dir: dir, o: Options{
		Share: "wapt", Dir: dir, DeleteDelay: 50 * time.Millisecond, Logger: zerolog.New(zerolog.NewTestWriter(t)),
	}}}
	t.Cleanup(m.stop)
	return m
}

// begin starts the bus and the publisher; change may be nil.
func (m *mainRig) begin() {
	m.t.Helper()
	authority, err := bus.LoadAuthority(filepath.Join(m.data, "authority"))
	must(m.t, err)
	registry, err := bus.LoadRegistry(filepath.Join(m.data, "registry"))
	must(m.t, err)
	m.server, err = bus.StartServer(m.t.Context(), bus.ServerOptions{
		Dir: m.store, Listen: "127.0.0.1:0", Authority: authority, Registry: registry,
		Shares: []string{"wapt"}, MaxStore: 1 << 30, Log: zerolog.Nop(),
	})
	must(m.t, err)
	m.log, err = bus.OpenLog(m.t.Context(), m.server.JetStream(), bus.LogOptions{Share: "wapt", Server: m.server, Log: zerolog.Nop()})
	must(m.t, err)
	m.window, err = m.server.OpenWindow(m.t.Context(), "wapt", 64<<20)
	must(m.t, err)
	m.o.Log, m.o.Window, m.most = m.log, m.window, 0
	p, err := New(m.o)
	must(m.t, err)
	p.checkPeriod = 200 * time.Millisecond
	m.run(p)
}

func (m *mainRig) live() {
	m.t.Helper()
	m.waitFor("the share to be live", func() bool { return m.Status().State == StateLive })
}

func (m *mainRig) stop() {
	if m.server == nil {
		return
	}
	m.stopRun()
	m.server.Close()
	m.server = nil
}

func (m *mainRig) position() bus.Position {
	return bus.Position{Generation: m.log.Generation(), Seq: m.log.Last(), MainTime: time.Now()}
}

func (m *mainRig) resumes(p bus.Position) bool {
	m.t.Helper()
	w, err := m.log.Attach(m.t.Context(), "colmar", p)
	must(m.t, err)
	return w.Resume
}

// TestRestoredStoreGetsWhatItLost: the bus's store is put back to a copy some
// hours old while the main is stopped.
func TestRestoredStoreGetsWhatItLost(t *testing.T) {
	m := newMainRig(t, filepath.Join(t.TempDir(), "store"))
	m.write("a", "one")
	m.write("gone", "x")
	m.begin()
	m.live()
	m.stop()
	copied := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(copied, os.DirFS(m.store)))

	m.begin()
	m.live()
	early := m.position()
	m.write("a", "two")
	m.write("b", "new")
	must(t, os.Remove(m.path("gone")))
	m.converges()
	late := m.position()
	m.stop()
	must(t, os.RemoveAll(m.store))
	must(t, os.CopyFS(m.store, os.DirFS(copied)))
	must(t, filepath.WalkDir(m.store, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o700)
		}
		return err
	}))

	m.begin()
	m.live()
	m.converges()
	for what, p := range map[string]bus.Position{"early": early, "late": late} {
		if m.resumes(p) {
			t.Errorf("a remote with the %s position goes on as if nothing had been lost", what)
		}
	}
	if !m.resumes(m.position()) {
		t.Error("a remote with the present position reconciles")
	}
}

func TestStoreDeletedWhileStoppedIsFilledAnew(t *testing.T) {
	m := newMainRig(t, filepath.Join(t.TempDir(), "store"))
	m.write("dir/a", "one")
	m.begin()
	m.live()
	was := m.position()
	m.stop()
	must(t, os.RemoveAll(m.store))
	m.begin()
	m.live()
	m.converges()
	if m.resumes(was) {
		t.Error("a remote goes on in a stream that is another")
	}
}

// TestLossIsNoticedWhileNothingIsPublished takes the store away under an idle main.
func TestLossIsNoticedWhileNothingIsPublished(t *testing.T) {
	for name, harm := range map[string]func(m *mainRig){
		"stream deleted": func(m *mainRig) {
			must(m.t, m.server.JetStream().DeleteStream(m.t.Context(), "EVENTS_wapt"))
		},
		"stream purged and begun again": func(m *mainRig) {
			must(m.t, m.server.JetStream().DeleteStream(m.t.Context(), "EVENTS_wapt"))
			_, err := bus.OpenLog(m.t.Context(), m.server.JetStream(), bus.LogOptions{Share: "wapt", Log: zerolog.Nop()})
			must(m.t, err)
		},
		"stream's files deleted": func(m *mainRig) {
			must(m.t, os.RemoveAll(filepath.Join(m.store, "jetstream", "PUB", "streams", "EVENTS_wapt")))
		},
		"whole store deleted": func(m *mainRig) {
			must(m.t, os.RemoveAll(filepath.Join(m.store, "jetstream")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMainRig(t, filepath.Join(t.TempDir(), "store"))
			m.write("dir/a", "one")
			m.write("b", "two")
			m.begin()
			m.live()
			was := m.position()
			harm(m)
			m.waitFor("another generation", func() bool {
				g := m.Status().Generation
				return m.Status().State == StateLive && g != was.Generation && g != uuid.Nil
			})
			m.most = 0
			m.converges()
			m.write("c", "three")
			m.converges()
			if m.resumes(was) {
				t.Error("a remote goes on in a stream that is another")
			}
			// It is on disk where the next start looks for it.
			m.stop()
			m.begin()
			m.live()
			m.converges()
			if n := m.Status().HashedFiles; n != 0 {
				t.Errorf("%d files were read again: their events were lost", n)
			}
		})
	}
}
