package bus

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

type fakeAddr string

func (fakeAddr) Network() string  { return "tcp" }
func (a fakeAddr) String() string { return string(a) }

func TestAnAddressThatFailsTooOftenIsSlowedDown(t *testing.T) {
	clock := newTestClock()
	d := newDoorstep(zerolog.Nop())
	d.now = clock.now
	tries := func(address string) (n int) {
		for n < 10*doorstepBurst && d.admit(fakeAddr(address)) {
			n++
		}
		return n
	}
	if n := tries("192.0.2.1:1"); n != doorstepBurst {
		t.Errorf("%d tries, want %d", n, doorstepBurst)
	}
	if n := tries("192.0.2.2:1"); n != doorstepBurst {
		t.Errorf("another address has %d", n)
	}
	if n := tries("[2001:db8::1]:1"); n != doorstepBurst {
		t.Errorf("an IPv6 address has %d", n)
	}
	if n := tries("[2001:db8::ffff]:1"); n != 0 {
		t.Errorf("its neighbour in the same network has %d more", n)
	}
	if n := tries("[::ffff:192.0.2.1]:1"); n != 0 {
		t.Errorf("the first address, written otherwise, has %d more", n)
	}
	clock.advance(time.Second)
	if n := tries("192.0.2.1:1"); n != doorstepRate {
		t.Errorf("%d tries after a second", n)
	}
	// Whoever shows a known key costs its address nothing.
	for range 100 {
		d.known("192.0.2.1")
		if !d.admit(fakeAddr("192.0.2.1:7")) {
			t.Fatal("a known remote was refused")
		}
	}
	for i := range 2 * doorstepAddresses {
		d.admit(fakeAddr(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&0xff, i&0xff)))
	}
	if len(d.budget) > doorstepAddresses || d.seen.Len() != len(d.budget) {
		t.Errorf("%d addresses are remembered", len(d.budget))
	}
	if !d.admit(fakeAddr("pipe")) {
		t.Error("the main's own connections are refused")
	}
}

func TestStrangersAreRefusedCountedAndLogged(t *testing.T) {
	m := startMain(t)
	m.Close()
	log := new(lockedLog)
	m.options.Log = zerolog.New(log)
	m.start(t)
	random := make([]byte, 4096)
	rand.Read(random)
	for what, text := range map[string]string{
		"random bytes": string(random), "plain NATS": "CONNECT {}\r\nPING\r\n", "HTTP": "GET / HTTP/1.1\r\n\r\n",
		"nothing": "", "half a TLS record": "\x16\x03\x01\x02\x00\x01\x00",
	} {
		c, err := net.Dial("tcp", m.Addr())
		must(t, err)
		// The server may have cut it already.
		_, _ = c.Write([]byte(text))
		_ = c.(*net.TCPConn).CloseWrite()
		must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		said, err := io.ReadAll(c)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: the connection stays", what)
		}
		if strings.Contains(string(said), "INFO") {
			t.Errorf("%s: the server says %q", what, said)
		}
		c.Close()
	}
	// What speaks no TLS at all the server neither logs nor counts; this it does.
	before := m.Refusals().Connections
	_, err := tls.Dial("tcp", m.Addr(), &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true})
	if err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	waitFor(t, "TLS 1.2 is counted", func() bool { return m.Refusals().Connections > before })

	// A forged invitation: the right CA, an invented secret.
	line, _, err := newInvitationLine("colmar", m.Addr(), m.options.Authority.Fingerprint())
	must(t, err)
	before = m.Refusals().Connections
	mustRefuse(t, line, newIdentityForTest(t), errNoInvitation.Error())
	waitFor(t, "the forged invitation is counted", func() bool { return m.Refusals().Connections > before })
	waitFor(t, "and logged with its address", func() bool {
		return log.has(`"address":"127.0.0.1","reason":"Authentication Failure"`)
	})

	// One that is known and belongs to another.
	used := m.invite(t, "nancy", "alpha")
	_, err = Join(shortContext(t), used, newIdentityForTest(t))
	must(t, err)
	mustRefuse(t, used, newIdentityForTest(t), "used already")
	if n := m.Refusals().Joins; n != 1 {
		t.Errorf("%d refused joins were counted", n)
	}
	if !log.has(`"message":"join refused"`) {
		t.Error("the refused join was not logged")
	}
}

func TestSilentConnectionsDoNotKeepRemotesOut(t *testing.T) {
	m := startMain(t)
	for range 4 * strangersPerAddress {
		c, err := net.Dial("tcp", m.Addr())
		must(t, err)
		defer c.Close()
	}
	waitFor(t, "most of them are cut", func() bool { return m.ns.NumClients() <= strangersPerAddress+8 })
	m.join(t, "colmar", "alpha")
	if m.Refusals().Connections < 3*strangersPerAddress {
		t.Errorf("counted %+v", m.Refusals())
	}
}

// The server changes its configuration only when no handshake is under way.
func TestASilentConnectionDoesNotDelayARevocation(t *testing.T) {
	m := startMain(t)
	r := m.join(t, "colmar", "alpha")
	c, err := net.Dial("tcp", m.Addr())
	must(t, err)
	defer c.Close()
	waitFor(t, "it is on the doorstep", func() bool { return m.ns.NumClients() > m.presence.count()+4 })
	must(t, m.options.Registry.Remove("colmar"))
	begin := time.Now()
	must(t, m.Apply())
	waitUntil(t, time.Second-time.Since(begin), "the remote is cut", r.IsClosed)
}

// A man in the middle has a certificate of his own, and may send whatever he
// heard besides.
func TestAManInTheMiddleIsRefused(t *testing.T) {
	m := startMain(t)
	id := newIdentityForTest(t)
	line := m.invite(t, "colmar", "alpha")
	member, err := Join(shortContext(t), line, id)
	must(t, err)
	open := m.invite(t, "nancy", "alpha")
	evil, err := LoadAuthority(secretDir(t))
	must(t, err)
	cert, err := evil.certificate()
	must(t, err)
	relayed := *cert
	relayed.Certificate = append([][]byte{}, cert.Certificate...)
	relayed.Certificate = append(relayed.Certificate, m.options.Authority.ca.Raw)
	for what, certificate := range map[string]*tls.Certificate{"own chain": cert, "with the main's CA in it": &relayed} {
		t.Run(what, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*certificate}})
			must(t, err)
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						if c.(*tls.Conn).Handshake() == nil {
							t.Error("a remote took the man in the middle for its main")
						}
					}()
				}
			}()
			l2, err := decodeInvitation(open)
			must(t, err)
			l2.Address = l.Addr().String()
			if _, err := Join(shortContext(t), l2.encode(), newIdentityForTest(t)); err == nil {
				t.Error("joined")
			}
			there := *member
			there.Address = l.Addr().String()
			c, err := Connect(testContext(t), ClientOptions{Membership: &there, Identity: id, Log: zerolog.Nop()})
			must(t, err)
			defer c.Close()
			waitFor(t, "the remote says why", func() bool { return strings.Contains(c.Trouble().Error(), "not of the CA that this remote trusts") })
		})
	}
}
