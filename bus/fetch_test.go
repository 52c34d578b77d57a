package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"waptsync/objects"
)

// collect fetches items and returns the bytes of each.
func collect(t testing.TB, c *Client, items []Item) ([][]byte, []error) {
	t.Helper()
	got := make([][]byte, len(items))
	errs, err := c.Fetch(testContext(t), "wapt", items, func(p Piece) error {
		if want := items[p.Item].Offset + int64(len(got[p.Item])); p.Offset != want {
			t.Errorf("item %d: a piece at %d came at %d", p.Item, p.Offset, want)
		}
		if len(p.Data) > MaxPiece {
			t.Errorf("a piece of %d bytes", len(p.Data))
		}
		got[p.Item] = append(got[p.Item], p.Data...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, errs
}

func wantCode(t *testing.T, what string, err error, code FetchCode) {
	t.Helper()
	var fe *FetchError
	if !errors.As(err, &fe) || fe.Code != code {
		t.Errorf("%s: got %v, want code %d", what, err, code)
	}
}

func TestManySmallFilesComeInFewMessages(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	items := make([]Item, MaxFetchItems)
	want := make([][]byte, len(items))
	for i := range items {
		want[i] = randomBytes(i % 1000)
		items[i] = b.files.add(t, fmt.Sprintf("wapt-host/%d.wapt", i), want[i])
	}
	before := c.bulk.messages()
	got, errs := collect(t, c, items)
	for i := range items {
		if errs[i] != nil || !bytes.Equal(got[i], want[i]) {
			t.Fatalf("item %d: %d bytes of %d, %v", i, len(got[i]), len(want[i]), errs[i])
		}
	}
	if n := c.bulk.messages() - before; n > 2<<20/MaxPiece+10 {
		t.Errorf("2 MB came in %d messages", n)
	}
	if served := b.service.Served(); served != int64(len(bytes.Join(want, nil))) {
		t.Errorf("served %d bytes", served)
	}
}

func TestALargeContentComesInParts(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	content := randomBytes(20<<20 + 12345)
	whole := b.files.add(t, "wapt/big.wapt", content)
	var got []byte
	for off := int64(0); off < whole.Length; off += MaxFetchBytes {
		// Parts of one content in one request share one opening of the file.
		n := min(MaxFetchBytes, whole.Length-off)
		items := []Item{whole, whole}
		items[0].Offset, items[0].Length = off, n/3
		items[1].Offset, items[1].Length = off+n/3, n-n/3
		parts, errs := collect(t, c, items)
		if errs[0] != nil || errs[1] != nil {
			t.Fatal(errs)
		}
		got = append(append(got, parts[0]...), parts[1]...)
	}
	if !bytes.Equal(got, content) {
		t.Error("other bytes came")
	}
	if n := b.files.opened.Load(); n != 6 {
		t.Errorf("the file was opened %d times, want 6", n)
	}
}

func TestAnItemThatFailsStopsOnlyItself(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	good := b.files.add(t, "good", []byte("good"))
	changed := b.files.add(t, "changed", randomBytes(1<<20))
	b.files.changed["changed"] = true
	short := b.files.add(t, "short", []byte("short"))
	short.Length = 6
	b.files.add(t, "many.manifest", []byte("the manifest"))
	items := []Item{
		good,
		{Path: "gone", Digest: objects.Sum(nil), Length: 3},
		changed,
		short,
		{Path: "many", Manifest: true, Length: 1000},
		{Path: "many", Manifest: true, Offset: 4, Length: 3},
		{Path: "many", Manifest: true, Offset: 4000, Length: 3},
		{Path: "broken", Manifest: true, Length: 3},
		good,
	}
	got, errs := collect(t, c, items)
	for i, want := range map[int]string{0: "good", 4: "the manifest", 5: "man", 6: "", 8: "good"} {
		if errs[i] != nil || string(got[i]) != want {
			t.Errorf("item %d: %q, %v", i, got[i], errs[i])
		}
	}
	wantCode(t, "gone", errs[1], FetchGone)
	wantCode(t, "changed while it was read", errs[2], FetchGone)
	wantCode(t, "shorter than asked for", errs[3], FetchGone)
	wantCode(t, "manifest that cannot be read", errs[7], FetchFailed)
	if !strings.Contains(errs[7].Error(), "input/output error") {
		t.Errorf("the cause is lost: %v", errs[7])
	}
}

// What a file has of holes and other zeroes is told by its length.
func TestZeroesAreToldAndNotSent(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	zero := func(n int) []byte { return make([]byte, n) }
	for name, content := range map[string][]byte{
		"zeroes":    zero(1 << 20),
		"few":       zero(3),
		"hole":      slices.Concat(randomBytes(100_000), zero(2<<20), randomBytes(70_000), zero(300_001)),
		"begin":     slices.Concat(zero(5000), randomBytes(777)),
		"end":       slices.Concat(randomBytes(777), zero(5000)),
		"many":      slices.Repeat(slices.Concat(zero(1100), randomBytes(3000), zero(500)), 20),
		"long many": slices.Repeat(slices.Concat(zero(70_000), randomBytes(1000)), 20),
	} {
		whole := b.files.add(t, name, content)
		for _, from := range []int64{0, 1, 4000} {
			it := whole
			it.Offset = min(from, it.Length)
			it.Length -= it.Offset
			before, served := c.Received(), b.service.Served()
			got, errs := collect(t, c, []Item{it, {Path: name, Digest: it.Digest, Length: 2}})
			if errs[0] != nil || errs[1] != nil || !bytes.Equal(got[0], content[it.Offset:]) || !bytes.Equal(got[1], content[:2]) {
				t.Errorf("%s from %d on: %d bytes of %d, %v", name, from, len(got[0]), it.Length, errs)
			}
			if name == "many" {
				continue // pieces are longer than its runs of zeroes
			}
			rest := int64(0)
			for _, x := range content {
				rest += int64((int(x) + 255) / 256)
			}
			if most := rest + 45<<10; b.service.Served()-served > most || c.Received()-before > most+4000 {
				t.Errorf("%s from %d on: %d of %d bytes served, %d received", name, from, b.service.Served()-served, rest, c.Received()-before)
			}
		}
	}
}

func TestKnownBlocksAreComparedAndNotSent(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	content := randomBytes(20*KnownBlock + 100)
	whole := b.files.add(t, "wapt/app.wapt", content)
	known := func(offset int64, bytes []byte) Item {
		return Item{Path: whole.Path, Digest: whole.Digest, Offset: offset, Length: int64(len(bytes)), Known: KnownSums(bytes)}
	}
	other := bytes.Clone(content)
	other[3*KnownBlock+7]++
	other[20*KnownBlock]++
	items := []Item{
		known(0, content), known(0, other), known(KnownBlock/2, content[KnownBlock/2:][:1500]),
		known(20*KnownBlock, content[:200]), {Path: whole.Path, Digest: whole.Digest, Length: 5},
	}
	got, errs := collect(t, c, items)
	wrong := map[int][]int{1: {3, 20}}
	for i := range 3 {
		if errs[i] != nil || int64(len(got[i])) != items[i].Bytes() {
			t.Fatalf("item %d: %d bytes, %v", i, len(got[i]), errs[i])
		}
		for block := range knownBlocks(items[i].Length) + 9 {
			want := block < knownBlocks(items[i].Length) && !slices.Contains(wrong[i], block)
			if IsKnown(got[i], block) != want {
				t.Errorf("item %d, block %d: %v", i, block, !want)
			}
		}
	}
	wantCode(t, "blocks behind the end", errs[3], FetchGone)
	if errs[4] != nil || !bytes.Equal(got[4], content[:5]) {
		t.Errorf("the item behind them: %q, %v", got[4], errs[4])
	}
	if served := b.service.Served(); served != 5 {
		t.Errorf("served %d bytes of content", served)
	}
	bad := known(0, content)
	bad.Length--
	bad.Known = bad.Known[knownSum:]
	if _, err := c.Fetch(t.Context(), "wapt", []Item{bad}, nil); err == nil {
		t.Error("sums that do not fit the range were sent")
	}
}

func TestWhoAsksForAManifestNamesThoseItKnows(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	b.files.add(t, "many.manifest", []byte("the manifest"))
	ids := []objects.ID{objects.Sum(nil), objects.Sum([]byte("x"))}
	items := []Item{
		{Path: "many", Manifest: true, Length: 1000},
		{Path: "many", Manifest: true, Length: 1000, Known: KnownManifests(ids)},
		{Path: "many", Manifest: true, Length: 3, Known: KnownManifests(ids[1:])},
	}
	got, errs := collect(t, c, items)
	for i, want := range []string{"the manifest", fmt.Sprint(ids), fmt.Sprint(ids[1:])[:3]} {
		if errs[i] != nil || string(got[i]) != want {
			t.Errorf("item %d: %q, %v", i, got[i], errs[i])
		}
	}
	for name, bad := range map[string]Item{
		"a part":       {Path: "many", Manifest: true, Offset: 1, Length: 9, Known: KnownManifests(ids)},
		"half an ID":   {Path: "many", Manifest: true, Length: 9, Known: KnownManifests(ids)[:40]},
		"too many IDs": {Path: "many", Manifest: true, Length: 9, Known: KnownManifests(make([]objects.ID, objects.MaxBases+1))},
	} {
		if _, err := c.Fetch(t.Context(), "wapt", []Item{bad}, nil); err == nil {
			t.Errorf("%s was asked for", name)
		}
	}
}

func TestPathsTooLongForOneRequestComeInSeveral(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	items := make([]Item, 1000)
	for i := range items {
		items[i] = Item{Path: fmt.Sprintf("%04d/", i) + strings.Repeat(strings.Repeat("x", 200)+"/", 15) + "y", Length: 1}
	}
	_, errs := collect(t, c, items)
	for _, err := range errs {
		wantCode(t, "none of these is there", err, FetchGone)
	}
}

func TestTheServiceRefusesWhatIsNotWellFormed(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	for name, data := range map[string][]byte{
		"empty":      {},
		"noise":      []byte("ab"),
		"too much":   (&fetchRequest{items: []Item{{Path: "a", Length: MaxFetchBytes}, {Path: "a", Length: 1}}}).append(nil),
		"a way out":  (&fetchRequest{items: []Item{{Path: "../a", Length: 1}}}).append(nil),
		"no version": append([]byte{0}, (&fetchRequest{items: []Item{{Path: "a", Length: 1}}}).append(nil)[1:]...),
	} {
		m, err := c.bulk.conn.RequestWithContext(testContext(t), "ws.fetch.wapt.colmar", data)
		if err != nil {
			t.Fatal(name, err)
		}
		f := newFetching([]Item{{Path: "a"}}, nil)
		if err := f.take(m.Data); err != nil || !f.ended {
			t.Errorf("%s: %v", name, err)
		}
		wantCode(t, name, f.errs[0], FetchRefused)
	}
	for name, items := range map[string][]Item{
		"too many":       make([]Item, MaxFetchItems+1),
		"too much":       {{Path: "a", Length: MaxFetchBytes}, {Path: "a", Length: 1}},
		"negative":       {{Path: "a", Length: -1}},
		"not in a share": {{Path: "/a", Length: 1}},
	} {
		if _, err := c.Fetch(testContext(t), "wapt", items, nil); err == nil {
			t.Errorf("%s was asked for", name)
		}
	}
	if b.files.opened.Load() != 0 {
		t.Error("a file was opened")
	}
}

func TestARemoteCannotFetchOfAForeignShare(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	if err := b.options.Registry.SetShares("colmar", []string{"wapt-host"}); err != nil {
		t.Fatal(err)
	}
	// Without Apply the server still lets the request through: the service decides.
	item := b.files.add(t, "a", []byte("hello"))
	go func() {
		waitFor(t, "the service refuses", func() bool { return b.service.Refused() == 1 })
		cancel()
	}()
	if _, err := c.Fetch(ctx, "wapt", []Item{item}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want no answer", err)
	}
	if b.files.opened.Load() != 0 {
		t.Error("a file was opened")
	}
}

func TestAGreedyRemoteIsToldToWait(t *testing.T) {
	b := startBus(t)
	// One client alone keeps below what the main takes of its remote.
	o := b.member(t, "colmar")
	greedy := []*Client{connectClient(t, o), connectClient(t, o)}
	c, other := connectClient(t, o), b.remote(t, "nancy")
	slow := b.files.add(t, "slow", []byte("slow"))
	fast := b.files.add(t, "fast", []byte("fast"))
	gate := make(chan struct{})
	b.files.gate["slow"] = gate
	type result struct {
		errs []error
		err  error
	}
	results := make(chan result, fetchesPerRemote)
	nothing := func(Piece) error { return nil }
	for _, c := range greedy {
		for range fetchesAtOnce + quickAtOnce {
			go func() {
				errs, err := c.Fetch(testContext(t), "wapt", []Item{slow}, nothing)
				results <- result{errs, err}
			}()
		}
	}
	waitFor(t, "all of them are under way", func() bool {
		b.service.fetches.mu.Lock()
		defer b.service.fetches.mu.Unlock()
		return b.service.fetches.held["colmar"] == fetchesPerRemote
	})
	_, errs := collect(t, c, []Item{fast})
	wantCode(t, "one too many", errs[0], FetchBusy)
	close(gate)
	for range fetchesPerRemote {
		if r := <-results; r.err != nil || r.errs[0] != nil {
			t.Error(r)
		}
	}
	if got, errs := collect(t, other, []Item{fast}); string(got[0]) != "fast" || errs[0] != nil {
		t.Errorf("the other remote: %q, %v", got[0], errs[0])
	}
}

func TestFetchEndsWithTheErrorOfItsSink(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	items := []Item{b.files.add(t, "a", []byte("a")), b.files.add(t, "b", []byte("b"))}
	errs, err := c.Fetch(testContext(t), "wapt", items, func(Piece) error { return io.ErrShortWrite })
	if !errors.Is(err, io.ErrShortWrite) || !errors.Is(errs[0], io.ErrShortWrite) || !errors.Is(errs[1], io.ErrShortWrite) {
		t.Errorf("got %v, %v", errs, err)
	}
	// Nothing stays taken of what may be in flight.
	for range 4 {
		collect(t, c, items)
	}
	if !c.inFlight.TryAcquire(fetchInFlight) {
		t.Error("something is still counted as in flight")
	}
}

func TestFetchEndsWithTheConnection(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	item := b.files.add(t, "slow", []byte("slow"))
	gate := make(chan struct{})
	b.files.gate["slow"] = gate
	done := make(chan error)
	go func() {
		_, err := c.Fetch(testContext(t), "wapt", []Item{item}, nil)
		done <- err
	}()
	waitFor(t, "the file is being opened", func() bool { return b.files.opened.Load() == 1 })
	b.Server.Close()
	if err := <-done; !errors.Is(err, ErrInterrupted) || !errors.Is(err, ErrNotConnected) {
		t.Errorf("got %v, want ErrInterrupted and ErrNotConnected", err)
	}
	close(gate)
}

func TestALostMessageOfAReplyIsNoticed(t *testing.T) {
	message := func(number int, frames ...func([]byte) []byte) []byte {
		m := appendReplyHeader(nil, nonce{}, number)
		for _, f := range frames {
			m = f(m)
		}
		return m
	}
	data := func(item int, s string) func([]byte) []byte {
		return func(b []byte) []byte { return appendFrame(b, frameData, item, s) }
	}
	done := func(item int) func([]byte) []byte {
		return func(b []byte) []byte { return appendFrame(b, frameDone, item, "") }
	}
	end := func(b []byte) []byte { return appendFrame(b, frameEnd, 0, "") }
	zeroes := func(item, n int) func([]byte) []byte {
		return func(b []byte) []byte { return appendZeroes(b, item, n) }
	}
	items := []Item{{Path: "a", Length: 4}, {Path: "b", Length: 4}, {Path: "c", Length: 4, Manifest: true}, {Path: "d", Length: 4, Known: "sums"}}
	for name, messages := range map[string][][]byte{
		"gap":                 {message(0, data(0, "aa")), message(2, data(0, "aa"), done(0))},
		"twice":               {message(0, data(0, "aa")), message(0, data(0, "aa"), done(0))},
		"too short":           {message(0, data(0, "aa"), done(0))},
		"too long":            {message(0, data(0, "aaaaa"))},
		"too many zeroes":     {message(0, data(0, "aa"), zeroes(0, 3))},
		"no zeroes":           {message(0, zeroes(0, 0))},
		"zeroes of no item":   {message(0, zeroes(4, 1))},
		"zeroes for all":      {message(0, zeroes(allItems, 1))},
		"zeroes of an item":   {message(0, zeroes(0, 4), done(0), zeroes(0, 1))},
		"a zero manifest":     {message(0, zeroes(2, 1))},
		"zeroes for sums":     {message(0, zeroes(3, 1))},
		"behind done":         {message(0, data(0, "aaaa"), done(0), data(0, ""))},
		"end before all":      {message(0, data(0, "aaaa"), done(0), end)},
		"unknown item":        {message(0, data(4, "a"))},
		"data for all":        {message(0, data(allItems, "a"))},
		"frames behind end":   {message(0, data(0, "aaaa"), done(0), data(1, "aaaa"), done(1), end, done(1))},
		"to another request":  {appendReplyHeader(nil, nonce{1}, 0)},
		"no message at all":   {{}},
		"unknown kind of bit": {message(0, func(b []byte) []byte { return appendFrame(b, 17, 0, "") })},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFetching(slices.Clone(items), func(Piece) error { return nil })
			var err error
			for _, m := range messages {
				if err = f.take(m); err != nil {
					break
				}
			}
			if !errors.Is(err, errBadReply) {
				t.Errorf("got %v, want errBadReply", err)
			}
		})
	}
}

func TestAClientAsksForNoMoreThanTheMainTakes(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	file := b.files.add(t, "a", []byte("a"))
	var all errgroup.Group
	for range 20 * fetchesPerRemote {
		all.Go(func() error {
			errs, err := c.Fetch(testContext(t), "wapt", []Item{file}, func(Piece) error { return nil })
			return errors.Join(append(errs, err)...)
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}
