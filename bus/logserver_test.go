package bus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// plainServer is a NATS server without accounts, for tests of what does not
// depend on who may do what.
type plainServer struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
}

func startPlain(t testing.TB, dir string) *plainServer {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: "plain", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, SyncAlways: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not get ready")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	p := &plainServer{server: s, conn: conn, js: js}
	t.Cleanup(p.stop)
	return p
}

// stop returns when the store is closed. Doing it twice is allowed.
func (p *plainServer) stop() {
	p.conn.Close()
	p.server.Shutdown()
	p.server.WaitForShutdown()
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func openTestLog(t testing.TB, js jetstream.JetStream) *Log {
	t.Helper()
	l, err := OpenLog(testContext(t), js, LogOptions{Share: "wapt"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fileEvents are n events of the paths <prefix>0 and on.
func fileEvents(prefix string, n int) []*Event {
	events := make([]*Event, n)
	for i := range events {
		events[i] = fileEvent(fmt.Sprintf("%s%d", prefix, i))
	}
	return events
}

func mustAppend(t testing.TB, l *Log, events ...*Event) uint64 {
	t.Helper()
	seq, err := l.Append(testContext(t), events)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// replayed are the log's paths in order, each with its sequence.
func replayed(t testing.TB, l *Log) (paths []string, seqs []uint64) {
	t.Helper()
	err := l.Replay(testContext(t), func(seq uint64, e *Event) error {
		paths, seqs = append(paths, e.Path), append(seqs, seq)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths, seqs
}

// waitFor polls until ok or a deadline, for what happens on the other side of the server.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func contextFor(t testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.Background(), d)
}
