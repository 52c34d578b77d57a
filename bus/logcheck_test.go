package bus

import (
	"errors"
	"testing"
)

func TestCheckTellsWhatBecameOfTheStream(t *testing.T) {
	p := startPlain(t, t.TempDir())
	l := openTestLog(t, p.js)
	ctx := testContext(t)
	check := func(want error) {
		t.Helper()
		if err := l.Check(ctx); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	check(nil)
	mustAppend(t, l, fileEvents("f", 3)...)
	check(nil)

	// Another life of the stream, that got further.
	if err := p.js.DeleteStream(ctx, eventsStream("wapt")); err != nil {
		t.Fatal(err)
	}
	check(ErrLogLost)
	mustAppend(t, openTestLog(t, p.js), fileEvents("other", 5)...)
	check(ErrRolledBack)
	if err := l.Reopen(ctx); err != nil {
		t.Fatal(err)
	}
	check(nil)

	before := l.Generation()
	if err := l.Remake(ctx); err != nil {
		t.Fatal(err)
	}
	check(nil)
	if paths, _ := replayed(t, l); len(paths) != 0 || l.Last() != 0 || l.Generation() == before {
		t.Errorf("paths %q, last %d in a stream that was made anew", paths, l.Last())
	}
	mustAppend(t, l, fileEvent("f"))
	check(nil)
}
