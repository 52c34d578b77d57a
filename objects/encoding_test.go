package objects

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// sampleManifests are of no, one and several objects, with and without MD5.
func sampleManifests(t testing.TB) map[string]*Manifest {
	t.Helper()
	plain := describe(t, random(1, 200_000), ParamsFor(200_000, true))
	noMD5 := *plain
	noMD5.HasMD5, noMD5.MD5 = false, [16]byte{}
	return map[string]*Manifest{
		"empty":       describe(t, nil, ParamsFor(0, false)),
		"one object":  describe(t, []byte("one"), ParamsFor(3, false)),
		"many":        plain,
		"without MD5": &noMD5,
		"fine":        describe(t, random(2, 100_000), Params{Min: 64, Avg: 256, Max: 300}),
	}
}

func TestDecodeIsTheInverseOfAppend(t *testing.T) {
	for name, m := range sampleManifests(t) {
		t.Run(name, func(t *testing.T) {
			enc, err := m.AppendBinary([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			enc, ok := bytes.CutPrefix(enc, []byte("before"))
			if !ok {
				t.Fatal("AppendBinary does not append")
			}
			got, err := DecodeManifest(enc)
			if err != nil || !sameManifest(got, m) {
				t.Fatalf("decoded: %v, %+v\nwant %+v", err, got, m)
			}
			for n := range enc {
				if n < 300 || n%97 == 0 {
					if _, err := DecodeManifest(enc[:n]); !errors.Is(err, ErrManifest) {
						t.Fatalf("the first %d of %d bytes: %v", n, len(enc), err)
					}
				}
			}
			if _, err := DecodeManifest(append(enc, 0)); !errors.Is(err, ErrManifest) {
				t.Errorf("with a byte behind: %v", err)
			}
		})
	}
}

// The ID of an encoding is in the events of running installations.
func TestGoldenEncoding(t *testing.T) {
	m := &Manifest{
		Params: Params{Min: 64, Avg: 256, Max: 16384, Zip: true}, Size: 16387, Digest: ID{1}, HasMD5: true, MD5: [16]byte{2},
		Objects: []Object{{ID: ID{3}, Size: 3}, {ID: ID{4}, Size: 16384}},
	}
	enc, err := m.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	zeroes := func(n int) string { return hex.EncodeToString(make([]byte, n)) }
	want := "01" + "03" + "40" + "8002" + "808001" + "838001" + "01" + zeroes(31) + "02" + zeroes(15) +
		"02" + "03" + "03" + zeroes(31) + "808001" + "04" + zeroes(31)
	if got := hex.EncodeToString(enc); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestContradictingManifestsAreRefused(t *testing.T) {
	for name, change := range map[string]func(m *Manifest){
		"size too small":       func(m *Manifest) { m.Size-- },
		"size negative":        func(m *Manifest) { m.Size = -1 },
		"object of no bytes":   func(m *Manifest) { m.Objects[1].Size = 0 },
		"object too large":     func(m *Manifest) { m.Objects[1].Size = m.Params.Max + 1 },
		"objects missing":      func(m *Manifest) { m.Objects = nil },
		"object missing":       func(m *Manifest) { m.Objects = m.Objects[1:] },
		"average not a power":  func(m *Manifest) { m.Params.Avg-- },
		"MD5 not said":         func(m *Manifest) { m.HasMD5 = false },
		"empty, wrong digest":  func(m *Manifest) { m.Size, m.Objects = 0, nil },
		"one, wrong digest":    func(m *Manifest) { m.Objects = m.Objects[:1]; m.Size = int64(m.Objects[0].Size) },
		"small, but two":       func(m *Manifest) { m.Size, m.Objects = 2, []Object{{Size: 1}, {Size: 1}} },
		"more than MaxObjects": func(m *Manifest) { m.Objects = make([]Object, MaxObjects+1) },
	} {
		t.Run(name, func(t *testing.T) {
			m := describe(t, random(1, 200_000), ParamsFor(200_000, false))
			change(m)
			if b, err := m.AppendBinary([]byte("x")); !errors.Is(err, ErrManifest) || string(b) != "x" {
				t.Errorf("AppendBinary: %v, %d bytes", err, len(b))
			}
		})
	}
}

func TestBytesOfNoManifestAreRefused(t *testing.T) {
	enc, err := sampleManifests(t)["many"].AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	patched := func(i int, with ...byte) []byte { return slices.Replace(slices.Clone(enc), i, i+1, with...) }
	head := slices.Concat(enc[:2], []byte{0x80, 0x08, 0x80, 0x20, 0x80, 0x80, 0x01})
	if !bytes.HasPrefix(enc, head) {
		t.Fatalf("the encoding begins % x", enc[:12])
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":          {nil, ErrManifest},
		"version 0":        {patched(0, 0), ErrManifestVersion},
		"version 2":        {patched(0, 2), ErrManifestVersion},
		"unknown flag":     {patched(1, 7), ErrManifest},
		"not minimal":      {patched(3, 0x88, 0x00), ErrManifest},
		"over 32 bits":     {patched(3, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), ErrManifest},
		"over 64 bits":     {patched(3, bytes.Repeat([]byte{0xff}, 10)...), ErrManifest},
		"endless integer":  {append(slices.Clone(enc[:2]), bytes.Repeat([]byte{0x80}, 100)...), ErrManifest},
		"count over bytes": {slices.Concat(head, []byte{0x00}, make([]byte, 48), []byte{0xff, 0xff, 0x3f}), ErrManifest},
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := DecodeManifest(c.b); !errors.Is(err, c.want) || m != nil {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	// A flip in the digests may go unnoticed here; it must not do harm.
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2_000 {
		b := slices.Clone(enc)
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		decodeIdentity(t, b)
	}
}

// decodeIdentity makes sure that what decodes is encoded as it was.
func decodeIdentity(t *testing.T, b []byte) {
	t.Helper()
	m, err := DecodeManifest(b)
	if err != nil {
		if m != nil || !errors.Is(err, ErrManifest) && !errors.Is(err, ErrManifestVersion) {
			t.Fatalf("refused with %v", err)
		}
		return
	}
	again, err := m.AppendBinary(nil)
	if err != nil || !bytes.Equal(again, b) {
		t.Fatalf("% x\ndecodes, but is encoded (%v) as\n% x", b, err, again)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	for _, m := range sampleManifests(f) {
		if len(m.Objects) < 100 {
			b, err := m.AppendBinary(nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add([]byte{manifestVersion, flagAll})
	f.Fuzz(func(t *testing.T, b []byte) { decodeIdentity(t, b) })
}
