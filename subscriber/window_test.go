package subscriber

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/objects"
)

var testGeneration = uuid.UUID{7}

func delivery(seq uint64, kind bus.Kind, path string) *bus.Delivery {
	d := &bus.Delivery{Seq: seq, Event: bus.Event{Kind: kind, Path: path, Generation: testGeneration}}
	if kind == bus.KindFile {
		d.Event.Content = bus.Content{Size: 1, Objects: 1, Digest: objects.Sum([]byte(sprint("%s %d", path, seq)))}
	}
	return d
}

// admitReady admits a delivery and says that it is staged.
func admitReady(w *window, d *bus.Delivery) *item {
	it := w.admit(d)
	w.offer(it)
	return it
}

func testRule(t testing.TB) *index.Rule {
	t.Helper()
	rule, err := index.NewRule(index.DefaultPatterns)
	must(t, err)
	return rule
}

// takeAll takes what may go when no index could be read.
func takeAll(w *window) []op {
	ops, _ := w.take(newCatalog())
	return ops
}

func paths(ops []op) (all []string) {
	for _, o := range ops {
		all = append(all, o.event.Path)
	}
	return all
}

func TestPlannerOrdersFilesIndexesAndDeletions(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(w *window)
		takes []string
	}{
		{"all is ready", func(w *window) {
			admitReady(w, delivery(1, bus.KindDeleted, "old"))
			admitReady(w, delivery(2, bus.KindFile, "Packages"))
			admitReady(w, delivery(3, bus.KindFile, "new"))
		}, []string{"new", "Packages", "old"}},
		{"an index waits for a file before it", func(w *window) {
			w.admit(delivery(1, bus.KindFile, "slow"))
			admitReady(w, delivery(2, bus.KindFile, "Packages"))
		}, nil},
		{"not for one behind it", func(w *window) {
			admitReady(w, delivery(1, bus.KindFile, "Packages"))
			w.admit(delivery(2, bus.KindFile, "slow"))
		}, []string{"Packages"}},
		{"for one that was before it first", func(w *window) {
			w.admit(delivery(1, bus.KindFile, "slow"))
			admitReady(w, delivery(2, bus.KindFile, "Packages"))
			w.admit(delivery(3, bus.KindFile, "slow"))
		}, nil},
		{"a deletion waits for an index before it", func(w *window) {
			w.admit(delivery(1, bus.KindFile, "Packages"))
			admitReady(w, delivery(2, bus.KindDeleted, "old"))
		}, nil},
		{"and for one behind it", func(w *window) {
			admitReady(w, delivery(1, bus.KindDeleted, "old"))
			w.admit(delivery(2, bus.KindFile, "Packages"))
		}, nil},
		{"and for a file before it", func(w *window) {
			w.admit(delivery(1, bus.KindFile, "slow"))
			admitReady(w, delivery(2, bus.KindDeleted, "old"))
		}, nil},
		{"a later index waits for an earlier one", func(w *window) {
			w.admit(delivery(1, bus.KindFile, "Packages"))
			admitReady(w, delivery(2, bus.KindFile, "Release"))
		}, nil},
		{"a failed file stops nothing", func(w *window) {
			it := w.admit(delivery(1, bus.KindFile, "bad"))
			it.fail = &problem{op: "fetching"}
			w.offer(it)
			admitReady(w, delivery(2, bus.KindFile, "Packages"))
		}, []string{"bad", "Packages"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWindow(testRule(t))
			c.do(w)
			if got := paths(takeAll(w)); !slices.Equal(got, c.takes) {
				t.Errorf("takes %q, want %q", got, c.takes)
			}
		})
	}
}

func TestPositionStaysBeforeWhatIsUnresolved(t *testing.T) {
	w := newWindow(testRule(t))
	slow := w.admit(delivery(1, bus.KindFile, "slow"))
	admitReady(w, delivery(2, bus.KindFile, "a"))
	w.skip(&bus.Delivery{Seq: 3, Event: bus.Event{Kind: bus.KindMarker, Generation: testGeneration}})
	ops := takeAll(w)
	if got := w.pass(ops); got.seq != 0 {
		t.Errorf("passed to %d over an unresolved event", got.seq)
	}
	w.settle(ops, nil, nil)
	w.offer(slow)
	ops = takeAll(w)
	if got := w.pass(ops); got.seq != 3 || got.known != 3 || got.gen != testGeneration || got.marker != testGeneration {
		t.Errorf("passed to %+v", got)
	}
	w.settle(ops, nil, nil)
	if _, idle := w.moved(); !idle {
		t.Error("not idle after all is settled")
	}
}

func TestNewerEventSupersedesOrJoinsTheOlder(t *testing.T) {
	w := newWindow(testRule(t))
	old := w.admit(delivery(1, bus.KindFile, "p"))
	newer := w.admit(delivery(2, bus.KindFile, "p"))
	if newer == nil || newer.since != 1 {
		t.Fatalf("the newer one is %+v", newer)
	}
	if _, _, ok := w.current(old); ok {
		t.Error("the older one is still worked for")
	}
	same := delivery(3, bus.KindFile, "p")
	same.Event.Content = newer.ev.Content
	same.Event.Mode = 0o600
	if w.admit(same) != nil {
		t.Error("the same content is brought twice")
	}
	w.offer(newer)
	ops := takeAll(w)
	if len(ops) != 1 || ops[0].event.Mode != 0o600 || ops[0].seq != 3 {
		t.Fatalf("takes %+v", ops)
	}
	if got := w.pass(ops); got.seq != 3 {
		t.Errorf("passed to %d", got.seq)
	}
}

func TestEventThatComesDuringItsPathsCommitIsKept(t *testing.T) {
	w := newWindow(testRule(t))
	admitReady(w, delivery(1, bus.KindFile, "p"))
	ops := takeAll(w)
	newer := w.admit(delivery(2, bus.KindFile, "p"))
	if newer == nil || !newer.contended {
		t.Fatalf("the newer one is %+v", newer)
	}
	if again := w.settle(nil, nil, ops); len(again) > 0 {
		t.Error("an overtaken item is examined again")
	}
	if _, _, ok := w.current(newer); !ok {
		t.Error("the newer one was lost")
	}
}

func TestSupersededReadyItemIsHandedOutForCleaning(t *testing.T) {
	w := newWindow(testRule(t))
	old := admitReady(w, delivery(1, bus.KindFile, "p"))
	w.admit(delivery(2, bus.KindDeleted, "p"))
	if got := w.reap(); len(got) != 1 || got[0] != old {
		t.Errorf("reaped %v", got)
	}
}
