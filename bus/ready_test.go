package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lateServer is a plain server whose JetStream is not there yet.
func lateServer(t *testing.T) (*server.Server, jetstream.JetStream) {
	t.Helper()
	s, err := server.NewServer(&server.Options{ServerName: "late", DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not get ready")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return s, js
}

// A JetStream that answers late, as under load or after a jump of the clock, is
// waited for.
func TestAStartWaitsForJetStream(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(jetstream.JetStream) error
	}{
		{"event log", func(js jetstream.JetStream) error {
			_, err := OpenLog(t.Context(), js, LogOptions{Share: "wapt"})
			return err
		}},
		{"window", func(js jetstream.JetStream) error {
			_, err := OpenWindow(t.Context(), js, "wapt", 16<<20)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, js := lateServer(t)
			enabled := make(chan error, 1)
			dir := t.TempDir()
			go func() {
				time.Sleep(time.Second)
				enabled <- s.EnableJetStream(&server.JetStreamConfig{StoreDir: dir, MaxMemory: 1 << 20, MaxStore: 1 << 30})
			}()
			if err := c.open(js); err != nil {
				t.Error(err)
			}
			if err := <-enabled; err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAStartWithoutJetStreamSaysSo(t *testing.T) {
	_, js := lateServer(t)
	begun := time.Now()
	err := whenReady(t.Context(), time.Second, func() error {
		_, err := js.Stream(t.Context(), "EVENTS_wapt")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "JetStream") || time.Since(begun) < time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}
