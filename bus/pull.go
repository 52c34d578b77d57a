package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// How a puller asks.
const (
	pullExpires   = 30 * time.Second // the reply's way through the account import ends after 2 min
	pullHeartbeat = 5 * time.Second
	// pullSilence without a heartbeat means that nobody holds our requests.
	pullSilence = 2*pullHeartbeat + 2*time.Second

	pullAverage = 256 // bytes of a message, before any came
	pullLine    = 16  // bytes of a message's protocol line beside what Size counts
	pullMemory  = 16  // messages that make the average
	pullLeast   = 8   // messages to ask for at once, however large they are
)

var errPullLost = errors.New("pull consumer lost")

// pulled is one message of a pull consumer. msg is nil at an idle heartbeat.
type pulled struct {
	msg         *nats.Msg
	streamSeq   uint64
	consumerSeq uint64
	time        time.Time
	pending     uint64
}

// puller reads a pull consumer in order and notices every loss. It asks for
// more before what it asked for is used up, so the server always has a request
// at hand and an event takes one way over the network. It is for one goroutine.
//
// All requests are answered to one inbox. A consumer gives its waiting
// requests one message in turn, so only their sum is counted: credit. The sum
// may be wrong for a while, but then either heartbeats stop, or the channel
// overflows and the consumer's own count of deliveries shows a gap.
//
// A request bounds the messages and not their bytes: nats-server 2.15.2 ends one
// whose bytes are used up exactly without a word (consumer.go, nextWaiting), and
// the credit would be wrong until the heartbeats stop, at the same message again
// and again. So the messages that fit are reckoned from those that came.
type puller struct {
	conn    *nats.Conn
	sub     *nats.Subscription
	msgs    chan *nats.Msg
	subject string
	own     string // part of the reply subject of all that our consumer delivers
	most    int    // messages to ask for at once
	bytes   int    // to ask for at once, about
	average int    // bytes of a message, of late

	credit int       // messages that the server may still send for open requests
	asked  time.Time // when the newest request was sent
	heard  time.Time // when the server last showed life, or we began to wait
	timer  *time.Timer

	streamSeq   uint64
	consumerSeq uint64
}

// newPuller asks for at most most messages at once, and for about bytes.
func newPuller(conn *nats.Conn, subject, inbox string, most, bytes int) (*puller, error) {
	p := &puller{
		conn:    conn,
		subject: subject,
		own:     "." + consumerOf(subject) + ".",
		most:    most,
		bytes:   bytes,
		average: pullAverage,
		// At most three requests are open: two when half of one is used, and
		// one more that renews them before they expire.
		msgs:  make(chan *nats.Msg, 3*most+64),
		timer: time.NewTimer(pullSilence),
	}
	var err error
	if p.sub, err = conn.ChanSubscribe(inbox, p.msgs); err != nil {
		return nil, fmt.Errorf("subscribing to an inbox for %s: %w", subject, err)
	}
	p.sub.SetPendingLimits(-1, -1) // the channel is the bound
	return p, nil
}

// consumerOf is the stream and the consumer that a request for messages names.
func consumerOf(subject string) string {
	tokens := strings.Split(subject, ".")
	return strings.Join(tokens[max(0, len(tokens)-2):], ".")
}

func (p *puller) close() {
	p.sub.Unsubscribe() // fails only when the connection is closed, and then it is gone too
	p.timer.Stop()
}

// next waits for a message or an idle heartbeat. down, if not nil, is closed
// when the connection breaks. Its errors are ctx's, or wrap errPullLost.
func (p *puller) next(ctx context.Context, down <-chan struct{}) (pulled, error) {
	p.heard = time.Now() // while nobody waited, nobody asked: silence was no sign
	for {
		d, ok, err := p.poll()
		if ok || err != nil {
			return d, err
		}
		p.timer.Reset(time.Until(p.heard.Add(pullSilence)))
		renew := time.NewTimer(time.Until(p.asked.Add(pullExpires / 2)))
		select {
		case m := <-p.msgs:
			d, ok, err = p.judge(m)
		case <-renew.C:
		case <-down:
			err = fmt.Errorf("%w: the connection broke", errPullLost)
		case <-ctx.Done():
			err = ctx.Err()
		case <-p.timer.C:
			err = fmt.Errorf("%w: no heartbeat for %s", errPullLost, pullSilence)
		}
		renew.Stop()
		if ok || err != nil {
			return d, err
		}
	}
}

// poll returns a message if one is there, and asks for more where it is time to.
func (p *puller) poll() (pulled, bool, error) {
	for {
		if err := p.ask(); err != nil {
			return pulled{}, false, err
		}
		select {
		case m := <-p.msgs:
			if d, ok, err := p.judge(m); ok || err != nil {
				return d, ok, err
			}
		default:
			return pulled{}, false, nil
		}
	}
}

func (p *puller) ask() error {
	now, batch := time.Now(), p.batch()
	if p.credit > batch/2 && now.Sub(p.asked) < pullExpires/2 {
		return nil
	}
	request := fmt.Appendf(nil, `{"batch":%d,"expires":%d,"idle_heartbeat":%d}`, batch, pullExpires.Nanoseconds(), pullHeartbeat.Nanoseconds())
	if err := p.conn.PublishMsg(&nats.Msg{Subject: p.subject, Reply: p.sub.Subject, Data: request}); err != nil {
		return fmt.Errorf("%w: asking for messages: %w", errPullLost, err)
	}
	p.credit += batch
	p.asked = now
	return nil
}

// batch is how many messages to ask for.
func (p *puller) batch() int { return max(min(p.bytes/p.average, p.most), min(pullLeast, p.most)) }

// judge takes one message of the inbox; ok says that it is for the caller.
func (p *puller) judge(m *nats.Msg) (d pulled, ok bool, err error) {
	p.heard = time.Now()
	if len(m.Data) == 0 {
		return p.judgeStatus(m)
	}
	// Another remote that came to know the inbox may have its own consumer
	// deliver here; that concerns us in no way.
	if !strings.Contains(m.Reply, p.own) {
		return d, false, nil
	}
	p.credit--
	size := m.Size() + pullLine
	p.average = max(1, p.average+(size-p.average)/pullMemory)
	d, err = parseAckReply(m)
	if err != nil {
		return d, false, fmt.Errorf("%w: %w", errPullLost, err)
	}
	if d.consumerSeq != p.consumerSeq+1 {
		return d, false, fmt.Errorf("%w: delivery %d came after %d", errPullLost, d.consumerSeq, p.consumerSeq)
	}
	p.consumerSeq = d.consumerSeq
	if d.streamSeq <= p.streamSeq {
		return d, false, nil // delivered again because it was not acknowledged within AckWait
	}
	p.streamSeq = d.streamSeq
	return d, true, nil
}

func (p *puller) judgeStatus(m *nats.Msg) (d pulled, ok bool, err error) {
	status, text := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case status == "100":
		// More delivered than came here: to a request of a connection that is gone.
		if n, err := strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64); err == nil && n != p.consumerSeq {
			return d, false, fmt.Errorf("%w: the consumer delivered %d messages, %d came", errPullLost, n, p.consumerSeq)
		}
		return d, true, nil
	case status == "404", status == "408":
		unused, _ := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
		p.credit = max(0, p.credit-unused)
		return d, false, nil
	default:
		return d, false, fmt.Errorf("%w: %s %s", errPullLost, status, text)
	}
}

// parseAckReply reads what a delivered message's reply subject says:
// $JS.ACK[.domain.account].stream.consumer.deliveries.streamSeq.consumerSeq.time.pending[.token]
func parseAckReply(m *nats.Msg) (pulled, error) {
	var tokens [12]string
	n := 0
	rest, more := m.Reply, true
	for more && n < len(tokens) {
		tokens[n], rest, more = strings.Cut(rest, ".")
		n++
	}
	at := 5
	if n >= 11 {
		at = 7 // ADR-15: the longer form
	}
	if n < at+4 || tokens[0] != "$JS" || tokens[1] != "ACK" {
		return pulled{}, fmt.Errorf("reply subject %q is no acknowledgement", m.Reply)
	}
	d := pulled{msg: m}
	var nanos uint64
	for i, field := range []*uint64{&d.streamSeq, &d.consumerSeq, &nanos, &d.pending} {
		var err error
		if *field, err = strconv.ParseUint(tokens[at+i], 10, 64); err != nil {
			return pulled{}, fmt.Errorf("reply subject %q: %w", m.Reply, err)
		}
	}
	d.time = time.Unix(0, int64(nanos))
	return d, nil
}
