package bus

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// positionAt is where a remote stands that has the event at seq, published in l's present generation.
func positionAt(l *Log, seq uint64) Position {
	return Position{Generation: l.Generation(), Seq: seq, MainTime: time.Now()}
}

func TestGenerationsOfAStore(t *testing.T) {
	dir := t.TempDir()
	p := startPlain(t, dir)
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvents("f", 10)...)
	at10 := positionAt(l, 10)
	p.stop()
	copyOfStore := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copyOfStore, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}

	p = startPlain(t, dir)
	l = openTestLog(t, p.js)
	expectWelcome(t, l, at10, true, 11)
	mustAppend(t, l, fileEvents("g", 10)...)
	at20 := positionAt(l, 20)
	expectWelcome(t, l, at20, true, 21)
	expectWelcome(t, l, at10, true, 11)
	beyond := at10
	beyond.Seq = 11
	expectWelcome(t, l, beyond, false, 1)
	p.stop()

	t.Run("rolled back", func(t *testing.T) {
		p := startPlain(t, copyOfStore)
		l := openTestLog(t, p.js)
		expectWelcome(t, l, at10, true, 11)
		expectWelcome(t, l, at20, false, 1)
		mustAppend(t, l, fileEvents("h", 30)...)
		expectWelcome(t, l, at20, false, 1)
		expectWelcome(t, l, at10, true, 11)
	})
	t.Run("made again", func(t *testing.T) {
		p := startPlain(t, t.TempDir())
		l := openTestLog(t, p.js)
		mustAppend(t, l, fileEvents("h", 30)...)
		expectWelcome(t, l, at20, false, 1)
	})
}

func expectWelcome(t *testing.T, l *Log, p Position, resume bool, next uint64) {
	t.Helper()
	w, err := l.Attach(testContext(t), "colmar", p)
	if err != nil {
		t.Fatal(err)
	}
	if w.Resume != resume || w.Next != next || (w.Reason == "") != resume || w.Generation != l.Generation() || w.Last != l.Last() {
		t.Errorf("position %+v: welcome %+v, want resume %v at %d", p, w, resume, next)
	}
	c, err := l.js.Consumer(testContext(t), l.stream, "colmar")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Delivered.Stream; got != next-1 {
		t.Errorf("the consumer stands behind %d, want %d", got, next-1)
	}
}

func TestAttachJudgesTheAgeOfAPosition(t *testing.T) {
	l := openTestLog(t, startPlain(t, t.TempDir()).js)
	mustAppend(t, l, fileEvents("f", 3)...)
	for name, c := range map[string]struct {
		change func(p *Position)
		resume bool
	}{
		"now":                    {func(*Position) {}, true},
		"away 80 days":           {func(p *Position) { p.MainTime = time.Now().Add(-80 * 24 * time.Hour) }, true},
		"away 82 days":           {func(p *Position) { p.MainTime = time.Now().Add(-82 * 24 * time.Hour) }, false},
		"no time":                {func(p *Position) { p.MainTime = time.Time{} }, false},
		"main's clock set back":  {func(p *Position) { p.MainTime = time.Now().Add(2 * time.Hour) }, false},
		"behind the last":        {func(p *Position) { p.Seq = 4 }, false},
		"before its generation":  {func(p *Position) { p.Seq = 0 }, false},
		"unknown generation":     {func(p *Position) { p.Generation = testGeneration }, false},
		"none":                   {func(p *Position) { *p = Position{} }, false},
		"none, but with a place": {func(p *Position) { *p = Position{Seq: 3, MainTime: time.Now()} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := positionAt(l, 3)
			c.change(&p)
			next := uint64(1)
			if c.resume {
				next = 4
			}
			expectWelcome(t, l, p, c.resume, next)
		})
	}
}

func TestAttachTwiceIsTheSameAsOnce(t *testing.T) {
	p := startPlain(t, t.TempDir())
	ctx := testContext(t)
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvents("f", 5)...)
	for range 3 {
		expectWelcome(t, l, positionAt(l, 2), true, 3)
	}
	if n, err := l.Pending(ctx, "colmar"); n != 3 || err != nil {
		t.Errorf("pending %d, %v, want 3", n, err)
	}
	// At the end: nothing pending, and the next event comes.
	expectWelcome(t, l, positionAt(l, 5), true, 6)
	if n, err := l.Pending(ctx, "colmar"); n != 0 || err != nil {
		t.Errorf("pending %d, %v, want 0", n, err)
	}
	mustAppend(t, l, fileEvent("g"))
	waitFor(t, "the consumer counts the next event", func() bool {
		n, err := l.Pending(ctx, "colmar")
		return n == 1 && err == nil
	})
	for range 2 {
		if err := l.Detach(ctx, "colmar"); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.Pending(ctx, "colmar"); n != -1 || err != nil {
		t.Errorf("pending %d, %v, want -1", n, err)
	}
}

func TestAttachTakesAStaleRequestAway(t *testing.T) {
	p := startPlain(t, t.TempDir())
	ctx := testContext(t)
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvent("a"))
	expectWelcome(t, l, positionAt(l, 1), true, 2)
	stale, err := newPuller(p.conn, l.apiSubject("CONSUMER.MSG.NEXT.EVENTS_wapt.colmar"), "stale", 10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer stale.close()
	if _, _, err := stale.poll(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request waits", func() bool {
		c, err := p.js.Consumer(ctx, "EVENTS_wapt", "colmar")
		return err == nil && c.CachedInfo().NumWaiting == 1
	})
	expectWelcome(t, l, positionAt(l, 1), true, 2)
	if _, err := stale.next(ctx, nil); !errors.Is(err, errPullLost) {
		t.Errorf("the stale request: %v, want it to be lost", err)
	}
	fresh, err := newPuller(p.conn, l.apiSubject("CONSUMER.MSG.NEXT.EVENTS_wapt.colmar"), "fresh", 10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.close()
	mustAppend(t, l, fileEvent("b"))
	if d, err := fresh.next(ctx, nil); err != nil || d.streamSeq != 2 {
		t.Errorf("got event %d, %v, want 2", d.streamSeq, err)
	}
}

func TestAConsumerOfOtherMakeIsReplaced(t *testing.T) {
	p := startPlain(t, t.TempDir())
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvents("f", 5)...)
	_, err := p.js.CreateConsumer(testContext(t), "EVENTS_wapt", jetstream.ConsumerConfig{
		Durable: "colmar", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	expectWelcome(t, l, positionAt(l, 2), true, 3)
}
