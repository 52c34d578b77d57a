package subscriber

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"

	"waptsync/bus"
	"waptsync/objects"
)

func fileEvent(path string, size int64) bus.Event {
	return bus.Event{
		Kind: bus.KindFile, Generation: uuid.UUID{1, 2, 3}, Path: path, Mode: 0o640, MTime: 1_700_000_000_123_456_789,
		Content: bus.Content{
			Size: size, Digest: objects.Sum([]byte(path)), Objects: 3, Manifest: objects.Sum([]byte("m" + path)),
			Params: objects.Params{Min: 4096, Avg: 16384, Max: 65536, Zip: true}, MD5: [16]byte{9}, HasMD5: true,
		},
	}
}

func someRecords() []record {
	return []record{
		{Seq: 1, Event: bus.Event{Kind: bus.KindDir, Path: "d", Mode: 0o755}},
		{Seq: 1 << 60, Event: fileEvent("d/f\xff", 123_456), Local: local{MTime: -5, CTime: 1 << 62, Inode: 1<<64 - 1}},
		{Seq: 3, Event: bus.Event{Kind: bus.KindSymlink, Path: "l", Target: "d/f", Mode: 0o777}, Local: local{Inode: 7}},
	}
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	for _, r := range someRecords() {
		b, err := r.append(nil)
		must(t, err)
		got, err := decodeRecord(b)
		must(t, err)
		if got != r {
			t.Errorf("got %+v, want %+v", got, r)
		}
	}
}

func TestWaitingEventsComeBackAsTheyWere(t *testing.T) {
	for _, w := range []waiting{
		{Seq: 4, Event: bus.Event{Kind: bus.KindDeleted, Path: "x"}},
		{Seq: 9, At: time.Unix(5, 6), Event: fileEvent("a", 1000), Op: "fetching", Cause: "no space", Hint: "free some", Tries: 12, Next: time.Unix(7, 8)},
	} {
		b, err := w.append(nil)
		must(t, err)
		got, err := decodeWaiting(b)
		must(t, err)
		if got != w {
			t.Errorf("got %+v, want %+v", got, w)
		}
	}
}

func TestDamagedValuesAreRefused(t *testing.T) {
	r := someRecords()[1]
	good, err := r.append(nil)
	must(t, err)
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"another version": append([]byte{99}, good[1:]...),
		"cut short":       good[:len(good)-1],
		"too long":        append(bytes.Clone(good), 0),
	} {
		if _, err := decodeRecord(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, r := range someRecords() {
		b, err := r.append(nil)
		must(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		again, err := r.append(nil)
		must(t, err)
		if back, err := decodeRecord(again); err != nil || back.Seq != r.Seq || back.Local != r.Local {
			t.Fatalf("%+v became %+v: %v", r, back, err)
		}
	})
}

func FuzzDecodeWaiting(f *testing.F) {
	w := waiting{Seq: 9, At: time.Unix(5, 6), Event: fileEvent("a", 1000), Op: "fetching", Cause: "no space", Tries: 12}
	b, err := w.append(nil)
	must(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decodeWaiting(b)
		if err != nil {
			return
		}
		again, err := w.append(nil)
		must(t, err)
		if back, err := decodeWaiting(again); err != nil || back.Event != w.Event {
			t.Fatalf("%+v became %+v: %v", w, back, err)
		}
	})
}

func FuzzDecodeMeta(f *testing.F) {
	p := progress{Position: bus.Position{Generation: uuid.UUID{1}, Seq: 7, MainTime: time.Unix(1, 2)}, Reconciling: true}
	i := identity{Token: "abc", Dev: 1, Inode: 2}
	f.Add(p.append(nil))
	f.Add(i.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodeProgress(b); err == nil {
			if back, err := decodeProgress(p.append(nil)); err != nil || back != p {
				t.Fatalf("%+v became %+v: %v", p, back, err)
			}
		}
		if i, err := decodeIdentity(b); err == nil {
			if back, err := decodeIdentity(i.append(nil)); err != nil || back != i {
				t.Fatalf("%+v became %+v: %v", i, back, err)
			}
		}
	})
}
