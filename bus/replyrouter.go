package bus

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// replyRouter hands the messages of many answers, which come to one
// subscription, to who asked. The subject's last token is the request's nonce.
type replyRouter struct {
	prefix string

	mu      sync.Mutex
	waiting map[string]chan *nats.Msg
}

// maxReplyMessages bounds the messages of one answer that nobody has read yet.
// The bytes are bounded by what was asked for.
const maxReplyMessages = 512

func newReplyRouter(l *link) (*replyRouter, error) {
	r := &replyRouter{prefix: l.inbox + ".reply.", waiting: map[string]chan *nats.Msg{}}
	if _, err := l.conn.Subscribe(r.prefix+"*", r.route); err != nil {
		return nil, fmt.Errorf("subscribing to the inbox of answers: %w", err)
	}
	return r, nil
}

func (r *replyRouter) route(m *nats.Msg) {
	r.mu.Lock()
	ch := r.waiting[strings.TrimPrefix(m.Subject, r.prefix)]
	r.mu.Unlock()
	select {
	case ch <- m: // never, if nobody waits any more
	default:
		// The reader notices the gap.
	}
}

// open returns a new nonce, the subject for its answers, and the channel on which they come until close.
func (r *replyRouter) open() (n nonce, subject string, answers <-chan *nats.Msg, closeIt func()) {
	rand.Read(n[:]) // never fails, says its documentation
	token := hex.EncodeToString(n[:])
	ch := make(chan *nats.Msg, maxReplyMessages)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[token] = ch
	return n, r.prefix + token, ch, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, token)
	}
}
