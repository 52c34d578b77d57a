package bus

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	dialTries = 5
	dialPause = 100 * time.Millisecond
)

// dial is nats.Connect on a busy host. Where two seconds go by between a client's
// CONNECT and its PING, the server's own first PING comes before the answer
// (nats-server 2.15, setFirstPingTimer), which nats.go 1.55 takes for a fault of the
// protocol. It is for connections that do not go on trying by themselves.
func dial(url string, options ...nats.Option) (*nats.Conn, error) {
	for try := 1; ; try++ {
		nc, err := nats.Connect(url, options...)
		if err == nil || try == dialTries || !pingedFirst(err) {
			return nc, err
		}
		time.Sleep(dialPause)
	}
}

// pingedFirst says whether a connection failed for a PING. nats.go has no type for it.
func pingedFirst(err error) bool {
	return strings.HasPrefix(err.Error(), "nats: expected 'PONG', got 'PING")
}
