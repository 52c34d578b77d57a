package bus

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"waptsync/objects"
)

func testRequest() fetchRequest {
	a, b := objects.Sum([]byte("a")), objects.Sum([]byte("b"))
	return fetchRequest{
		nonce: nonce{1, 2, 3, 4, 5, 6, 7, 8},
		items: []Item{
			{Path: "wapt/a.wapt", Digest: a, Length: 1 << 20},
			{Path: "wapt/a.wapt", Digest: a, Offset: 1 << 20, Length: 1 << 20},
			{Path: "wapt/a.wapt", Digest: a, Manifest: true, Length: 4000},
			{Path: "wapt/b.wapt", Digest: b, Offset: 1 << 49, Length: 0},
			{Path: "wapt/b", Digest: b, Length: 1},
			{Path: "z", Length: 7},
			{Path: "z", Offset: 7, Length: 2*KnownBlock + 1, Known: KnownSums(make([]byte, 2*KnownBlock+1))},
			{Path: "z", Offset: 9, Length: 8},
		},
	}
}

func TestFetchRequestComesBackAsItWas(t *testing.T) {
	want := testRequest()
	b := want.append(nil)
	got, err := decodeFetchRequest(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.nonce != want.nonce || !slices.Equal(got.items, want.items) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for n := range b {
		if _, err := decodeFetchRequest(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken", n, len(b))
		}
	}
}

func TestBadFetchRequestsAreRefused(t *testing.T) {
	of := func(items ...Item) []byte { return (&fetchRequest{items: items}).append(nil) }
	many := make([]Item, MaxFetchItems+1)
	for i := range many {
		many[i] = Item{Path: "a"}
	}
	long := make([]Item, MaxFetchItems)
	for i := range long {
		long[i] = Item{Path: strings.Repeat("a/", 1500) + fmt.Sprint(i)}
	}
	good := of(Item{Path: "a", Length: 1})
	for name, b := range map[string][]byte{
		"nothing":            of(),
		"too many items":     of(many...),
		"too much content":   of(Item{Path: "a", Length: MaxFetchBytes}, Item{Path: "a", Offset: 1, Length: 1}),
		"too much of paths":  of(long...),
		"out of the share":   of(Item{Path: "../a", Length: 1}),
		"offset out of all":  of(Item{Path: "a", Offset: maxContentSize + 1}),
		"behind the end":     append(bytes.Clone(good), 0),
		"other version":      append([]byte{9}, good[1:]...),
		"sums of no blocks":  slices.Concat(good[:10], []byte{itemSameDigest | itemKnown}, good[11:13], []byte{0, 0}),
		"sums of a manifest": slices.Concat(good[:10], []byte{itemSameDigest | itemKnown | itemManifest}, good[11:], make([]byte, knownSum)),
		"sums cut short":     slices.Concat(good[:10], []byte{itemSameDigest | itemKnown}, good[11:], make([]byte, knownSum-1)),
		"too many sums":      slices.Concat(good[:10], []byte{itemSameDigest | itemKnown}, good[11:], make([]byte, knownSum+1)),
		"unknown item flags": slices.Concat(good[:10], []byte{0x80}, good[11:]),
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := decodeFetchRequest(b); err == nil {
				t.Errorf("%d items were taken", len(r.items))
			}
		})
	}
}

func testReply() []byte {
	b := appendReplyHeader(nil, nonce{1, 2, 3}, 300)
	b = append(appendFrameHead(b, frameData, 0, 5), "hello"...)
	b = appendFrame(b, frameDone, 0, "")
	b = appendFrame(b, frameKind(FetchGone), 1, "it is gone")
	b = appendFrame(b, frameKind(FetchBusy), allItems, strings.Repeat("x", 2*maxFetchText))
	return appendFrame(b, frameEnd, 0, "")
}

func TestFetchReplyComesBackAsItWas(t *testing.T) {
	r, err := parseFetchReply(testReply())
	if err != nil {
		t.Fatal(err)
	}
	if r.nonce != (nonce{1, 2, 3}) || r.number != 300 {
		t.Errorf("nonce %x, number %d", r.nonce, r.number)
	}
	var got []string
	for {
		f, ok, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, fmt.Sprintf("%d %d %.10s", f.kind, f.item, f.data))
	}
	if want := []string{"0 0 hello", "1 0 ", "2 1 it is gone", "5 4096 xxxxxxxxxx", "255 0 "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !r.ended {
		t.Error("the end was not seen")
	}
}

func FuzzDecodeFetchRequest(f *testing.F) {
	r := testRequest()
	f.Add(r.append(nil))
	f.Add((&fetchRequest{items: []Item{{Path: "a", Manifest: true, Length: MaxFetchBytes}}}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeFetchRequest(b)
		if err != nil {
			return
		}
		content := int64(0)
		for _, it := range r.items {
			content += it.Length
			if it.Offset < 0 || it.Length < 0 || ValidPath(it.Path) != nil || it.checkKnown() != nil {
				t.Fatalf("took %+v", it)
			}
		}
		if content > MaxFetchBytes || len(r.items) == 0 || len(r.items) > MaxFetchItems {
			t.Fatalf("took %d items of %d bytes", len(r.items), content)
		}
		again, err := decodeFetchRequest(r.append(nil))
		if err != nil || again.nonce != r.nonce || !slices.Equal(again.items, r.items) {
			t.Fatalf("%+v came back as %+v, %v", r, again, err)
		}
	})
}

func FuzzDecodeFetchReply(f *testing.F) {
	f.Add(testReply())
	f.Add(appendReplyHeader(nil, nonce{}, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseFetchReply(b)
		if err != nil {
			return
		}
		total := 0
		for {
			fr, ok, err := r.next()
			if err != nil || !ok {
				break
			}
			if fr.item < 0 || fr.item > allItems {
				t.Fatalf("item %d", fr.item)
			}
			total += len(fr.data)
		}
		if total > len(b) {
			t.Fatalf("%d bytes came out of %d", total, len(b))
		}
		// The state that the client keeps must take any reply, too.
		items := []Item{{Path: "a", Length: 5}, {Path: "b", Manifest: true, Length: 9}, {Path: "c", Length: 5, Known: "sums"}}
		got := make([]int64, len(items))
		fetch := newFetching(items, func(item int, offset int64, piece []byte) error {
			if got[item] += int64(len(piece)); got[item] > items[item].Length {
				t.Fatalf("item %d: %d bytes of %d", item, got[item], items[item].Length)
			}
			return nil
		})
		fetch.nonce = r.nonce
		fetch.take(b)
	})
}
