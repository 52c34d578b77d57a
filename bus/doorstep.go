package bus

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	// What one address may try before it is slowed down. A handshake that led
	// to a known key is given back, so remotes behind one address never pay
	// for each other, and a stranger gets doorstepRate tries a second.
	doorstepBurst = 500
	doorstepRate  = 5
	// doorstepAddresses bounds the memory; the one not seen for longest goes.
	doorstepAddresses = 10_000

	refusalLogRate  = 1 // lines a second
	refusalLogBurst = 20
)

var errTooManyTries = errors.New("too many handshakes of this address that led nowhere")

// doorstep bounds what strangers may cost before they have shown a key: it
// refuses handshakes of an address that tried too often in vain, before any
// cryptography, and counts and logs who was refused. Its methods may be called
// concurrently.
type doorstep struct {
	now func() time.Time
	log zerolog.Logger
	say *rate.Limiter

	refused atomic.Int64 // handshakes and connections

	mu     sync.Mutex
	budget map[netip.Prefix]*list.Element // of *tries
	seen   *list.List                     // the one seen last first
}

// tries is what is left of an address's budget.
type tries struct {
	from netip.Prefix
	left float64
	at   time.Time
}

func newDoorstep(log zerolog.Logger) *doorstep {
	return &doorstep{
		now: time.Now, log: log, say: rate.NewLimiter(refusalLogRate, refusalLogBurst),
		budget: make(map[netip.Prefix]*list.Element), seen: list.New(),
	}
}

// guard returns cfg with the bound in front of each handshake.
func (d *doorstep) guard(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.Conn == nil || d.admit(hello.Conn.RemoteAddr()) {
			return nil, nil // the same configuration
		}
		d.refuse(hello.Conn.RemoteAddr().String(), errTooManyTries.Error())
		return nil, errTooManyTries
	}
	return cfg
}

// admit takes one try of the address's budget.
func (d *doorstep) admit(a net.Addr) bool {
	from, ok := prefixOf(a.String())
	if !ok {
		return true // not of the network: the main's own connections
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tries(from)
	if t.left < 1 {
		return false
	}
	t.left--
	return true
}

// known gives the try back to an address from which a known key connected.
// address is without its port.
func (d *doorstep) known(address string) {
	from, ok := prefixOf(address)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tries(from)
	t.left = min(t.left+1, doorstepBurst)
}

// tries finds or makes the address's budget, as it is now. d.mu is held.
func (d *doorstep) tries(from netip.Prefix) *tries {
	now := d.now()
	if e, ok := d.budget[from]; ok {
		d.seen.MoveToFront(e)
		t := e.Value.(*tries)
		t.left, t.at = min(t.left+now.Sub(t.at).Seconds()*doorstepRate, doorstepBurst), now
		return t
	}
	t := &tries{from: from, left: doorstepBurst, at: now}
	d.budget[from] = d.seen.PushFront(t)
	if d.seen.Len() > doorstepAddresses {
		last := d.seen.Back()
		delete(d.budget, last.Value.(*tries).from)
		d.seen.Remove(last)
	}
	return t
}

// refuse counts and logs somebody who got no connection.
func (d *doorstep) refuse(address, why string) {
	d.refused.Add(1)
	if d.say.Allow() {
		d.log.Warn().Str("address", address).Str("reason", why).Int64("so_far", d.refused.Load()).Msg("connection refused")
	}
}

// prefixOf is the address, or the network of 64 bits that an IPv6 host has to itself.
func prefixOf(address string) (netip.Prefix, bool) {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}, false
	}
	bits := 64
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	return p, err == nil
}
