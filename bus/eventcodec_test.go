package bus

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"

	"waptsync/objects"
)

var testGeneration = uuid.MustParse("6d0cbd1e-57b4-4d5c-8f0a-0f6ad14c2b11")

func fileEvent(path string) *Event {
	return &Event{
		Kind: KindFile, Generation: testGeneration, Path: path, Mode: 0o644, MTime: 1_700_000_000_123_456_789,
		Content: Content{Size: 5, Digest: objects.Sum([]byte("hello")), Objects: 1},
		Origin:  Origin{Inode: 77, CTime: 1_700_000_000_987_654_321},
	}
}

func bigFileEvent(path string) *Event {
	e := fileEvent(path)
	e.Content = Content{
		Size: 4 << 30, Digest: objects.Sum([]byte("big")), MD5: [16]byte{1, 2, 3}, HasMD5: true, Objects: 2048,
		Manifest: objects.Sum([]byte("manifest")), Params: objects.Params{Min: 64 << 10, Avg: 2 << 20, Max: 8 << 20, Zip: true},
	}
	e.From, e.InWindow = "old/name.wapt", true
	return e
}

func goodEvents() map[string]*Event {
	empty := fileEvent("empty")
	empty.Content = Content{Digest: objects.Sum(nil)}
	incomplete := fileEvent("wapt/Packages")
	incomplete.Incomplete = true
	before1970 := fileEvent("old")
	before1970.MTime, before1970.Origin.CTime = math.MinInt64, -1
	return map[string]*Event{
		"file":        fileEvent("wapt/tis-firefox_115_x64.wapt"),
		"big file":    bigFileEvent("wapt/tis-windows.wapt"),
		"empty file":  empty,
		"incomplete":  incomplete,
		"before 1970": before1970,
		"not UTF-8":   fileEvent("wapt/\xff\xfe.wapt"),
		"dir":         {Kind: KindDir, Generation: testGeneration, Path: "a/b", Mode: 0o755},
		"symlink":     {Kind: KindSymlink, Path: "a/link", Target: "../b", Mode: 0o777},
		"deleted":     {Kind: KindDeleted, Path: strings.Repeat("a/", 2047) + "b"},
		"marker":      {Kind: KindMarker, Generation: testGeneration},
	}
}

func TestEventComesBackAsItWas(t *testing.T) {
	for name, e := range goodEvents() {
		t.Run(name, func(t *testing.T) {
			b, err := e.AppendBinary([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			b = bytes.TrimPrefix(b, []byte("before"))
			got, err := DecodeEvent(b)
			if err != nil {
				t.Fatal(err)
			}
			if got != *e {
				t.Errorf("got %+v, want %+v", got, *e)
			}
			for n := range b {
				if _, err := DecodeEvent(b[:n]); err == nil {
					t.Fatalf("the first %d of %d bytes were taken", n, len(b))
				}
			}
			if _, err := DecodeEvent(append(b, 0)); err == nil {
				t.Error("a trailing byte was taken")
			}
		})
	}
}

func TestBadEventsAreNotEncoded(t *testing.T) {
	cases := map[string]func(e *Event){
		"no kind":               func(e *Event) { e.Kind = 0 },
		"unknown kind":          func(e *Event) { e.Kind = 9 },
		"no path":               func(e *Event) { e.Path = "" },
		"path out of the share": func(e *Event) { e.Path = "a/../../b" },
		"mode with setuid":      func(e *Event) { e.Mode = 0o4755 },
		"negative size":         func(e *Event) { e.Content.Size = -1 },
		"size above 1<<50":      func(e *Event) { e.Content.Size = 1<<50 + 1 },
		"size without objects":  func(e *Event) { e.Content.Objects = 0 },
		"objects without size":  func(e *Event) { e.Content.Size = 0 },
		"more objects than bytes": func(e *Event) {
			e.Content.Objects, e.Content.Manifest, e.Content.Params = 6, objects.Sum(nil), objects.Params{Min: 1, Avg: 1, Max: 1}
		},
		"no digest":                func(e *Event) { e.Content.Digest = objects.ID{} },
		"empty with wrong digest":  func(e *Event) { e.Content.Size, e.Content.Objects = 0, 0 },
		"MD5 said to be absent":    func(e *Event) { e.Content.MD5[0] = 1 },
		"manifest of one object":   func(e *Event) { e.Content.Manifest = objects.Sum(nil) },
		"params of one object":     func(e *Event) { e.Content.Params.Zip = true },
		"objects without manifest": func(e *Event) { e.Content.Objects = 2 },
		"params out of order": func(e *Event) {
			e.Content.Objects, e.Content.Manifest, e.Content.Params = 2, objects.Sum(nil), objects.Params{Min: 2, Avg: 1, Max: 1}
		},
		"from out of the share": func(e *Event) { e.From = "/etc/passwd" },
		"target of a file":      func(e *Event) { e.Target = "x" },
		"incomplete dir":        func(e *Event) { *e = Event{Kind: KindDir, Path: "a", Incomplete: true} },
		"content of a dir":      func(e *Event) { e.Kind = KindDir },
		"link without target":   func(e *Event) { *e = Event{Kind: KindSymlink, Path: "a"} },
		"link to a NUL":         func(e *Event) { *e = Event{Kind: KindSymlink, Path: "a", Target: "a\x00"} },
		"link target too long": func(e *Event) {
			*e = Event{Kind: KindSymlink, Path: "a", Target: strings.Repeat("a", maxTargetLength+1)}
		},
		"marker with a path": func(e *Event) { *e = Event{Kind: KindMarker, Path: "a"} },
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			e := fileEvent("a/b")
			spoil(e)
			_, err := e.AppendBinary(nil)
			var ee *EventError
			if !errors.As(err, &ee) {
				t.Errorf("got %v, want an *EventError", err)
			}
		})
	}
}

func TestTwoEncodingsOfOneEventAreRefused(t *testing.T) {
	good, err := fileEvent("a").AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(good)) }
	for name, b := range map[string][]byte{
		"other version":   with(func(b []byte) []byte { b[0]++; return b }),
		"unknown flag":    with(func(b []byte) []byte { b[2] |= 0x80; return b }),
		"zip of a single": with(func(b []byte) []byte { b[2] |= flagZip; return b }),
		"padded length":   with(func(b []byte) []byte { return append(append(b[:19:19], 0x81, 0x00), b[20:]...) }),
		"endless number":  with(func(b []byte) []byte { return append(b[:19:19], bytes.Repeat([]byte{0xff}, 12)...) }),
		"length past end": with(func(b []byte) []byte { b[19] = 0x7f; return b }),
		"nothing":         nil,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeEvent(b)
			var ee *EventError
			if !errors.As(err, &ee) {
				t.Errorf("got %v, want an *EventError", err)
			}
		})
	}
}

func TestValidPath(t *testing.T) {
	long := strings.Repeat("e", maxElementBytes)
	for _, p := range []string{"a", "a/b", "...", "..a", "a..", " ", "\xff", long + "/" + long, "a\nb", `a\..\b`} {
		if err := ValidPath(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/.", "a/../b", "a\x00b", long + "e", strings.Repeat("a/", 2048) + "b",
	} {
		if ValidPath(p) == nil {
			t.Errorf("%q was taken", p)
		}
	}
}

func FuzzDecodeEvent(f *testing.F) {
	for _, e := range goodEvents() {
		b, err := e.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEvent(b)
		if err != nil {
			return
		}
		again, err := e.AppendBinary(nil)
		if err != nil {
			t.Fatalf("decoded event %+v is not valid: %v", e, err)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to an event whose encoding is %x", b, again)
		}
	})
}
