package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	linkDialTimeout = 10 * time.Second
	// The fourth ping without an answer ends the events' connection: a link
	// that was cut shows after 15 to 20 s. What a feed asks for must come
	// faster than that, or the answers to the pings wait behind it.
	eventsPing  = 5 * time.Second
	eventsPings = 3
	// On the bulk connection they do wait, behind up to fetchInFlight, which
	// is more than a minute on a link of 1 Mbit/s. There link.probe finds out.
	bulkPing  = time.Minute
	bulkPings = 3

	firstRetry      = 100 * time.Millisecond
	slowestRetry    = 15 * time.Second
	redialsToSlowed = 8 // doublings from firstRetry to above slowestRetry
)

// link is one connection of a remote to its main, which is made again for ever.
type link struct {
	conn    *nats.Conn
	inbox   string       // prefix of its own inboxes
	changed func()       // called after each change, without the lock
	answers *replyRouter // takes answers out of what comes
	denials denials
	// inFlight are content bytes that were asked for on it, see [Client.way].
	inFlight atomic.Int64

	mu      sync.Mutex
	up      bool
	down    chan struct{} // closed when the present connection ends; closed while there is none
	trouble error
}

// newLink starts connecting and returns at once.
func newLink(o *ClientOptions, name string, ping time.Duration, pings int, changed func()) (*link, error) {
	l := &link{
		inbox:   inboxPrefix + "." + o.Membership.Inbox + "." + name,
		changed: changed,
		down:    make(chan struct{}),
		trouble: errors.New("connecting for the first time"),
	}
	close(l.down)
	tlsConfig, err := o.Membership.tls()
	if err != nil {
		return nil, err
	}
	l.answers = newReplyRouter(l.inbox)
	dialer := &lateDialer{tls: tlsConfig, wrap: l.answers.wrap}
	auth, err := o.Identity.nkeyOption()
	if err != nil {
		return nil, err
	}
	log := o.Log.With().Str("connection", name).Logger()
	l.conn, err = nats.Connect("tls://"+o.Membership.Address,
		auth,
		nats.Secure(tlsConfig),
		nats.TLSHandshakeFirst(),
		nats.Name("waptsync "+o.Membership.Name+" "+name),
		nats.CustomInboxPrefix(l.inbox),
		nats.SetCustomDialer(dialer),
		nats.SkipHostLookup(), // the dialer looks up, and tries IPv6 and IPv4 side by side
		nats.Timeout(linkDialTimeout),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(dialer.delay),
		// A remote that was revoked by mistake, or whose main starts with an
		// older registry, must come back by itself.
		nats.IgnoreAuthErrorAbort(),
		// The address is the one that the administrator chose; what the server
		// thinks its addresses are may not be reachable from here.
		nats.IgnoreDiscoveredServers(),
		// No buffer while disconnected: the caller shall know that nothing is sent.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(ping),
		nats.MaxPingsOutstanding(pings),
		nats.ConnectHandler(func(*nats.Conn) { l.set(nil) }),
		nats.ReconnectHandler(func(*nats.Conn) { l.set(nil) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				err = errors.New("disconnected")
			}
			l.set(err)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil && !errors.Is(err, errNotYet) {
				l.set(err)
			}
		}),
		nats.ClosedHandler(func(*nats.Conn) { l.set(nats.ErrConnectionClosed) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			// The one failure of an attempt that does not come by ReconnectErrHandler.
			if up, _, _ := l.state(); !up {
				l.set(err)
				return
			}
			if l.denials.note(err) {
				return // who asked tells it
			}
			log.Warn().Err(redacted(err)).Msg("the connection to the main reports an error")
		}))
	if err != nil {
		return nil, err
	}
	if err := l.answers.subscribe(l.conn); err != nil {
		l.conn.Close()
		return nil, err
	}
	return l, nil
}

// set records that the connection stands (nil), or why it does not.
func (l *link) set(trouble error) {
	l.mu.Lock()
	was := l.up
	l.up, l.trouble = trouble == nil, trouble
	switch {
	case l.up && !was:
		l.down = make(chan struct{})
	case !l.up && was:
		close(l.down)
	}
	l.mu.Unlock()
	l.changed()
}

func (l *link) state() (up bool, down <-chan struct{}, trouble error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.down, l.trouble
}

// messages are those that came over the link since the start.
func (l *link) messages() uint64 {
	return l.conn.Stats().InMsgs + uint64(l.answers.messages.Load())
}

// received are their bytes.
func (l *link) received() int64 {
	return int64(l.conn.Stats().InBytes) + l.answers.bytes.Load()
}

// probe returns nil if the connection shows life within d: an answer to a
// ping, or any message, behind which the answer may have to wait. Else it has
// the connection made anew.
func (l *link) probe(ctx context.Context, d time.Duration) error {
	before := l.messages()
	pingCtx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := l.conn.FlushWithContext(pingCtx)
	if err == nil || ctx.Err() != nil || l.messages() != before {
		return nil
	}
	l.conn.ForceReconnect() // fails only on a closed connection
	return fmt.Errorf("%w: no sign of life for %s: %w", ErrNotConnected, d, err)
}

// look has a connection show life once that of the events is gone.
func (l *link) look() {
	if up, _, _ := l.state(); up {
		go l.probe(context.Background(), bulkProbe)
	}
}

// retryDelay grows with the attempts, and is spread so that a thousand remotes
// do not come back to a restarted main in the same moment.
func retryDelay(attempts int) time.Duration {
	d := slowestRetry
	if attempts < redialsToSlowed {
		d = min(d, firstRetry<<max(0, attempts-1))
	}
	return d/2 + rand.N(d)
}

var errNotYet = errors.New("connecting in the background")

// lateDialer refuses the first dial: nats.Connect makes it itself and would
// keep its caller waiting, and makes the others in the background. It also does
// the TLS handshake, because of one that failed in the background nats.go tells
// nobody.
type lateDialer struct {
	dialled atomic.Bool
	delayed atomic.Bool
	tls     *tls.Config
	wrap    func(net.Conn) net.Conn // what nats.go gets in place of the connection
}

// SkipTLSHandshake tells nats.go that the connection has had its handshake.
func (d *lateDialer) SkipTLSHandshake() bool { return true }

// delay is retryDelay, but none before the first dial that is one.
func (d *lateDialer) delay(attempts int) time.Duration {
	if !d.delayed.Swap(true) {
		return 0
	}
	return retryDelay(attempts)
}

func (d *lateDialer) Dial(network, address string) (net.Conn, error) {
	if !d.dialled.Swap(true) {
		return nil, errNotYet
	}
	ctx, cancel := context.WithTimeout(context.Background(), linkDialTimeout)
	defer cancel()
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	secured := tls.Client(c, d.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("TLS with the main: %w", explainTLS(err))
	}
	return d.wrap(secured), nil
}
