package bus

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// lockedLog collects log lines of several goroutines.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) has(line string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), line)
}

func TestOneRemoteCannotTakeAllConnections(t *testing.T) {
	m := startMain(t)
	r, other := m.join(t, "colmar", "alpha"), m.join(t, "nancy", "alpha")
	conns := []*nats.Conn{r.Conn}
	for range connectionsPerUser + 2 {
		r.connect(t)
		conns = append(conns, r.Conn)
	}
	open := func() int {
		return len(slices.DeleteFunc(slices.Clone(conns), func(nc *nats.Conn) bool { return nc.IsClosed() }))
	}
	waitUntil(t, 5*time.Second, "the oldest are cut", func() bool { return open() == connectionsPerUser && conns[0].IsClosed() })
	if conns[len(conns)-1].IsClosed() || other.IsClosed() {
		t.Error("the newest, or another remote's, was cut")
	}
	for _, c := range m.connz(server.ConnzOptions{User: r.id.ID()}) {
		if c.TLSVersion != "1.3" || !c.TLSFirst {
			t.Errorf("connection with TLS %s", c.TLSVersion)
		}
	}
}

func TestComingAndGoingIsLogged(t *testing.T) {
	m := startMain(t)
	m.Close()
	log := new(lockedLog)
	m.options.Log = zerolog.New(log)
	m.start(t)
	r := m.join(t, "colmar", "alpha")
	waitUntil(t, 5*time.Second, "the join is logged", func() bool {
		return log.has(`"message":"remote joined"`) && log.has(`"address":"127.0.0.1:`)
	})
	waitUntil(t, 5*time.Second, "the remote's coming is logged", func() bool {
		return log.has(`"remote":"colmar","address":"127.0.0.1","message":"remote connected"`)
	})
	r.Close()
	waitUntil(t, 5*time.Second, "its going is logged", func() bool {
		return log.has(`"reason":"Client Closed","message":"remote disconnected"`)
	})
}

func TestPresenceForgetsWhoIsGone(t *testing.T) {
	var cut []uint64
	p := newPresence(func(id uint64) { cut = append(cut, id) }, func(string) (string, bool) { return "", false }, zerolog.Nop())
	for i := range uint64(100) {
		key := fmt.Sprint(i % 3)
		p.connected(key, i, "")
		p.connected(key, i, "") // an event and the list at start may tell the same
		p.disconnected(key, i, "", "")
		p.disconnected(key, i, "", "")
	}
	if len(p.users) != 0 || len(cut) != 0 {
		t.Errorf("left over: %v; cut: %v", p.users, cut)
	}
	for i := range uint64(100) {
		p.connected("x", i, "")
	}
	if len(p.users["x"]) != connectionsPerUser || len(cut) != 100-connectionsPerUser || cut[0] != 0 {
		t.Errorf("left over: %v; cut: %v", p.users, cut)
	}
}
