package subscriber

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"waptsync/objects"
)

func openTestState(t testing.TB) *shareState {
	t.Helper()
	s, err := OpenState(filepath.Join(t.TempDir(), "state.db"))
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	sh, err := s.share("wapt")
	must(t, err)
	return sh
}

func TestTotalsAndContentsFollowTheRecords(t *testing.T) {
	sh := openTestState(t)
	one := record{Seq: 1, Event: fileEvent("one", 100_000)}
	two := record{Seq: 2, Event: fileEvent("two", 200_000)}
	two.Event.Content.Digest, two.Event.Content.Manifest = one.Event.Content.Digest, one.Event.Content.Manifest
	manifest := one.Event.Content.Manifest
	check := func(when string, files, bytes int64, holder string, known bool) {
		t.Helper()
		must(t, sh.view(func(tx *stateTx) error {
			if f, b := tx.totals(); f != files || b != bytes {
				t.Errorf("%s: %d files of %d bytes, want %d of %d", when, f, b, files, bytes)
			}
			if got, _ := tx.holder(one.Event.Content.Digest); got != holder {
				t.Errorf("%s: %q holds the content, want %q", when, got, holder)
			}
			if got := string(tx.manifest(manifest)); (got == "encoding") != known {
				t.Errorf("%s: manifest is %q", when, got)
			}
			return nil
		}))
	}
	update := func(fn func(tx *stateTx) error) { t.Helper(); must(t, sh.update(fn)) }
	update(func(tx *stateTx) error { return tx.putRecord(&one, []byte("encoding")) })
	check("one", 1, 100_000, "one", true)
	update(func(tx *stateTx) error { return tx.putRecord(&two, nil) })
	check("two of the same content", 2, 300_000, "two", true)
	one.Seq = 3
	update(func(tx *stateTx) error { return tx.putRecord(&one, nil) })
	check("the same again", 2, 300_000, "two", true)
	update(func(tx *stateTx) error { return tx.dropRecord("two") })
	check("one dropped", 1, 100_000, "", true)
	other := record{Seq: 4, Event: fileEvent("one", 5)}
	other.Event.Content.Manifest, other.Event.Content.Digest = objects.Sum([]byte("x")), objects.Sum([]byte("y"))
	update(func(tx *stateTx) error { return tx.putRecord(&other, nil) })
	check("replaced", 1, 5, "", false)
	update(func(tx *stateTx) error { return tx.dropRecord("one") })
	check("empty", 0, 0, "", false)
}

func TestWaitingEventsAreDueInOrderOfTimeThenStream(t *testing.T) {
	sh := openTestState(t)
	now := time.Unix(1000, 0)
	put := func(path string, seq uint64, next time.Time) {
		must(t, sh.update(func(tx *stateTx) error {
			return tx.putWaiting(&waiting{Seq: seq, Event: fileEvent(path, 1000), Next: next})
		}))
	}
	put("late", 1, now.Add(time.Minute))
	put("b", 9, time.Time{})
	put("a", 10, time.Time{})
	put("c", 3, now)
	put("c", 4, now.Add(time.Second))
	put("c", 2, now) // older than what waits: not taken
	order := func() (paths []string) {
		must(t, sh.view(func(tx *stateTx) error {
			tx.walkDue(nil, func(_ []byte, w waiting) bool {
				paths = append(paths, w.Event.Path)
				return true
			})
			if int(tx.waitingCount()) != len(paths) {
				t.Errorf("%d are counted of %q", tx.waitingCount(), paths)
			}
			return nil
		}))
		return paths
	}
	if got, want := order(), []string{"b", "a", "c", "late"}; !slices.Equal(got, want) {
		t.Errorf("due are %q, want %q", got, want)
	}
	must(t, sh.update(func(tx *stateTx) error {
		_, err1 := tx.settleWaiting("b", 9)
		_, err2 := tx.settleWaiting("c", 3) // older than what waits
		_, err3 := tx.settleWaiting("nobody", 9)
		return errors.Join(err1, err2, err3)
	}))
	if got, want := order(), []string{"a", "c", "late"}; !slices.Equal(got, want) {
		t.Errorf("due are %q, want %q", got, want)
	}
	must(t, sh.update(func(tx *stateTx) error { return tx.dropAllWaiting() }))
	if got := order(); len(got) > 0 {
		t.Errorf("due are %q", got)
	}
}

func TestSharesOfOneStateKeepApart(t *testing.T) {
	s, err := OpenState(filepath.Join(t.TempDir(), "state.db"))
	must(t, err)
	defer s.Close()
	a, err := s.share("wapt")
	must(t, err)
	b, err := s.share("wapt-host")
	must(t, err)
	r := record{Seq: 1, Event: fileEvent("f", 10)}
	must(t, a.update(func(tx *stateTx) error { return tx.putRecord(&r, nil) }))
	must(t, b.view(func(tx *stateTx) error {
		if _, ok := tx.record("f"); ok {
			t.Error("a record of one share is another's")
		}
		return nil
	}))
}

func TestDamagedRecordIsNone(t *testing.T) {
	sh := openTestState(t)
	must(t, sh.update(func(tx *stateTx) error { return tx.files().Put([]byte("f"), []byte("rubbish")) }))
	must(t, sh.update(func(tx *stateTx) error {
		if _, ok := tx.record("f"); ok {
			t.Error("rubbish is taken for a record")
		}
		r := record{Seq: 1, Event: fileEvent("f", 10)}
		return tx.putRecord(&r, nil)
	}))
}
