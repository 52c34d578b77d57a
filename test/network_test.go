//go:build linux

package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waptsync/bench/link"
)

// network is what lies between the main and the remotes: two hosts and the link
// between them where the machine lets us have them, else the loopback. Traffic
// never leaves it.
type network struct {
	pair         *link.Pair // nil on the loopback
	main, remote *link.Host // nil on the loopback
	mainIP       string
	nextPort     atomic.Int32
	closing      sync.Once
}

// openNetwork makes the hosts, or falls back to the loopback.
func openNetwork() *network {
	n := &network{mainIP: "127.0.0.1"}
	n.nextPort.Store(20000)
	if os.Geteuid() != 0 || os.Getenv("WAPTSYNC_LOOPBACK") == "1" {
		return n
	}
	p, err := link.Open()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no network namespaces, using the loopback:", err)
		return n
	}
	n.pair, n.main, n.remote, n.mainIP = p, p.Main, p.Remote, p.Main.IP
	return n
}

func (n *network) close() {
	n.closing.Do(func() {
		if n.pair != nil {
			n.pair.Close()
		}
	})
}

func tool(name string, args ...string) error {
	if b, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(b)))
	}
	return nil
}

// address returns host:port on the main that nobody listens on.
func (n *network) address(t *testing.T) string {
	t.Helper()
	if n.main != nil {
		return fmt.Sprintf("%s:%d", n.mainIP, n.nextPort.Add(1))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("looking for a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// needNamespaces skips a test that measures or harms the network.
func (n *network) needNamespaces(t *testing.T) {
	t.Helper()
	if n.main == nil {
		t.Skip("needs network namespaces (root and iproute2)")
	}
}

// wire returns the bytes that crossed the link so far, both directions and all
// headers counted.
func (n *network) wire(t *testing.T) int64 {
	t.Helper()
	w, err := n.pair.Counted()
	check(t, err)
	return w.Bytes()
}

// rate limits both directions to so many Mbit/s until the test ends.
func (n *network) rate(t *testing.T, megabits int64) {
	t.Helper()
	n.needNamespaces(t)
	t.Cleanup(func() { _ = n.pair.Restore() })
	if err := n.pair.Limit(megabits * 1_000_000); err != nil {
		t.Skipf("this kernel limits no rates: %v", err)
	}
}

// cut takes the cable out; heal, or the end of the test, puts it back.
func (n *network) cut(t *testing.T) {
	t.Helper()
	n.needNamespaces(t)
	t.Cleanup(func() { n.heal(t) })
	check(t, n.pair.Cut())
}

func (n *network) heal(t *testing.T) {
	t.Helper()
	if err := n.pair.Heal(); err != nil {
		t.Error(err)
	}
}

// badLine delays each packet between the hosts and loses some, until good or the
// end of the test. Connections go on over it.
func (n *network) badLine(t *testing.T, rng *random, oneWay time.Duration, loss float64) (good func()) {
	t.Helper()
	n.needNamespaces(t)
	good = func() {
		if err := n.pair.Restore(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(good)
	check(t, n.pair.Spoil(link.Line{Delay: oneWay, Loss: loss}, rng.Uint64()))
	return good
}
