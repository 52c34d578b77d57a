package bus

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestAppendKeepsTheNewestEventOfEachPath(t *testing.T) {
	dir := t.TempDir()
	p := startPlain(t, dir)
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvent("a"), fileEvent("b"), fileEvent("c"))
	// Twice the same path in one batch, too.
	last := mustAppend(t, l, fileEvent("a"), &Event{Kind: KindDeleted, Path: "b"}, fileEvent("a"))
	if last != 6 || l.Last() != 6 {
		t.Errorf("got last %d and %d, want 6", last, l.Last())
	}
	if seq := mustAppend(t, l, &Event{Kind: KindMarker}); seq != 7 {
		t.Errorf("marker at %d, want 7", seq)
	}
	first := l.Generation()
	p.stop()

	p = startPlain(t, dir)
	l = openTestLog(t, p.js)
	var kinds []Kind
	err := l.Replay(testContext(t), func(seq uint64, e *Event) error {
		kinds = append(kinds, e.Kind)
		if e.Generation != first {
			t.Errorf("event %d is of generation %s, want %s", seq, e.Generation, first)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	paths, seqs := replayed(t, l)
	if want := []string{"c", "b", "a", ""}; !slices.Equal(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
	if want := []uint64{3, 5, 6, 7}; !slices.Equal(seqs, want) {
		t.Errorf("sequences %d, want %d", seqs, want)
	}
	if want := []Kind{KindFile, KindDeleted, KindFile, KindMarker}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %d, want %d", kinds, want)
	}
	if l.Generation() == first || l.Last() != 7 {
		t.Errorf("generation %s after %s, last %d", l.Generation(), first, l.Last())
	}
}

func TestAppendTakesMoreThanOneBatch(t *testing.T) {
	l := openTestLog(t, startPlain(t, t.TempDir()).js)
	if last := mustAppend(t, l, fileEvents("f", 2*batchMessages+1)...); last != 2*batchMessages+1 {
		t.Errorf("last %d", last)
	}
	if last, err := l.Append(testContext(t), nil); err != nil || last != 2*batchMessages+1 {
		t.Errorf("appending nothing: %d, %v", last, err)
	}
	paths, _ := replayed(t, l)
	if len(paths) != 2*batchMessages+1 || paths[len(paths)-1] != "f2000" {
		t.Errorf("%d paths, last %q", len(paths), paths[len(paths)-1])
	}
}

func TestAppendRefusesAnInvalidEvent(t *testing.T) {
	l := openTestLog(t, startPlain(t, t.TempDir()).js)
	_, err := l.Append(testContext(t), []*Event{fileEvent("a"), fileEvent("../a")})
	var ee *EventError
	if !errors.As(err, &ee) {
		t.Errorf("got %v, want an *EventError", err)
	}
}

func TestTombstonesLiveForTheirTime(t *testing.T) {
	p := startPlain(t, t.TempDir())
	l, err := OpenLog(testContext(t), p.js, LogOptions{Share: "wapt", TombstoneTTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, fileEvent("kept"), &Event{Kind: KindDeleted, Path: "in a batch"})
	mustAppend(t, l, &Event{Kind: KindDeleted, Path: "alone"})
	if paths, _ := replayed(t, l); len(paths) != 3 {
		t.Fatalf("paths %q", paths)
	}
	waitFor(t, "both tombstones are gone", func() bool {
		paths, _ := replayed(t, l)
		return slices.Equal(paths, []string{"kept"})
	})
	if l.Last() != 3 {
		t.Errorf("last %d, want 3", l.Last())
	}
}

func TestReplayPassesOverWhatIsNoEvent(t *testing.T) {
	p := startPlain(t, t.TempDir())
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvent("a"))
	if _, err := p.js.Publish(testContext(t), "ev.wapt.foreign", []byte("no event")); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, fileEvent("b"))
	if paths, _ := replayed(t, l); !slices.Equal(paths, []string{"a", "b"}) {
		t.Errorf("paths %q", paths)
	}
}

func TestReplayEndsWithTheErrorOfItsCaller(t *testing.T) {
	l := openTestLog(t, startPlain(t, t.TempDir()).js)
	mustAppend(t, l, fileEvents("f", 10)...)
	boom := errors.New("boom")
	n := 0
	err := l.Replay(testContext(t), func(uint64, *Event) error { n++; return boom })
	if !errors.Is(err, boom) || n != 1 {
		t.Errorf("got %v after %d calls", err, n)
	}
}

func TestAStreamDeletedUnderTheLogIsLost(t *testing.T) {
	p := startPlain(t, t.TempDir())
	ctx := testContext(t)
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvents("f", 3)...)
	if err := p.js.DeleteStream(ctx, "EVENTS_wapt"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(ctx, fileEvents("g", 1)); !errors.Is(err, ErrLogLost) {
		t.Errorf("one event: got %v, want ErrLogLost", err)
	}
	if _, err := l.Append(ctx, fileEvents("g", 2)); !errors.Is(err, ErrLogLost) {
		t.Errorf("a batch: got %v, want ErrLogLost", err)
	}
	if _, err := l.Attach(ctx, "colmar", Position{}); !errors.Is(err, ErrLogLost) {
		t.Errorf("attach: got %v, want ErrLogLost", err)
	}
	if _, err := l.Pending(ctx, "colmar"); !errors.Is(err, ErrLogLost) {
		t.Errorf("pending: got %v, want ErrLogLost", err)
	}
	before := l.Generation()
	if err := l.Reopen(ctx); err != nil {
		t.Fatal(err)
	}
	if l.Generation() == before {
		t.Error("the generation is still the old one")
	}
	if seq := mustAppend(t, l, fileEvent("a")); seq != 1 {
		t.Errorf("appended at %d, want 1", seq)
	}
}

func TestAStreamRemadeUnderTheLogIsRolledBack(t *testing.T) {
	p := startPlain(t, t.TempDir())
	ctx := testContext(t)
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvents("f", 10)...)
	s, err := p.js.Stream(ctx, "EVENTS_wapt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Attach(ctx, "colmar", positionAt(l, 10)); err != nil {
		t.Fatal(err)
	}
	if err := p.js.DeleteStream(ctx, "EVENTS_wapt"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.js.CreateStream(ctx, s.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(ctx, fileEvents("g", 3)); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("got %v, want ErrRolledBack", err)
	}
	old := positionAt(l, 10)
	if err := l.Reopen(ctx); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, fileEvents("h", 20)...)
	if w, err := l.Attach(ctx, "colmar", old); err != nil || w.Resume {
		t.Errorf("got %+v, %v, want a reconcile", w, err)
	}
}

func TestReopenTakesTheConsumersAway(t *testing.T) {
	p := startPlain(t, t.TempDir())
	ctx := testContext(t)
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvents("f", 3)...)
	if _, err := l.Attach(ctx, "colmar", Position{}); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Pending(ctx, "colmar"); n != -1 || err != nil {
		t.Errorf("pending %d, %v, want none", n, err)
	}
	// Nothing was lost, so the position still fits.
	if w, err := l.Attach(ctx, "colmar", positionAt(l, 3)); err != nil || w.Resume {
		t.Errorf("a position of the new generation before its beginning: %+v, %v", w, err)
	}
}

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
	if n, err := l.Pending(ctx, "colmar"); n != 1 || err != nil {
		t.Errorf("pending %d, %v, want 1", n, err)
	}
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

func TestHistoryEndsOlderGenerationsWhereEventsWereLost(t *testing.T) {
	var h history
	ids := make([]Position, 0, maxGenerations+2)
	for i := range maxGenerations + 2 {
		g := testGeneration
		g[0] = byte(i)
		h = h.begin(g, uint64(10*i+1))
		ids = append(ids, Position{Generation: g, Seq: uint64(10*i + 1), MainTime: time.Now()})
	}
	if len(h) != maxGenerations {
		t.Fatalf("%d generations", len(h))
	}
	again, err := parseHistory(h.String())
	if err != nil || !slices.Equal(again, h) {
		t.Fatalf("%s came back as %s, %v", h, again, err)
	}
	misfit := func(h history, p Position) bool {
		return h.misfit(p, 10_000, time.Now(), defaultTombstoneTTL) != ""
	}
	for i, p := range ids {
		if got, want := misfit(h, p), i < 2; got != want {
			t.Errorf("generation %d: misfit %v, want %v", i, got, want)
		}
	}
	// Only the events up to 299 came back.
	h = h.begin(testGeneration, 300)
	for i, p := range ids {
		if got, want := misfit(h, p), i < 3 || i >= 30; got != want {
			t.Errorf("after the loss, generation %d: misfit %v, want %v", i, got, want)
		}
	}
	for _, s := range []string{"x", "x:1", testGeneration.String(), testGeneration.String() + ":-1", ",", h.String() + ","} {
		if _, err := parseHistory(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}
