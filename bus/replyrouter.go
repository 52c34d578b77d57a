package bus

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// replyRouter hands the messages of many answers, which come to one
// subscription, to who asked. The subject's last token is the request's nonce.
type replyRouter struct {
	prefix []byte

	messages, bytes atomic.Int64 // of answers, since the start

	mu      sync.Mutex
	waiting map[string]chan answer
}

// maxReplyMessages bounds the messages of one answer that nobody has read yet.
// The bytes are bounded by what was asked for.
const maxReplyMessages = 512

// answer is one message of an answer.
type answer struct {
	header nats.Header // nil if it has none
	data   []byte
	buffer *[answerBuffer]byte // what data lies in, or nil
}

// answerBuffer holds what the fetch service sends, and most objects.
const answerBuffer = 64 << 10

var answerBuffers = sync.Pool{New: func() any { return new([answerBuffer]byte) }}

// newAnswer returns one with n bytes of data.
func newAnswer(n int) answer {
	if n > answerBuffer {
		return answer{data: make([]byte, n)}
	}
	b := answerBuffers.Get().(*[answerBuffer]byte)
	return answer{data: b[:n], buffer: b}
}

// free lets the data's memory be used for other answers.
func (a *answer) free() {
	if a.buffer != nil {
		answerBuffers.Put(a.buffer)
	}
	*a = answer{}
}

// newReplyRouter makes the router of a connection with that inbox, which has to
// be wrapped.
func newReplyRouter(inbox string) *replyRouter {
	return &replyRouter{prefix: []byte(inbox + ".reply."), waiting: map[string]chan answer{}}
}

// wrap takes the answers out of what comes over a connection.
func (r *replyRouter) wrap(c net.Conn) net.Conn { return &splitter{Conn: c, answers: r} }

// subscribe has the server send answers.
func (r *replyRouter) subscribe(c *nats.Conn) error {
	_, err := c.Subscribe(string(r.prefix)+"*", func(*nats.Msg) {
		// Never: the splitter took it.
	})
	if err != nil {
		return fmt.Errorf("subscribing to the inbox of answers: %w", err)
	}
	return nil
}

// route hands a message to who waits for it. size is what it took on the wire.
func (r *replyRouter) route(token []byte, a answer, size int) {
	r.messages.Add(1)
	r.bytes.Add(int64(size))
	r.mu.Lock()
	ch := r.waiting[string(token)]
	r.mu.Unlock()
	select {
	case ch <- a: // never, if nobody waits any more
	default:
		a.free() // the reader notices the gap
	}
}

// open returns a new nonce, the subject for its answers, and the channel on
// which they come until close. Who takes one from it frees it.
func (r *replyRouter) open() (n nonce, subject string, answers <-chan answer, closeIt func()) {
	rand.Read(n[:]) // never fails, says its documentation
	token := hex.EncodeToString(n[:])
	ch := make(chan answer, maxReplyMessages)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[token] = ch
	return n, string(r.prefix) + token, ch, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, token)
	}
}
