//go:build linux

package test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const tunDevice = "/dev/net/tun"

// line is a bad line between the two namespaces: each packet is delayed, and
// some are lost. tc netem would do it, but few kernels of containers have it;
// so packets take two TUN devices, and this process carries them.
type line struct {
	t     *testing.T
	ends  []*os.File
	delay time.Duration
	loss  float64
	once  sync.Once
	mu    sync.Mutex
	rng   *rand.Rand
	lost  int
	all   int
}

// badLine puts a line between the namespaces in the place of the good one,
// until close or the end of the test. Connections go on over it.
func (n *network) badLine(t *testing.T, rng *random, oneWay time.Duration, loss float64) *line {
	t.Helper()
	n.needNamespaces(t)
	l := &line{t: t, delay: oneWay, loss: loss, rng: rand.New(rand.NewPCG(rng.Uint64(), 1))}
	t.Cleanup(l.close)
	remoteIP := strings.TrimSuffix(n.mainIP, "1") + "2"
	for _, side := range []struct {
		in       *namespace
		own, far string
	}{{n.main, n.mainIP, remoteIP}, {n.remote, remoteIP, n.mainIP}} {
		var f *os.File
		if err := side.in.inside(func() (err error) { f, err = openTun("bad"); return err }); err != nil {
			t.Fatalf("making a bad line: %v", err)
		}
		l.ends = append(l.ends, f)
		for _, args := range [][]string{
			{"link", "set", "bad", "up", "mtu", "1500"},
			{"route", "add", side.far + "/32", "dev", "bad", "src", side.own},
		} {
			if err := ip(append([]string{"-n", side.in.name}, args...)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	go l.carry(l.ends[0], l.ends[1])
	go l.carry(l.ends[1], l.ends[0])
	return l
}

// close takes the devices, and with them their routes, away.
func (l *line) close() {
	l.once.Do(func() {
		for _, f := range l.ends {
			f.Close()
		}
	})
}

// carry moves packets one way, in order, until its end is closed.
func (l *line) carry(from, to *os.File) {
	type packet struct {
		due  time.Time
		data []byte
	}
	way := make(chan packet, 2000) // a router's buffer; what does not fit is lost
	defer close(way)
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data) // fails only when the line is closed
		}
	}()
	buf := make([]byte, 65536)
	for {
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		lost := l.rng.Float64() < l.loss
		l.all++
		if lost {
			l.lost++
		}
		l.mu.Unlock()
		if lost {
			continue
		}
		select {
		case way <- packet{time.Now().Add(l.delay), append([]byte(nil), buf[:k]...)}:
		default:
		}
	}
}

// openTun makes a TUN device in the namespace of the calling thread.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", tunDevice, err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making TUN device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), tunDevice), nil
}

// TestBadLineDelaysAndLoses holds the harness: a line that is not bad tests nothing.
func TestBadLineDelaysAndLoses(t *testing.T) {
	lab.net.needNamespaces(t)
	if _, err := os.Stat(tunDevice); err != nil {
		t.Skip(err)
	}
	var l net.Listener
	check(t, lab.net.main.inside(func() (err error) {
		l, err = net.Listen("tcp", lab.net.mainIP+":0")
		return err
	}))
	defer l.Close()
	echo := func() time.Duration {
		begin := time.Now()
		check(t, lab.net.remote.inside(func() error {
			c, err := net.DialTimeout("tcp", l.Addr().String(), 10*time.Second)
			if err != nil {
				return err
			}
			return c.Close()
		}))
		return time.Since(begin)
	}
	if d := echo(); d > 100*time.Millisecond {
		t.Errorf("the good line takes %v for a connection", d)
	}
	bad := lab.net.badLine(t, newRandom(t), 50*time.Millisecond, 0.2)
	for range 10 {
		if d := echo(); d < 100*time.Millisecond {
			t.Errorf("the bad line takes %v for a connection", d)
		}
	}
	bad.mu.Lock()
	if bad.lost == 0 || bad.lost > bad.all/2 {
		t.Errorf("%d of %d packets lost", bad.lost, bad.all)
	}
	bad.mu.Unlock()
	bad.close()
	if d := echo(); d > 100*time.Millisecond {
		t.Errorf("the good line takes %v for a connection", d)
	}
}
