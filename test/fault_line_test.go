//go:build linux

package test

import (
	"net"
	"os"
	"testing"
	"time"

	"waptsync/bench/link"
)

// TestBadLineDelaysAndLoses holds the harness: a line that is not bad tests nothing.
func TestBadLineDelaysAndLoses(t *testing.T) {
	lab.net.needNamespaces(t)
	if _, err := os.Stat(link.TunDevice); err != nil {
		t.Skip(err)
	}
	var l net.Listener
	check(t, lab.net.main.Inside(func() (err error) {
		l, err = net.Listen("tcp", lab.net.mainIP+":0")
		return err
	}))
	defer l.Close()
	echo := func() time.Duration {
		begin := time.Now()
		c, err := lab.net.remote.Dial(l.Addr().String(), 10*time.Second)
		check(t, err)
		check(t, c.Close())
		return time.Since(begin)
	}
	if d := echo(); d > 100*time.Millisecond {
		t.Errorf("the good line takes %v for a connection", d)
	}
	good := lab.net.badLine(t, newRandom(t), 50*time.Millisecond, 0.2)
	for range 10 {
		if d := echo(); d < 100*time.Millisecond {
			t.Errorf("the bad line takes %v for a connection", d)
		}
	}
	wire, err := lab.net.pair.Wire()
	check(t, err)
	if lost, all := lab.net.pair.Lost(), wire.PacketsToRemote+wire.PacketsToMain; lost == 0 || lost > all/2 {
		t.Errorf("%d of %d packets lost", lost, all)
	}
	good()
	if d := echo(); d > 100*time.Millisecond {
		t.Errorf("the good line takes %v for a connection", d)
	}
}
