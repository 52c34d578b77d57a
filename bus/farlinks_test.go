package bus

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// To a main that is far away there are further connections for bulk bytes, which
// are used and may break.
func TestFarAwayFurtherConnectionsFillTheLine(t *testing.T) {
	const part = 256 << 10
	b := startBus(t)
	content := randomBytes(1 << 20)
	whole := b.files.add(t, "wapt/big.wapt", content)
	fetchAll := func(c *Client) {
		t.Helper()
		var all sync.WaitGroup
		for at := int64(0); at < whole.Length; at += part {
			all.Go(func() {
				it := whole
				it.Offset, it.Length = at, part
				got, errs := collect(t, c, []Item{it})
				if errs[0] != nil || !bytes.Equal(got[0], content[at:at+part]) {
					t.Errorf("what begins at %d: %v", at, errs[0])
				}
			})
		}
		all.Wait()
	}
	links := func(c *Client) []*link {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.far
	}

	near := b.remote(t, "near")
	fetchAll(near)
	time.Sleep(100 * time.Millisecond)
	if len(links(near)) > 0 {
		t.Error("a main that is near has further connections, too")
	}

	o := b.member(t, "far")
	w := newTestWire(t, b.Addr(), 0)
	w.late = farAway/2 + 10*time.Millisecond
	o.Membership.Address = w.address()
	far := connectClient(t, o)
	fetchAll(far)
	waitFor(t, "the further connections stand", func() bool {
		for _, l := range links(far) {
			if up, _, _ := l.state(); !up {
				return false
			}
		}
		return len(links(far)) == farLinks
	})
	before := far.Received() - far.bulk.received() - far.events.received()
	fetchAll(far)
	if n := far.Received() - far.bulk.received() - far.events.received() - before; n < part {
		t.Errorf("%d bytes came by the further connections", n)
	}

	links(far)[0].conn.Close() // for good
	fetchAll(far)
}
