//go:build linux

package link

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParseDevicesCountsAllButTheLoopback(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    9999      99    0    0    0     0          0         0     9999      99    0    0    0     0       0          0
    vm:     100       2    0    0    0     0          0         0     5000       7    0    0    0     0       0          0
   bad:      11       1    0    0    0     0          0         0       22       3    0    0    0     0       0          0
`
	got, err := parseDevices(text)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Wire{ToRemote: 5022, ToMain: 111, PacketsToRemote: 10, PacketsToMain: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if d := got.Less(Wire{ToRemote: 22, ToMain: 11}); d.Bytes() != 5100 {
		t.Errorf("%d bytes since the earlier look, want 5100", d.Bytes())
	}
	if _, err := parseDevices(" vm: 1 2 3\n"); err == nil {
		t.Error("a line with too few figures was taken")
	}
}

func TestParseQueuesTakesTheRoot(t *testing.T) {
	const out = `[{"kind":"tbf","handle":"8001:","root":true,"options":{},"bytes":4242,"packets":17},{"kind":"fq","bytes":1,"packets":1}]`
	bytes, packets, err := parseQueues([]byte(out))
	if err != nil || bytes != 4242 || packets != 17 {
		t.Errorf("got %d bytes, %d packets, %v", bytes, packets, err)
	}
	if _, _, err := parseQueues([]byte(`[]`)); err == nil {
		t.Error("no queue at all was taken")
	}
}

func TestLineKeepsRateAndDelay(t *testing.T) {
	l := Line{Rate: 8000, Delay: time.Second} // 1000 bytes a second
	now := time.Unix(1000, 0)
	due, free, fits := l.admit(now, time.Time{}, 100)
	if !fits || due != now.Add(1100*time.Millisecond) || free != now.Add(100*time.Millisecond) {
		t.Errorf("the first packet: due %v, free %v, fits %v", due, free, fits)
	}
	due, free, fits = l.admit(now, free, 200)
	if !fits || due != now.Add(1300*time.Millisecond) {
		t.Errorf("the second packet waits for the first: due %v, fits %v", due, fits)
	}
	if _, _, fits = l.admit(now, free, 1); fits {
		t.Error("a packet that would wait for 300 ms fits a buffer of 200 ms")
	}
}

func TestPairCountsLimitsAndSpoils(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	if _, err := exec.LookPath("tc"); err != nil {
		t.Skip(err)
	}
	p, err := Open()
	if err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	defer p.Close()

	t.Run("in order", func(t *testing.T) {
		for _, h := range p.hosts() {
			file := "/sys/class/net/" + h.dev + "/queues/rx-0/rps_cpus"
			b, err := exec.Command("ip", "netns", "exec", h.name, "cat", file).Output()
			if err != nil {
				t.Skipf("needs receive packet steering: %v", err)
			}
			if got := strings.Trim(string(b), "0,\n"); got == "" {
				t.Errorf("packets to %s may overtake each other", h.IP)
			}
		}
	})

	const size = 400_000
	t.Run("good", func(t *testing.T) {
		took, wire := send(t, p, size)
		if wire.ToRemote < size || wire.ToRemote > size*12/10 || wire.ToMain <= 0 {
			t.Errorf("%d bytes sent, %+v counted", size, wire)
		}
		t.Logf("%v, %+v", took, wire)
	})
	t.Run("limited", func(t *testing.T) {
		if err := p.Limit(8_000_000); err != nil {
			t.Skip(err)
		}
		took, wire := send(t, p, size) // 128 kB of them go at once
		if took < 200*time.Millisecond {
			t.Errorf("%d bytes took %v at 1 MB/s", size, took)
		}
		if wire.PacketsToRemote < size/1500 || wire.ToRemote < size*102/100 {
			t.Errorf("real packets are not counted: %+v", wire)
		}
		if err := p.Restore(); err != nil {
			t.Error(err)
		}
	})
	t.Run("bad", func(t *testing.T) {
		if _, err := os.Stat(TunDevice); err != nil {
			t.Skip(err)
		}
		if err := p.Spoil(Line{Rate: 8_000_000, Delay: 20 * time.Millisecond}, 1); err != nil {
			t.Fatal(err)
		}
		if d, err := p.RoundTrip(); err != nil || d < 40*time.Millisecond {
			t.Errorf("a round trip of %v, %v", d, err)
		}
		took, wire := send(t, p, size)
		if took < 400*time.Millisecond || wire.PacketsToRemote < size/1500 {
			t.Errorf("%d bytes took %v at 1 MB/s, counted %+v", size, took, wire)
		}
		if err := p.Restore(); err != nil {
			t.Error(err)
		}
	})
}

// send moves size bytes from the main to the remote.
func send(t *testing.T, p *Pair, size int) (time.Duration, Wire) {
	t.Helper()
	before, err := p.Wire()
	if err != nil {
		t.Fatal(err)
	}
	var l net.Listener
	if err := p.Main.Inside(func() (err error) {
		l, err = net.Listen("tcp", p.Main.IP+":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write(make([]byte, size))
		c.Close()
	}()
	begin := time.Now()
	c, err := p.Remote.Dial(l.Addr().String(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf, got := make([]byte, 65536), 0
	for {
		n, err := c.Read(buf)
		got += n
		if err != nil {
			break
		}
	}
	if got != size {
		t.Fatalf("%d bytes of %d came", got, size)
	}
	took := time.Since(begin)
	after, err := p.Wire()
	if err != nil {
		t.Fatal(err)
	}
	return took, after.Less(before)
}
