//go:build linux

package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// network is what lies between the main and the remotes: two network
// namespaces joined by a veth pair where the machine lets us have them, else
// the loopback. Traffic never leaves it.
type network struct {
	main, remote *namespace // nil on the loopback
	mainIP       string
	nextPort     atomic.Int32
	closing      sync.Once
}

// namespace is a network namespace that this process made.
type namespace struct {
	name string
	dev  string // its end of the veth pair
	file *os.File
}

var nsName = regexp.MustCompile(`^wst([0-9]+)[mr]$`)

// openNetwork makes the namespaces, or falls back to the loopback.
func openNetwork() *network {
	n := &network{mainIP: "127.0.0.1"}
	n.nextPort.Store(20000)
	if os.Geteuid() != 0 || os.Getenv("WAPTSYNC_LOOPBACK") == "1" {
		return n
	}
	sweepNamespaces()
	if err := n.openNamespaces(); err != nil {
		fmt.Fprintln(os.Stderr, "no network namespaces, using the loopback:", err)
		n.closeNamespaces()
		n.main, n.remote, n.mainIP = nil, nil, "127.0.0.1"
	}
	return n
}

func (n *network) openNamespaces() error {
	pid := os.Getpid()
	prefix := fmt.Sprintf("10.99.%d.", pid%256)
	n.main = &namespace{name: fmt.Sprintf("wst%dm", pid), dev: "vm"}
	n.remote = &namespace{name: fmt.Sprintf("wst%dr", pid), dev: "vr"}
	for _, s := range []*namespace{n.main, n.remote} {
		if err := ip("netns", "add", s.name); err != nil {
			return err
		}
	}
	if err := ip("-n", n.main.name, "link", "add", "vm", "type", "veth", "peer", "name", "vr", "netns", n.remote.name); err != nil {
		return err
	}
	for i, s := range []*namespace{n.main, n.remote} {
		if err := errors.Join(
			ip("-n", s.name, "addr", "add", prefix+strconv.Itoa(i+1)+"/24", "dev", s.dev),
			ip("-n", s.name, "link", "set", "lo", "up"),
			ip("-n", s.name, "link", "set", s.dev, "up"),
		); err != nil {
			return err
		}
		f, err := os.Open("/run/netns/" + s.name)
		if err != nil {
			return fmt.Errorf("opening namespace %s: %w", s.name, err)
		}
		s.file = f
	}
	n.mainIP = prefix + "1"
	return nil
}

// sweepNamespaces removes what a run left behind that was killed.
func sweepNamespaces() {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return // none yet
	}
	for _, e := range entries {
		m := nsName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		if _, err := os.Stat("/proc/" + m[1]); errors.Is(err, os.ErrNotExist) {
			_ = ip("netns", "del", e.Name())
		}
	}
}

func (n *network) close() { n.closing.Do(n.closeNamespaces) }

func (n *network) closeNamespaces() {
	for _, s := range []*namespace{n.main, n.remote} {
		if s == nil {
			continue
		}
		if s.file != nil {
			s.file.Close()
		}
		_ = ip("netns", "del", s.name) // the veth pair goes with its namespace
	}
}

func ip(args ...string) error { return tool("ip", args...) }

func tool(name string, args ...string) error {
	if b, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(b)))
	}
	return nil
}

// start starts cmd inside the namespace.
func (s *namespace) start(cmd *exec.Cmd) error { return s.inside(cmd.Start) }

// inside calls do in the namespace: children and sockets belong to that of the
// thread that made them. A nil namespace is the machine's own.
func (s *namespace) inside(do func() error) error {
	if s == nil {
		return do()
	}
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("opening the own namespace: %w", err)
	}
	defer own.Close()
	if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering namespace %s: %w", s.name, err)
	}
	done := do()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		return errors.Join(done, fmt.Errorf("leaving namespace %s: %w", s.name, err)) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return done
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

// wire returns the bytes that crossed the veth pair so far, both directions
// and all headers counted.
func (n *network) wire(t *testing.T) int64 {
	t.Helper()
	out, err := exec.Command("ip", "-n", n.main.name, "-s", "-j", "link", "show", n.main.dev).Output()
	if err != nil {
		t.Fatalf("reading the veth counters: %v", err)
	}
	type counter struct {
		Bytes int64 `json:"bytes"`
	}
	var links []struct {
		Stats struct {
			Rx counter `json:"rx"`
			Tx counter `json:"tx"`
		} `json:"stats64"`
	}
	if err := json.Unmarshal(out, &links); err != nil || len(links) != 1 {
		t.Fatalf("reading the veth counters: %v: %s", err, out)
	}
	return links[0].Stats.Rx.Bytes + links[0].Stats.Tx.Bytes
}

// rate limits both directions until the test ends, for example to "100mbit".
func (n *network) rate(t *testing.T, rate string) {
	t.Helper()
	n.needNamespaces(t)
	t.Cleanup(func() {
		for _, s := range []*namespace{n.main, n.remote} {
			_ = tool("tc", "-n", s.name, "qdisc", "del", "dev", s.dev, "root")
		}
	})
	for _, s := range []*namespace{n.main, n.remote} {
		if err := tool("tc", "-n", s.name, "qdisc", "replace", "dev", s.dev, "root", "tbf", "rate", rate, "burst", "128kb", "latency", "100ms"); err != nil {
			t.Skipf("this kernel limits no rates: %v", err)
		}
	}
}

// cut takes the cable out; heal, or the end of the test, puts it back.
func (n *network) cut(t *testing.T) {
	t.Helper()
	n.needNamespaces(t)
	t.Cleanup(func() { n.heal(t) })
	if err := ip("-n", n.remote.name, "link", "set", n.remote.dev, "down"); err != nil {
		t.Fatal(err)
	}
}

func (n *network) heal(t *testing.T) {
	t.Helper()
	if err := ip("-n", n.remote.name, "link", "set", n.remote.dev, "up"); err != nil {
		t.Error(err)
	}
}
