package bus

import (
	"testing"
	"time"
)

// TestAPullGoesOnWhereItsBytesEnd asks for exactly the bytes of the first
// messages: the server then ends the request, and does not say so.
func TestAPullGoesOnWhereItsBytesEnd(t *testing.T) {
	p := startPlain(t, t.TempDir())
	ctx := testContext(t)
	l := openTestLog(t, p.js)
	const events = 400
	mustAppend(t, l, fileEvents("file", events)...)
	read := func(bytes int) (sizes []int) {
		t.Helper()
		expectWelcome(t, l, Position{}, false, 1)
		r, err := newPuller(p.conn, l.apiSubject("CONSUMER.MSG.NEXT.EVENTS_wapt.colmar"), p.conn.NewInbox(), 200, bytes)
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		begun := time.Now()
		for len(sizes) < events {
			d, err := r.next(ctx, nil)
			if err != nil {
				t.Fatalf("after %d events: %v", len(sizes), err)
			}
			if d.msg != nil {
				sizes = append(sizes, d.msg.Size())
			}
		}
		if took := time.Since(begun); took > pullHeartbeat {
			t.Errorf("reading took %v", took)
		}
		return sizes
	}
	bytes := 0
	for _, n := range read(1 << 20)[:50] {
		bytes += n
	}
	read(bytes)
}

func TestAPullAsksForWhatFits(t *testing.T) {
	for _, c := range []struct{ most, bytes, average, want int }{
		{512, 128 << 10, 256, 512},
		{512, 128 << 10, 1024, 128},
		{512, 128 << 10, 13 << 10, 9},
		{512, 1, 13 << 10, pullLeast},
		{4, 1 << 20, 1, 4},
	} {
		p := puller{most: c.most, bytes: c.bytes, average: c.average}
		if got := p.batch(); got != c.want {
			t.Errorf("%+v asks for %d messages", c, got)
		}
	}
}
