package bus

import (
	"errors"
	"slices"
	"testing"
	"time"
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
