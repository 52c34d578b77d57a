package bus

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waptsync/objects"
)

func TestTheWindowGivesWhatItHas(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	ctx := testContext(t)
	want := map[objects.ID][]byte{}
	var ids []objects.ID
	put := func(data []byte) {
		id := objects.Sum(data)
		if err := b.window.Put(ctx, id, data); err != nil {
			t.Fatal(err)
		}
		clear(data[:min(1, len(data))]) // Put has its own copy
	}
	for i := range 300 {
		data := randomBytes(1 + i*50)
		want[objects.Sum(data)] = bytes.Clone(data)
		ids = append(ids, objects.Sum(data))
		put(data)
	}
	for range 10 {
		data := randomBytes(MaxWindowObject)
		want[objects.Sum(data)] = bytes.Clone(data)
		ids = append(ids, objects.Sum(data))
		put(data)
	}
	absent := []objects.ID{objects.Sum([]byte("absent")), objects.Sum([]byte("absent too"))}
	if err := b.window.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	asked := slices.Concat(ids[:100], absent[:1], ids[100:], absent[1:])
	missing, err := c.Window(ctx, "wapt", asked, func(id objects.ID, data []byte) error {
		if !bytes.Equal(data, want[id]) {
			t.Errorf("object %s has other bytes, or came twice", id)
		}
		delete(want, id)
		return nil
	})
	if err != nil || !slices.Equal(missing, absent) || len(want) != 0 {
		t.Errorf("missing %d, not given %d, %v", len(missing), len(want), err)
	}
	if missing, err := c.Window(ctx, "wapt", absent, nil); err != nil || !slices.Equal(missing, absent) {
		t.Errorf("only absent ones: %d, %v", len(missing), err)
	}
}

func TestAnObjectIsStoredOnce(t *testing.T) {
	b := startBus(t)
	ctx := testContext(t)
	data := randomBytes(1000)
	for range 5 {
		if err := b.window.Put(ctx, objects.Sum(data), data); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.window.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := b.JetStream().Stream(ctx, "OBJECTS_wapt")
	if err != nil {
		t.Fatal(err)
	}
	if last := s.CachedInfo().State.LastSeq; last != 1 {
		t.Errorf("%d messages were stored", last)
	}
}

func TestTheWindowForgetsTheOldest(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	ctx := testContext(t)
	var ids []objects.ID
	for range 48 { // 24 MiB into 16
		data := randomBytes(MaxWindowObject)
		ids = append(ids, objects.Sum(data))
		if err := b.window.Put(ctx, objects.Sum(data), data); err != nil {
			t.Fatal(err)
		}
		if err := b.window.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	missing, err := c.Window(ctx, "wapt", ids, func(objects.ID, []byte) error { return nil })
	if err != nil || len(missing) < 16 || len(missing) > 24 || !slices.Equal(missing, ids[:len(missing)]) {
		t.Errorf("%d are missing, %v; want the first 16 to 24", len(missing), err)
	}
}

func TestADamagedObjectIsMissing(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	ctx := testContext(t)
	good, bad := randomBytes(100), randomBytes(100)
	goodID, badID := objects.Sum(good), objects.Sum(bad)
	bad[0]++
	for id, data := range map[objects.ID][]byte{goodID: good, badID: bad} {
		if err := b.window.Put(ctx, id, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.window.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	n := 0
	missing, err := c.Window(ctx, "wapt", []objects.ID{badID, goodID}, func(objects.ID, []byte) error { n++; return nil })
	if err != nil || n != 1 || !slices.Equal(missing, []objects.ID{badID}) {
		t.Errorf("%d came, missing %v, %v", n, missing, err)
	}
}

func TestWindowEndsWithTheErrorOfItsSink(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	ctx := testContext(t)
	data := randomBytes(100)
	ids := []objects.ID{objects.Sum(data), objects.Sum([]byte("absent"))}
	if err := b.window.Put(ctx, ids[0], data); err != nil {
		t.Fatal(err)
	}
	if err := b.window.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Window(ctx, "wapt", ids, func(objects.ID, []byte) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
	if !c.inFlight.TryAcquire(fetchInFlight) {
		t.Error("something is still counted as in flight")
	}
}

func TestAShareWithoutAWindowHasNoObjects(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	ctx := testContext(t)
	if err := b.JetStream().DeleteStream(ctx, "OBJECTS_wapt"); err != nil {
		t.Fatal(err)
	}
	ids := []objects.ID{objects.Sum(nil)}
	if missing, err := c.Window(ctx, "wapt", ids, nil); err != nil || !slices.Equal(missing, ids) {
		t.Errorf("missing %v, %v", missing, err)
	}
}

func TestAnObjectThatCannotBeStoredShowsAtTheFlush(t *testing.T) {
	b := startBus(t)
	ctx := testContext(t)
	data := randomBytes(MaxWindowObject + 1)
	if err := b.window.Put(ctx, objects.Sum(data), data); err == nil {
		t.Error("an object above the limit was taken")
	}
	if err := b.JetStream().DeleteStream(ctx, "OBJECTS_wapt"); err != nil {
		t.Fatal(err)
	}
	if err := b.window.Put(ctx, objects.Sum(nil), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.window.Flush(ctx); err == nil {
		t.Error("the flush says that all is stored")
	}
	if err := b.window.Flush(ctx); err != nil {
		t.Errorf("the flush after it: %v", err)
	}
}

// A start reads back all messages of the time in which it looks for duplicates,
// and objects have no ids to be found by.
func TestNoObjectIsReadBackForDuplicates(t *testing.T) {
	p := startPlain(t, t.TempDir())
	ctx := testContext(t)
	// As an earlier version made it.
	old := jetstream.StreamConfig{
		Name: "OBJECTS_wapt", Subjects: []string{"ob.wapt.*"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxBytes: 16 << 20, MaxMsgsPerSubject: 1, AllowDirect: true, PersistMode: jetstream.AsyncPersistMode,
	}
	if _, err := p.js.CreateStream(ctx, old); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWindow(ctx, p.js, "wapt", 16<<20); err != nil {
		t.Fatal(err)
	}
	s, err := p.js.Stream(ctx, "OBJECTS_wapt")
	if err != nil {
		t.Fatal(err)
	}
	if d := s.CachedInfo().Config.Duplicates; d > time.Second {
		t.Errorf("duplicates are looked for in %s", d)
	}
}
