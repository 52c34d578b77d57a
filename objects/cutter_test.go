package objects

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestGearTableIsFromItsSeed(t *testing.T) {
	for i, got := range gear {
		sum := sha256.Sum256([]byte{byte(i)})
		if want := binary.BigEndian.Uint64(sum[:]); got != want {
			t.Errorf("entry %d is %#x, want %#x", i, got, want)
		}
	}
}

// A run of zeroes or ones, as images of disks and flash chips have, must give
// objects of the greatest size, not of the least.
func TestRunsOfZeroesAndOnesAreNoCuts(t *testing.T) {
	for _, fill := range []byte{0x00, 0xff} {
		for avg := uint32(minAvg); avg <= maxAvg; avg *= 2 {
			p := Params{Min: avg / 4, Avg: avg, Max: avg * 4}
			m := describe(t, bytes.Repeat([]byte{fill}, int(max(9*avg, 2*SingleMax))), p)
			for i, o := range m.Objects[:len(m.Objects)-1] {
				if o.Size != p.Max {
					t.Fatalf("fill %#x, average %d: object %d has %d bytes, want %d", fill, avg, i, o.Size, p.Max)
				}
			}
		}
	}
}

// Zeroes are passed over and named in a way of their own, wherever they lie.
func TestFilesWithHolesAreCutAsAnyOther(t *testing.T) {
	for _, p := range []Params{ParamsFor(0, false), {Min: 64, Avg: 256, Max: 1024}, {Min: 64 << 10, Avg: 128 << 10, Max: 256 << 10}} {
		for seed := range byte(2) {
			var b []byte
			for i, n := range random(seed, 12) {
				data := make([]byte, int(n)*int(p.Max)/100+i)
				if i%3 != int(seed)%3 {
					copy(data, random(byte(i), len(data)/int(1+n%3)))
				}
				b = append(b, data...)
			}
			want := referenceManifest(b, p, referenceSizes(b, p))
			if got := describe(t, b, p); !sameManifest(got, want) {
				t.Errorf("%+v, seed %d: %d bytes are cut into %v\nwant %v", p, seed, len(b), sizesOf(got), sizesOf(want))
			}
			emitted := emittedBytes(t, b, p)
			if !bytes.Equal(emitted, b) {
				t.Errorf("%+v, seed %d: other bytes are handed out", p, seed)
			}
		}
	}
}

func emittedBytes(t *testing.T, b []byte, p Params) (all []byte) {
	t.Helper()
	_, err := Describe(t.Context(), bytes.NewReader(b), int64(len(b)), p, DescribeOptions{Emit: func(o Object, data []byte) error {
		if Sum(data) != o.ID || len(data) != int(o.Size) {
			t.Errorf("an object of %d bytes comes with others", o.Size)
		}
		all = append(all, data...)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCutsFollowTheDefinition(t *testing.T) {
	for _, p := range []Params{
		ParamsFor(0, false), ParamsFor(0, true),
		{Min: 64, Avg: 256, Max: 1024},
		{Min: 64, Avg: 256, Max: 256},
		{Min: 256, Avg: 256, Max: 256},
		{Min: 1000, Avg: 1024, Max: 5000},
	} {
		p.Zip = false
		for _, n := range []int{0, 1, 63, 64, 65, 255, 256, 257, 1024, SingleMax, SingleMax + 1, int(p.Max) + 1, 300_000} {
			b := random(byte(n), n)
			want := referenceManifest(b, p, referenceSizes(b, p))
			if got := describe(t, b, p); !sameManifest(got, want) {
				t.Errorf("%+v: %d bytes are cut into %v\nwant %v", p, n, sizesOf(got), sizesOf(want))
			}
		}
	}
}

func TestCutsDoNotDependOnPieces(t *testing.T) {
	p := Params{Min: 64, Avg: 256, Max: 1024}
	b := random(1, 200_000)
	want := referenceSizes(b, p)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		c := newCutter(p)
		var got []uint32
		begun := 0
		for rest := b; len(rest) > 0; {
			n, end := c.next(rest[:min(len(rest), 1+rng.IntN(300))])
			rest = rest[n:]
			if begun += n; end || len(rest) == 0 {
				got = append(got, uint32(begun))
				begun = 0
				c.reset()
			}
		}
		if !slices.Equal(got, want) {
			t.Fatal("other cuts than of the whole")
		}
	}
}

func TestSizesStayNearTheAverage(t *testing.T) {
	b := random(2, 64<<20)
	p := ParamsFor(int64(len(b)), false)
	m := describe(t, b, p)
	mean := float64(len(b)) / float64(len(m.Objects)) / float64(p.Avg)
	if mean < 0.9 || mean > 1.3 {
		t.Errorf("objects have %.2f times the average size", mean)
	}
	if len(m.Objects) > targetLen*11/10 {
		t.Errorf("%d objects, want about %d", len(m.Objects), targetLen)
	}
}

func TestAnInsertedByteChangesFewObjects(t *testing.T) {
	b := random(3, 64<<20)
	p := ParamsFor(int64(len(b)), false)
	before := describe(t, b, p)
	for _, at := range []int{0, 33_333_333, len(b)} {
		after := describe(t, slices.Insert(slices.Clone(b), at, 'x'), p)
		fresh := 0
		var have Sources
		have.Add("before", before)
		for _, o := range after.Objects {
			if _, _, _, ok := have.Find(o.ID); !ok {
				fresh++
			}
		}
		if fresh < 1 || fresh > 3 {
			t.Errorf("a byte inserted at %d changed %d of %d objects", at, fresh, len(after.Objects))
		}
	}
}

// The table pins the format: were it to change, no remote would find again what
// it has, and every manifest would have another ID.
func TestGoldenObjects(t *testing.T) {
	m := describe(t, random(0, 1<<20), ParamsFor(1<<20, false))
	var got bytes.Buffer
	for off, o := range m.All() {
		fmt.Fprintf(&got, "%7d %6d %s\n", off, o.Size, o.ID)
		if bytes.Count(got.Bytes(), []byte("\n")) == 20 {
			break
		}
	}
	if got.String() != goldenObjects {
		t.Errorf("the first objects are now\n%s", got.String())
	}
}

const goldenObjects = `      0  22922 727046c609398b5ab8182f6a7ae917ad53f4921dff0b1bcafa91de2a6a8fa92a
  22922  21929 3ab01484daff33de8175d658a800e5a5a809dbe37e6b641fdc20775992ebe584
  44851  17173 bcdb7b87105e256ab14f140bebcb3b56616129ba8f3437ad7d79b4a14729d16d
  62024  22667 8f79ea7b78342df729403e3afcaf0ddd55aefa89519ed16ce5d864ce43fc6540
  84691  19890 8423bb71109b9bc36682cb4d82bc890f00ee8de75002b8ab94933c31bf66054d
 104581  22667 49ddc90bbc2067514d98c10694e3e765ff3c993dd58cc6a3b7a4af91c7e5b358
 127248  24355 ab275604e3d31246c9ae54731cdf5e2ed01c82ca34ec447a209c75ceeadd4cbb
 151603  19464 c73afb425db6dbc70055d5d8315fdd13d7d2e4dd9ca1ba16bdb0db2f51031462
 171067  17743 e6313c342aed352366f8b7bd0f38151bd5a1f158d6867ef29e988f2ee257f3ed
 188810  15134 ba6e7c7113d1a05808e2cf1bf7c38fbfc7677198aa17f9ed5aa51404f9e71290
 203944  22356 775228a43845cccceb2b0e5d7ab235b1e88f1ef7887be7cb335758f5a121aa2b
 226300  16116 4f243e886fcc0ac9d3fa06aafa23450f0f23a9d9820acf363c7309c2895f0639
 242416  20770 a732c7eacf9ef42feec971328f6009169c85fee0840c3ae8db489e9929b6d1df
 263186  24662 c856171f9abfee64a17dbfe9657e414616971dc4fd76d7a4be49e57dd3bd140b
 287848  22408 f648c73d6c34a7131ab774ac5e89af96a5d73602ebacadd5d8f7595bd88c41d1
 310256  11371 848767dd51799c0e88c291e705fda2f226ce1fa6607ca51df5945e9146e1a09c
 321627   8310 5154784f466eb47a989f5d6d25bb4a03de6415578fe5f5c6401f9b0680725aa0
 329937  17999 4636986f09fda5d4e6d6bc778c0285dc928f7dbc49f857a6b40a32fb29d853fc
 347936  17401 e89fd3410e6227c3b5edcca1cf9ea8d163ae0b764136102f072da17730d1a8b6
 365337  18735 d25daa6e0102f7f6f33ad466d7fc26618faf2d0423f86515879f1481d4468a36
`

func sizesOf(m *Manifest) (s []uint32) {
	for _, o := range m.Objects {
		s = append(s, o.Size)
	}
	return s
}

func sameManifest(a, b *Manifest) bool {
	return a.Params == b.Params && a.Size == b.Size && a.Digest == b.Digest &&
		a.HasMD5 == b.HasMD5 && a.MD5 == b.MD5 && slices.Equal(a.Objects, b.Objects)
}
