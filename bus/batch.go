package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of an atomic batch (ADR-50). The server stores them and sends them
// along with each event, so the name is as short as it can be: no other batch of
// the stream may have it at the same time, and there is one at a time.
const (
	batchIDHeader     = "Nats-Batch-Id"
	batchSeqHeader    = "Nats-Batch-Sequence"
	batchCommitHeader = "Nats-Batch-Commit"
	batchNameLength   = 5 // 25 random bits: one that a killed main left stays apart
)

// batchAnswer is what the server says to a message of a batch that asks.
type batchAnswer struct {
	Error  *jetstream.APIError `json:"error"`
	Stream string              `json:"stream"`
	Seq    uint64              `json:"seq"`
	Batch  string              `json:"batch"`
	Count  int                 `json:"count"`
}

// publishBatch stores all messages or none, and returns the last one's sequence.
// There are two at least.
func publishBatch(ctx context.Context, conn *nats.Conn, messages []*nats.Msg) (uint64, error) {
	name := rand.Text()[:batchNameLength]
	last := len(messages) - 1
	for i, m := range messages {
		m.Header.Set(batchIDHeader, name)
		m.Header.Set(batchSeqHeader, strconv.Itoa(i+1))
		switch i {
		case 0:
			// The answer to the first says early that there is no stream; the
			// others need none, because a batch is bounded.
			if _, err := askBatch(ctx, conn, m); err != nil {
				return 0, fmt.Errorf("beginning a batch: %w", err)
			}
		case last:
			m.Header.Set(batchCommitHeader, "1")
			a, err := askBatch(ctx, conn, m)
			switch {
			case err != nil:
				return 0, fmt.Errorf("ending a batch: %w", err)
			case a.Stream == "" || a.Batch != name || a.Count != len(messages):
				return 0, fmt.Errorf("ending a batch: the server confirms %d events of batch %q", a.Count, a.Batch)
			}
			return a.Seq, nil
		default:
			if err := conn.PublishMsg(m); err != nil {
				return 0, fmt.Errorf("publishing in a batch: %w", err)
			}
		}
	}
	return 0, errors.New("a batch of less than two messages")
}

func askBatch(ctx context.Context, conn *nats.Conn, m *nats.Msg) (a batchAnswer, err error) {
	r, err := conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return a, err
	}
	if len(r.Data) == 0 { // of a message within the batch
		return a, nil
	}
	if err := json.Unmarshal(r.Data, &a); err != nil {
		return a, fmt.Errorf("reading the server's answer: %w", err)
	}
	if a.Error != nil {
		return a, a.Error
	}
	return a, nil
}
