package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"waptsync/objects"
)

const (
	// windowIDs are asked for at once: below the server's limit of 1,024, and
	// one message each, below maxReplyMessages.
	windowIDs = 256
	// windowBytes ends one answer; a single object more may come.
	windowBytes = 2 << 20
)

// Window reads objects from the objects stream, calls sink for each found one
// with bytes that hash to its ID, and returns the others, also with an error.
// data is valid during the call only. It may be called concurrently; the
// client bounds what is in flight.
func (c *Client) Window(ctx context.Context, share string, ids []objects.ID, sink func(id objects.ID, data []byte) error) ([]objects.ID, error) {
	var missing []objects.ID
	for len(ids) > 0 {
		n := min(len(ids), windowIDs)
		rest, err := c.window(ctx, share, ids[:n], sink)
		missing = append(missing, rest...)
		ids = ids[n:]
		if err != nil {
			return append(missing, ids...), fmt.Errorf("reading the window of %s: %w", share, err)
		}
	}
	return missing, nil
}

// window asks until all of ids came or the server says that it has no more.
func (c *Client) window(ctx context.Context, share string, ids []objects.ID, sink func(objects.ID, []byte) error) (missing []objects.ID, err error) {
	wanted := make(map[objects.ID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	left := func() (rest []objects.ID) {
		for _, id := range ids {
			if wanted[id] {
				rest = append(rest, id)
				delete(wanted, id)
			}
		}
		return rest
	}
	const weight = windowBytes + MaxWindowObject
	if err := c.inFlight.Acquire(ctx, weight); err != nil {
		return left(), err
	}
	defer c.inFlight.Release(weight)
	for more := true; more && len(wanted) > 0; {
		before := len(wanted)
		more, err = c.windowOnce(ctx, share, ids, wanted, sink)
		if errors.Is(err, nats.ErrNoResponders) {
			return left(), nil // the main keeps no window
		}
		if err != nil {
			return left(), err
		}
		if len(wanted) == before {
			break // what it has under these subjects is not what they name
		}
	}
	return left(), nil
}

// windowOnce asks for those of ids that are still wanted, and takes out of
// wanted what came. more says that the answer ended by its size.
func (c *Client) windowOnce(ctx context.Context, share string, ids []objects.ID, wanted map[objects.ID]bool, sink func(objects.ID, []byte) error) (more bool, err error) {
	subjects := make([]string, 0, len(wanted))
	for _, id := range ids {
		if wanted[id] {
			subjects = append(subjects, objectSubject(share, id))
		}
	}
	request, err := json.Marshal(struct {
		MultiLast []string `json:"multi_last"`
		MaxBytes  int      `json:"max_bytes"`
	}{subjects, windowBytes})
	if err != nil {
		return false, err
	}
	err = c.exchange(ctx, c.bulk, share, apiPrefix+".DIRECT.GET."+objectsStream(share), func(nonce) []byte { return request }, func(m *answer) (bool, error) {
		switch status := m.header.Get("Status"); status {
		case "":
			// The bytes say themselves which object they are. What is damaged
			// is none of those wanted, so it is missing.
			if id := objects.Sum(m.data); wanted[id] {
				delete(wanted, id)
				return false, sink(id, m.data)
			}
			return false, nil
		case "204":
			pending, _ := strconv.Atoi(m.header.Get("Nats-Num-Pending"))
			more = pending > 0
			return true, nil
		case "404", "413":
			return true, nil
		default:
			return true, fmt.Errorf("the main answers: %s %s", status, m.header.Get("Description"))
		}
	})
	return more, err
}
