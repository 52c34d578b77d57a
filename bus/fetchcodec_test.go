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
			{Path: "z", Length: 900, Manifest: true, Known: KnownManifests([]objects.ID{a, b})},
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
	for i := range want.items { // no more of a digest travels
		clear(want.items[i].Digest[len(objects.ShortID{}):])
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

// hostRequest asks for host packages, as a remote does that comes back.
func hostRequest(n int) *fetchRequest {
	r := &fetchRequest{items: make([]Item, n)}
	for i := range r.items {
		id := objects.Sum(fmt.Append(nil, i))
		uuid := strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16]))
		r.items[i] = Item{Path: uuid + ".wapt", Digest: objects.Sum(id[:]), Length: 3000 + int64(id[20])*8}
	}
	return r
}

func TestManyItemsTakeLittle(t *testing.T) {
	want := hostRequest(1000)
	b := want.append(nil)
	got, err := decodeFetchRequest(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.items {
		clear(want.items[i].Digest[len(objects.ShortID{}):])
	}
	if !slices.Equal(got.items, want.items) {
		t.Error("other items came back")
	}
	if most := 36 * len(want.items); len(b) > most {
		t.Errorf("%d bytes for %d items, more than %d", len(b), len(want.items), most)
	}
}

func BenchmarkFetchRequest(b *testing.B) {
	r := hostRequest(300)
	encoded := r.append(nil)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encoded = r.append(encoded[:0])
		}
		b.ReportMetric(float64(len(encoded))/float64(len(r.items)), "B/item")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decodeFetchRequest(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
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
	knows := func(n int) Item {
		return Item{Path: "a", Length: 9, Manifest: true, Known: KnownManifests(make([]objects.ID, n))}
	}
	part := knows(1)
	part.Offset = 1
	if _, err := decodeFetchRequest(of(knows(maxRequestBases-1), knows(1))); err != nil {
		t.Fatal(err)
	}
	good := of(Item{Path: "a", Length: 1})
	begin := good[:1+nonceBytes]
	// raw is a request for one item; flags are followed by the rest of it.
	raw := func(flags byte, rest ...byte) []byte {
		item := slices.Concat([]byte{flags, 0, 1, 'a', 0}, rest)
		return slices.Concat(begin, []byte{itemsPlain, 1, byte(len(item))}, item)
	}
	if _, err := decodeFetchRequest(raw(itemSameDigest, 1)); err != nil {
		t.Fatal(err)
	}
	packed := func(items []byte, digests int) []byte {
		b, _ := pack(items)
		return slices.Concat(begin, []byte{itemsPacked, 1}, appendBytes(nil, b), make([]byte, digests))
	}
	for name, b := range map[string][]byte{
		"nothing":                   of(),
		"too many items":            of(many...),
		"too much content":          of(Item{Path: "a", Length: MaxFetchBytes}, Item{Path: "a", Offset: 1, Length: 1}),
		"too much of paths":         of(long...),
		"out of the share":          of(Item{Path: "../a", Length: 1}),
		"offset out of all":         of(Item{Path: "a", Offset: maxContentSize + 1}),
		"behind the end":            append(bytes.Clone(good), 0),
		"other version":             append([]byte{9}, good[1:]...),
		"sums of no blocks":         raw(itemSameDigest|itemKnown, 0),
		"known manifests of none":   raw(itemSameDigest|itemKnown|itemManifest, 9, 0),
		"known manifests cut short": raw(itemSameDigest|itemKnown|itemManifest, append([]byte{9, 1}, make([]byte, 31)...)...),
		"too many known manifests":  of(knows(maxRequestBases + 1)),
		"too many known by several": of(knows(maxRequestBases), knows(1)),
		"known manifests of a part": of(part),
		"sums cut short":            raw(itemSameDigest|itemKnown, 1, 0, 0, 0),
		"too many sums":             raw(itemSameDigest|itemKnown, 1, 0, 0, 0, 0, 0),
		"unknown item flags":        raw(itemSameDigest|0x80, 1),
		"no digest":                 raw(0, 1),
		"half a digest":             append(raw(0, 1), 1, 2, 3, 4),
		"unknown packing":           slices.Concat(begin, []byte{9}, good[10:]),
		"not packed at all":         slices.Concat(begin, []byte{itemsPacked}, good[10:]),
		"packed and no item":        packed(make([]byte, packFrom), 8),
		"too much packed":           packed(make([]byte, maxRequestBytes+1), 8),
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
	b = appendZeroes(b, 0, 1<<20)
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
	zeroes := 0
	for {
		f, ok, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, fmt.Sprintf("%d %d %.10s", f.kind, f.item, f.data))
		zeroes += f.zeroes
	}
	if zeroes != 1<<20 {
		t.Errorf("%d zeroes", zeroes)
	}
	if want := []string{"0 0 hello", "254 0 ", "1 0 ", "2 1 it is gone", "5 4096 xxxxxxxxxx", "255 0 "}; !slices.Equal(got, want) {
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
	f.Add((&fetchRequest{items: []Item{{Path: "a", Manifest: true, Length: 9, Known: KnownManifests(make([]objects.ID, 2))}}}).append(nil))
	f.Add(hostRequest(20).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeFetchRequest(b)
		if err != nil {
			return
		}
		content, bases := int64(0), 0
		for _, it := range r.items {
			content += it.Length
			bases += it.knownManifests()
			if it.Offset < 0 || it.Length < 0 || ValidPath(it.Path) != nil || it.checkKnown() != nil {
				t.Fatalf("took %+v", it)
			}
		}
		if content > MaxFetchBytes || bases > maxRequestBases || len(r.items) == 0 || len(r.items) > MaxFetchItems {
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
	f.Add(appendZeroes(appendReplyHeader(nil, nonce{}, 0), 0, 5))
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
			if fr.zeroes < 0 || fr.zeroes > MaxFetchBytes {
				t.Fatalf("%d zeroes", fr.zeroes)
			}
		}
		if total > len(b) {
			t.Fatalf("%d bytes came out of %d", total, len(b))
		}
		// The state that the client keeps must take any reply, too.
		items := []Item{{Path: "a", Length: 5}, {Path: "b", Manifest: true, Length: 9}, {Path: "c", Length: 5, Known: "sums"}}
		got := make([]int64, len(items))
		fetch := newFetching(items, func(p Piece) error {
			if got[p.Item] += int64(len(p.Data)); got[p.Item] > items[p.Item].Length {
				t.Fatalf("item %d: %d bytes of %d", p.Item, got[p.Item], items[p.Item].Length)
			}
			return nil
		})
		fetch.nonce = r.nonce
		fetch.take(b)
	})
}
