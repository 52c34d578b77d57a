package objects

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func encoded(t testing.TB, m *Manifest) []byte {
	t.Helper()
	b, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// madeManifest has objects of the given numbers, so that tests say what is common.
func madeManifest(numbers ...int) *Manifest {
	m := &Manifest{Params: Params{Min: 4 << 10, Avg: 16 << 10, Max: 64 << 10}, Digest: ID{9}}
	for _, n := range numbers {
		o := Object{ID: Sum(fmt.Append(nil, n)), Size: uint32(20_000 + n)}
		m.Objects = append(m.Objects, o)
		m.Size += int64(o.Size)
	}
	return m
}

// upTo are the numbers from one to another.
func upTo(from, to int) (numbers []int) {
	for n := from; n <= to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

func TestADeltaHasOnlyWhatTheBasesHaveNot(t *testing.T) {
	const object = 3 + 32 // bytes of one in full
	old := upTo(1, 1000)
	for _, c := range []struct {
		name  string
		m     []int
		bases [][]int
		most  int // bytes beside the head
	}{
		{"all the same", old, [][]int{old}, 3},
		{"a part of it", upTo(300, 500), [][]int{old}, 4},
		{"some new in front", append(upTo(2001, 2010), old...), [][]int{old}, 4 + 10*object},
		{"some new in the middle", slices.Concat(upTo(1, 400), upTo(2001, 2010), upTo(401, 1000)), [][]int{old}, 8 + 10*object},
		{"some new behind", append(upTo(1, 1000), 2001), [][]int{old}, 4 + object},
		{"some less", slices.Concat(upTo(1, 400), upTo(500, 1000)), [][]int{old}, 7},
		{"another order", slices.Concat(upTo(501, 1000), upTo(1, 500)), [][]int{old}, 9},
		{"one over and over", slices.Repeat([]int{7}, 500), [][]int{old}, 500 * 2},
		{"the base's one over and over", slices.Repeat([]int{7}, 500), [][]int{slices.Repeat([]int{7}, 900)}, 3},
		{"every second one is new", everySecond(old), [][]int{old}, 500*object + 500*4},
		{"two bases", slices.Concat(upTo(1, 100), upTo(901, 1000)), [][]int{upTo(1, 100), upTo(901, 1000)}, 3},
		{"the second base", upTo(901, 1000), [][]int{nil, upTo(901, 1000)}, 3},
		{"a base that is too long is left out", upTo(1, 100), [][]int{upTo(1, MaxDeltaObjects+1), upTo(1, 100)}, 3},
		{"bases that are too many objects together", upTo(1, 100), [][]int{upTo(1000, 11000), upTo(1, MaxDeltaObjects), upTo(1, 100)}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := madeManifest(c.m...)
			var encodings [][]byte
			var bases []*Manifest
			for _, numbers := range c.bases {
				base := madeManifest(numbers...)
				bases = append(bases, base)
				if len(numbers) == 0 {
					encodings = append(encodings, nil)
				} else {
					encodings = append(encodings, encoded(t, base))
				}
			}
			d := Delta(encoded(t, m), encodings)
			if !IsDelta(d) {
				t.Fatal("no delta")
			}
			if most := 2 + len(m.appendHead(nil)) + c.most; len(d) > most {
				t.Errorf("%d bytes, more than %d", len(d), most)
			}
			got, err := DecodeDelta(d, bases)
			if err != nil || !sameManifest(got, m) {
				t.Fatalf("%v, %+v", err, got)
			}
			for n := range d {
				if n < 300 || n%97 == 0 {
					if _, err := DecodeDelta(d[:n], bases); !errors.Is(err, ErrManifest) {
						t.Fatalf("the first %d of %d bytes: %v", n, len(d), err)
					}
				}
			}
			if _, err := DecodeDelta(append(d, 0), bases); !errors.Is(err, ErrManifest) {
				t.Errorf("with a byte behind: %v", err)
			}
		})
	}
}

func everySecond(of []int) []int {
	of = slices.Clone(of)
	for i := range of {
		if i%2 == 1 {
			of[i] += 5000
		}
	}
	return of
}

func TestWhereADeltaIsOfNoUseTheEncodingComes(t *testing.T) {
	m := encoded(t, madeManifest(upTo(1, 100)...))
	long := encoded(t, madeManifest(upTo(1, MaxDeltaObjects+1)...))
	for name, c := range map[string]struct {
		m     []byte
		bases [][]byte
	}{
		"no bases":           {m, nil},
		"nothing in common":  {m, [][]byte{encoded(t, madeManifest(upTo(201, 300)...))}},
		"bases not at hand":  {m, [][]byte{nil, nil}},
		"bases of noise":     {m, [][]byte{[]byte("noise"), m[:len(m)-1]}},
		"too many bases":     {m, [][]byte{m, m, m, m, m}},
		"too many objects":   {long, [][]byte{m}},
		"a base of too many": {m, [][]byte{long}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := Delta(c.m, c.bases); !bytes.Equal(d, c.m) || IsDelta(d) {
				t.Errorf("%d bytes", len(d))
			}
		})
	}
}

func TestNextVersionsManifestIsFewBytes(t *testing.T) {
	old := random(1, 16<<20)
	next := slices.Concat(random(2, 1234), old[:8<<20], random(3, 300_000), old[8<<20:])
	p := ParamsFor(int64(len(old)), false)
	base := describe(t, old, p)
	m := describe(t, next, p)
	encoding := encoded(t, m)
	d := Delta(encoding, [][]byte{encoded(t, base)})
	if len(d) > len(encoding)/10 {
		t.Errorf("%d bytes of %d", len(d), len(encoding))
	}
	if got, err := DecodeDelta(d, []*Manifest{base}); err != nil || !sameManifest(got, m) {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestBytesOfNoDeltaAreRefused(t *testing.T) {
	base := madeManifest(upTo(1, 10)...)
	bases := []*Manifest{base}
	m := madeManifest(upTo(1, 5)...)
	head := func(used byte, m *Manifest) []byte { return m.appendHead([]byte{deltaVersion, used}) }
	with := func(b []byte, runs ...byte) []byte { return append(slices.Clone(b), runs...) }
	good := with(head(1, m), 5<<1, 0)
	if got, err := DecodeDelta(good, bases); err != nil || !sameManifest(got, m) {
		t.Fatal(err)
	}
	many := *m
	many.Objects = make([]Object, MaxDeltaObjects+1)
	other := *m
	other.Size++
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"an encoding":           encoded(t, m),
		"unknown flags":         slices.Replace(slices.Clone(good), 2, 3, flagAll+1),
		"a base that is none":   slices.Replace(slices.Clone(good), 1, 2, 3),
		"no runs":               head(1, m),
		"a run of none":         with(head(1, m), 0, 0, 5<<1, 0),
		"a run of none in full": with(head(1, m), 1, 5<<1, 0),
		"more than the count":   with(head(1, m), 6<<1, 0),
		"less than the count":   with(head(1, m), 4<<1, 0),
		"a run too many":        with(good, 1<<1, 0),
		"before the bases":      with(head(1, m), 5<<1, 1),
		"behind the bases":      with(head(1, m), 5<<1, 6<<1),
		"far behind the bases":  binary.AppendVarint(with(head(1, m), 5<<1), 1<<40),
		"bases that it has not": with(head(0, m), 5<<1, 0),
		"not minimal":           with(head(1, m), 5<<1|0x80, 0, 0),
		"objects cut short":     with(head(1, m), 5<<1|1, 0xa1, 0x9c, 1),
		"of another size":       with(head(1, &other), 5<<1, 0),
		"too many objects":      with(head(1, &many), 5<<1, 0),
		"objects of no bytes":   with(head(1, m), append([]byte{4 << 1, 0, 1<<1 | 1}, make([]byte, 33)...)...),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := DecodeDelta(b, bases); !errors.Is(err, ErrManifest) || got != nil {
				t.Errorf("%v, %+v", err, got)
			}
		})
	}
	if _, err := DecodeDelta(good, nil); !errors.Is(err, ErrManifest) {
		t.Errorf("without its base: %v", err)
	}
	if _, err := DecodeDelta(good, slices.Repeat(bases, MaxBases+1)); !errors.Is(err, ErrManifest) {
		t.Errorf("against too many bases: %v", err)
	}
}

func TestGoldenDelta(t *testing.T) {
	m := &Manifest{
		Params: Params{Min: 64, Avg: 256, Max: 16384}, Size: 3*16384 + 3, Digest: ID{1},
		Objects: []Object{{ID: ID{3}, Size: 3}, {ID: ID{4}, Size: 16384}, {ID: ID{5}, Size: 16384}, {ID: ID{6}, Size: 16384}},
	}
	base := &Manifest{
		Params: m.Params, Size: 3 * 16384, Digest: ID{2},
		Objects: []Object{{ID: ID{7}, Size: 16384}, {ID: ID{4}, Size: 16384}, {ID: ID{5}, Size: 16384}},
	}
	zeroes := func(n int) string { return hex.EncodeToString(make([]byte, n)) }
	want := "02" + "02" + "00" + "40" + "8002" + "808001" + "838003" + "01" + zeroes(31) + "04" +
		"03" + "03" + "03" + zeroes(31) + "04" + "02" + "03" + "808001" + "06" + zeroes(31)
	if got := hex.EncodeToString(Delta(encoded(t, m), [][]byte{nil, encoded(t, base)})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzDecodeDelta(f *testing.F) {
	bases := []*Manifest{madeManifest(upTo(1, 30)...), madeManifest(upTo(21, 40)...)}
	for _, numbers := range [][]int{upTo(1, 40), upTo(35, 50), {30, 1, 1, 1, 99, 40, 2}, everySecond(upTo(1, 20))} {
		f.Add(Delta(encoded(f, madeManifest(numbers...)), [][]byte{encoded(f, bases[0]), encoded(f, bases[1])}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeDelta(b, bases)
		if err != nil {
			if m != nil || !errors.Is(err, ErrManifest) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if len(m.Objects) > MaxDeltaObjects {
			t.Fatalf("%d objects", len(m.Objects))
		}
		again := Delta(encoded(t, m), [][]byte{encoded(t, bases[0]), encoded(t, bases[1])})
		if IsDelta(again) {
			m2, err := DecodeDelta(again, bases)
			if err != nil || !sameManifest(m, m2) {
				t.Fatalf("%v: %+v came back as %+v", err, m, m2)
			}
		}
	})
}

// FuzzDelta has manifests of any objects made and put together again.
func FuzzDelta(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5}, []byte{1, 2, 9, 4, 5}, []byte{5})
	f.Add([]byte{1, 1, 1, 2, 2}, []byte{1, 2, 1, 2}, []byte{})
	f.Fuzz(func(t *testing.T, content, one, two []byte) {
		of := func(b []byte) *Manifest {
			numbers := []int{1000} // one object alone would have to be the content
			for _, x := range b {
				numbers = append(numbers, int(x))
			}
			return madeManifest(append(numbers, 1001)...)
		}
		m, bases := of(content), []*Manifest{of(one), of(two)}
		d := Delta(encoded(t, m), [][]byte{encoded(t, bases[0]), encoded(t, bases[1])})
		got, err := DecodeManifest(d)
		if IsDelta(d) {
			got, err = DecodeDelta(d, bases)
		}
		if err != nil || !sameManifest(got, m) {
			t.Fatalf("%v: %+v came back as %+v", err, m, got)
		}
	})
}

func BenchmarkDelta(b *testing.B) {
	old, next := upTo(1, 3000), slices.Concat(upTo(1, 1500), upTo(5001, 5300), upTo(1501, 3000))
	base := encoded(b, madeManifest(old...))
	m := encoded(b, madeManifest(next...))
	b.ReportAllocs()
	for b.Loop() {
		if d := Delta(m, [][]byte{base}); !IsDelta(d) {
			b.Fatal("no delta")
		}
	}
}
