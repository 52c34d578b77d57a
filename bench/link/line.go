//go:build linux

package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Line is what a bad line does to each packet, in both directions alike.
type Line struct {
	Rate  int64         // bits per second, 0 for any
	Delay time.Duration // one way
	Loss  float64       // share of the packets, 0 to 1
}

// TunDevice is what a bad line is made of.
const TunDevice = "/dev/net/tun"

// buffered is how much a router holds back before it drops, as a time at the
// line's rate.
const buffered = 200 * time.Millisecond

// bufferedPackets is how many it holds back where it has no rate.
const bufferedPackets = 2000

// Limit lets bits a second through in each direction, until Restore.
func (p *Pair) Limit(bits int64) error {
	return p.Shape("tbf", "rate", strconv.FormatInt(bits, 10)+"bit", "burst", "128kb", "latency", "100ms")
}

// Shape puts a queueing discipline, as tc(8) has it, at both ends of the line,
// until Restore.
func (p *Pair) Shape(qdisc ...string) error {
	for _, h := range p.hosts() {
		if err := tool("tc", append([]string{"-n", h.name, "qdisc", "replace", "dev", h.dev, "root"}, qdisc...)...); err != nil {
			return fmt.Errorf("limiting the line: %w", err)
		}
	}
	p.limited = true
	return nil
}

// Spoil puts a bad line in the place of the good one, until Restore; seed
// decides which packets are lost. tc netem would do it, but many kernels lack
// it: so packets go through two TUN devices, and this process carries them.
func (p *Pair) Spoil(l Line, seed uint64) error {
	b := &line{Line: l}
	p.bad = b
	for i, h := range p.hosts() {
		var f *os.File
		if err := h.Inside(func() (err error) { f, err = openTun("bad"); return err }); err != nil {
			return fmt.Errorf("making a bad line: %w", err)
		}
		b.ends = append(b.ends, f)
		far := p.hosts()[1-i]
		for _, args := range [][]string{
			{"link", "set", "bad", "up", "mtu", "1500"},
			{"route", "add", far.IP + "/32", "dev", "bad", "src", h.IP},
		} {
			if err := ip(append([]string{"-n", h.name}, args...)...); err != nil {
				return fmt.Errorf("making a bad line: %w", err)
			}
		}
	}
	go b.carry(b.ends[0], b.ends[1], &b.wire.ToRemote, &b.wire.PacketsToRemote, rand.New(rand.NewPCG(seed, 1)))
	go b.carry(b.ends[1], b.ends[0], &b.wire.ToMain, &b.wire.PacketsToMain, rand.New(rand.NewPCG(seed, 2)))
	return nil
}

// Restore makes the line good again. Connections go on over it.
func (p *Pair) Restore() error {
	if p.bad != nil {
		p.bad.close()
		p.bad = nil
	}
	if !p.limited {
		return nil
	}
	p.limited = false
	var faults []error
	for _, h := range p.hosts() {
		faults = append(faults, tool("tc", "-n", h.name, "qdisc", "del", "dev", h.dev, "root"))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("lifting the line's limit: %w", err)
	}
	return nil
}

// Lost is how many of the packets on the bad line were lost.
func (p *Pair) Lost() int64 {
	p.bad.mu.Lock()
	defer p.bad.mu.Unlock()
	return p.bad.lost
}

type line struct {
	Line
	ends []*os.File
	once sync.Once

	mu   sync.Mutex
	wire Wire  // what got on to the line, lost on it or not
	lost int64 // packets
}

func (l *line) carried() Wire {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wire
}

// close takes the devices, and with them their routes, away.
func (l *line) close() {
	l.once.Do(func() {
		for _, f := range l.ends {
			f.Close()
		}
	})
}

type packet struct {
	due  time.Time
	data []byte
}

// carry moves packets one way, in order, until its end is closed, and counts
// them under the lock.
func (l *line) carry(from, to *os.File, bytes, packets *int64, rng *rand.Rand) {
	room := 1 << 16 // more than a second of delay holds; admit bounds it
	if l.Rate == 0 {
		room = bufferedPackets
	}
	way := make(chan packet, room)
	defer close(way)
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data) // fails only when the line is closed
		}
	}()
	buf := make([]byte, 65536)
	var free time.Time
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		var due time.Time
		var fits bool
		if due, free, fits = l.admit(time.Now(), free, n); !fits {
			continue
		}
		lost := rng.Float64() < l.Loss
		l.mu.Lock()
		*bytes += int64(n)
		*packets++
		if lost {
			l.lost++
		}
		l.mu.Unlock()
		if lost {
			continue
		}
		select {
		case way <- packet{due, append([]byte(nil), buf[:n]...)}:
		default: // as a router drops it
		}
	}
}

// admit tells when a packet of n bytes that comes now is at the far end, and
// when the line, free from the given moment on, is free after it. A packet
// that finds the buffer full does not fit.
func (l Line) admit(now, free time.Time, n int) (due, nextFree time.Time, fits bool) {
	if l.Rate == 0 {
		return now.Add(l.Delay), now, true
	}
	if free.Before(now) {
		free = now
	}
	if free.Sub(now) > buffered {
		return time.Time{}, free, false
	}
	free = free.Add(time.Duration(int64(n) * 8 * int64(time.Second) / l.Rate))
	return free.Add(l.Delay), free, true
}

// openTun makes a TUN device on the host of the calling thread.
func openTun(name string) (*os.File, error) {
	fd, err := unix.Open(TunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", TunDevice, err)
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
	return os.NewFile(uintptr(fd), TunDevice), nil
}
