package console

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// One address may try five passwords at once, then one each twelve seconds.
	addressBurst = 5
	addressEvery = 12 * time.Second
	// All addresses together: an attacker with many of them gets two a second.
	allBurst = 30
	allEvery = 500 * time.Millisecond

	maxAddresses = 4096
)

// attempts bounds how often a password may be tried. Its methods may be called
// concurrently.
type attempts struct {
	now func() time.Time

	mu  sync.Mutex
	all *rate.Limiter
	by  map[netip.Prefix]*tries
}

type tries struct {
	limit *rate.Limiter
	last  time.Time
	// good: the right password came from there. Such an address does not share
	// the bound of all, so a flood from elsewhere locks no administrator out.
	good bool
}

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, all: rate.NewLimiter(rate.Every(allEvery), allBurst), by: make(map[netip.Prefix]*tries)}
}

// allow says whether address may try now, and if not, when it may.
func (a *attempts) allow(address string) (time.Duration, bool) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.of(address, now)
	if wait := take(t.limit, now); wait > 0 {
		return wait, false
	}
	if t.good {
		return 0, true
	}
	if wait := take(a.all, now); wait > 0 {
		return wait, false
	}
	return 0, true
}

// succeeded notes that the right password came from address.
func (a *attempts) succeeded(address string) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.of(address, now)
	t.good = true
	t.limit = rate.NewLimiter(rate.Every(addressEvery), addressBurst)
}

// of returns what is known of the address; a.mu must be held.
func (a *attempts) of(address string, now time.Time) *tries {
	key := network(address)
	t := a.by[key]
	if t == nil {
		if len(a.by) >= maxAddresses {
			a.forget(now)
		}
		t = &tries{limit: rate.NewLimiter(rate.Every(addressEvery), addressBurst)}
		a.by[key] = t
	}
	t.last = now
	return t
}

// forget makes room: addresses go that may try as often again as unknown ones,
// and if that is none, the one that was quiet for longest. One from which the
// right password came is the last to go.
func (a *attempts) forget(now time.Time) {
	var oldest netip.Prefix
	var found *tries
	for key, t := range a.by {
		if !t.good && now.Sub(t.last) > addressBurst*addressEvery {
			delete(a.by, key)
			continue
		}
		if found == nil || found.good && !t.good || found.good == t.good && t.last.Before(found.last) {
			oldest, found = key, t
		}
	}
	if len(a.by) >= maxAddresses {
		delete(a.by, oldest)
	}
}

// take takes one from the limiter, or says how long to wait and takes nothing.
func take(l *rate.Limiter, now time.Time) time.Duration {
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// network is what counts as one address: of IPv6 a /64, since whoever has one
// address there has all of them.
func network(address string) netip.Prefix {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{} // not an IP connection: all such are one
	}
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
