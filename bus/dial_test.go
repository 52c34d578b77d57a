package bus

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// slowProvider is as on a host that is too busy for its first connection.
type slowProvider struct {
	nats.InProcessConnProvider
	made *atomic.Int32
}

func (p slowProvider) InProcessConn() (net.Conn, error) {
	c, err := p.InProcessConnProvider.InProcessConn()
	if err == nil && p.made.Add(1) == 1 {
		c = &slowConn{Conn: c}
	}
	return c, err
}

type slowConn struct {
	net.Conn
	writes int
}

// Write lets the server wait between CONNECT and PING, which nats.go writes apart.
func (c *slowConn) Write(b []byte) (int, error) {
	if c.writes++; c.writes == 2 {
		time.Sleep(3 * time.Second) // it asks after 2 to 2.4
	}
	return c.Conn.Write(b)
}

func TestDialBearsAServerThatAsksFirst(t *testing.T) {
	b := startBus(t)
	auth, err := nkeyOption(b.Server.service)
	if err != nil {
		t.Fatal(err)
	}
	provider := slowProvider{b.ns, new(atomic.Int32)}
	nc, err := dial("", nats.InProcessServer(provider), auth, nats.Timeout(ownTimeout))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if n := provider.made.Load(); n != 2 {
		t.Errorf("%d connections, want 2: the first was not as slow as it should", n)
	}
}
