//go:build linux

package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Pair is the two hosts. Its methods are for one goroutine at a time; those of
// Host may be called at once.
type Pair struct {
	Main, Remote *Host

	limited bool  // by Shape
	bad     *line // set by Spoil
}

// Host is one network namespace with one address. A nil Host is the machine
// itself.
type Host struct {
	IP string

	name string
	dev  string // its end of the veth pair
	file *os.File
}

var ours = regexp.MustCompile(`^wsb([0-9]+)[mr]$`)

// Open makes two hosts, and takes away those of runs that were killed.
func Open() (*Pair, error) {
	sweep()
	pid := os.Getpid()
	p := &Pair{
		Main:   &Host{name: fmt.Sprintf("wsb%dm", pid), dev: "vm", IP: fmt.Sprintf("10.96.%d.1", pid%256)},
		Remote: &Host{name: fmt.Sprintf("wsb%dr", pid), dev: "vr", IP: fmt.Sprintf("10.96.%d.2", pid%256)},
	}
	if err := p.open(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Pair) open() error {
	for _, h := range p.hosts() {
		if err := ip("netns", "add", h.name); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
	}
	if err := ip("-n", p.Main.name, "link", "add", p.Main.dev, "type", "veth",
		"peer", "name", p.Remote.dev, "netns", p.Remote.name); err != nil {
		return fmt.Errorf("joining the namespaces: %w", err)
	}
	for _, h := range p.hosts() {
		if err := errors.Join(
			ip("-n", h.name, "addr", "add", h.IP+"/24", "dev", h.dev),
			ip("-n", h.name, "link", "set", "lo", "up"),
			ip("-n", h.name, "link", "set", h.dev, "up"),
		); err != nil {
			return fmt.Errorf("setting up host %s: %w", h.IP, err)
		}
		h.keepOrder()
		f, err := os.Open("/run/netns/" + h.name)
		if err != nil {
			return fmt.Errorf("opening a network namespace: %w", err)
		}
		h.file = f
	}
	return nil
}

// keepOrder has the host take all packets of a connection on one processor, as they
// come off a cable. A veth pair has them taken where they were sent: two parts of a
// process on two processors overtake each other, TCP takes that for loss, and up to
// 0.1 MB of 20 is sent twice. A kernel without receive packet steering stays so; see
// its Documentation/networking/scaling.rst.
func (h *Host) keepOrder() {
	processors := 1<<min(runtime.NumCPU(), 31) - 1
	file := fmt.Sprintf("/sys/class/net/%s/queues/rx-0/rps_cpus", h.dev)
	_ = ip("netns", "exec", h.name, "sh", "-c", fmt.Sprintf("echo %x >%s", processors, file)) // which mounts the namespace's /sys
}

func (p *Pair) hosts() []*Host { return []*Host{p.Main, p.Remote} }

// Close takes both hosts away. What still runs there loses its network.
func (p *Pair) Close() {
	if p.bad != nil {
		p.bad.close()
	}
	for _, h := range p.hosts() {
		if h.file != nil {
			h.file.Close()
		}
		_ = ip("netns", "del", h.name) // the veth pair goes with its namespace
	}
}

func sweep() {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return // there never was one
	}
	for _, e := range entries {
		m := ours.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		if _, err := os.Stat("/proc/" + m[1]); errors.Is(err, os.ErrNotExist) {
			_ = ip("netns", "del", e.Name())
		}
	}
}

// Start starts cmd on the host.
func (h *Host) Start(cmd *exec.Cmd) error { return h.Inside(cmd.Start) }

// Dial connects from this host to a TCP address.
func (h *Host) Dial(address string, timeout time.Duration) (c net.Conn, err error) {
	err = h.Inside(func() error {
		c, err = net.DialTimeout("tcp", address, timeout)
		return err
	})
	return c, err
}

// Inside calls do on the host: processes and sockets that the calling thread
// makes belong there.
func (h *Host) Inside(do func() error) error {
	if h == nil {
		return do()
	}
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("opening the own network namespace: %w", err)
	}
	defer own.Close()
	if err := unix.Setns(int(h.file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering network namespace %s: %w", h.name, err)
	}
	done := do()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, so that nobody gets it, and ends with its goroutine.
		return errors.Join(done, fmt.Errorf("leaving network namespace %s: %w", h.name, err))
	}
	runtime.UnlockOSThread()
	return done
}

// Cut takes the cable out, until Heal.
func (p *Pair) Cut() error { return ip("-n", p.Remote.name, "link", "set", p.Remote.dev, "down") }

// Heal puts it back.
func (p *Pair) Heal() error { return ip("-n", p.Remote.name, "link", "set", p.Remote.dev, "up") }

// RoundTrip is the time a connection from the remote to the main takes: one
// round trip, answered by the kernel.
func (p *Pair) RoundTrip() (time.Duration, error) {
	var l net.Listener
	if err := p.Main.Inside(func() (err error) {
		l, err = net.Listen("tcp", p.Main.IP+":0")
		return err
	}); err != nil {
		return 0, err
	}
	defer l.Close()
	begin := time.Now()
	c, err := p.Remote.Dial(l.Addr().String(), time.Minute)
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	return took, c.Close()
}

func ip(args ...string) error { return tool("ip", args...) }

func tool(name string, args ...string) error {
	if b, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(b)))
	}
	return nil
}
