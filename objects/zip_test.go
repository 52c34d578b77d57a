package objects

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"
)

// zipMember is a member to build a container of.
type zipMember struct {
	name string
	data []byte
	when time.Time
}

// buildZip writes members as they are: what a package holds is mostly packed
// already. streamed writes sizes behind the data, as to a pipe; otherwise they
// stand before it.
func buildZip(t testing.TB, members []zipMember, comment string, streamed bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Store, Modified: m.when}
		var to io.Writer
		var err error
		if streamed {
			to, err = w.CreateHeader(h)
		} else {
			h.CompressedSize64, h.UncompressedSize64 = uint64(len(m.data)), uint64(len(m.data))
			to, err = w.CreateRaw(h)
		}
		if err == nil {
			_, err = to.Write(m.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.SetComment(comment); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// forcedEnds lists the places where findMembers forces an end, the content's
// own end left out.
func forcedEnds(t testing.TB, b []byte, least int64) (ends []int) {
	t.Helper()
	if len(b) == 0 {
		return nil
	}
	z, err := findMembers(bytes.NewReader(b), int64(len(b)), least)
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(0); ; {
		next, err := z.next(off)
		if err != nil {
			t.Fatal(err)
		}
		if next <= off || next > int64(len(b)) {
			t.Fatalf("after %d of %d comes %d", off, len(b), next)
		}
		if next == int64(len(b)) {
			return ends
		}
		off = next
		ends = append(ends, int(off))
	}
}

// samplePackage is like a WAPT package: some large members, many small ones.
func samplePackage(when time.Time) (members []zipMember) {
	add := func(name string, size int) {
		seed := byte(len(members))
		members = append(members, zipMember{name: name, data: random(seed, size), when: when})
	}
	add("setup.py", 3_000)
	add("installer.msi", 1_500_000)
	for i := range 40 {
		add(fmt.Sprintf("lang/%d.txt", i), 500+37*i)
	}
	for i := range 40 {
		add(fmt.Sprintf("bin/%d.dll", i), 20_000+3_001*i)
	}
	add("WAPT/manifest.sha256", 9_000)
	add("WAPT/control", 1_500)
	return members
}

var then = time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)

func TestEndsAreForcedAtLargeMembers(t *testing.T) {
	members := slices.Delete(samplePackage(then), 60, 80)
	members[1].data = members[1].data[:200_000]
	for _, c := range []struct {
		name, comment string
		streamed      bool
	}{
		{"plain", "", false},
		{"streamed", "", true},
		{"comment", "a comment", false},
		{"comment with an end record", endSignature + string(make([]byte, 300)), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := buildZip(t, members, c.comment, c.streamed)
			// Without the comment, the end record in which archive/zip falls for.
			plain := buildZip(t, members, "", c.streamed)
			r, err := zip.NewReader(bytes.NewReader(plain), int64(len(plain)))
			if err != nil {
				t.Fatal(err)
			}
			var want []int
			for _, f := range r.File {
				if f.CompressedSize64 >= 2_048 {
					off, err := f.DataOffset()
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, int(off), int(off)+int(f.CompressedSize64))
				}
			}
			// The last member is a small one, so the directory stands apart.
			want = append(want, bytes.Index(b, []byte(directorySignature)))
			if got := forcedEnds(t, b, 2_048); !slices.Equal(got, want) {
				t.Errorf("ends %v\nwant %v", got, want)
			}
			p := ParamsForFile(bytes.NewReader(b), int64(len(b)))
			if !p.Zip {
				t.Error("not known as a zip container")
			}
			wantM := referenceManifest(b, p, referenceSizes(b, p, want...))
			if got := describe(t, b, p); !sameManifest(got, wantM) {
				t.Errorf("cut into %v\nwant %v", sizesOf(got), sizesOf(wantM))
			}
			slow := &dripReader{r: bytes.NewReader(b), n: 33}
			got, err := Describe(t.Context(), slow, int64(len(b)), p, DescribeOptions{MD5: true})
			if err != nil || !sameManifest(got, wantM) {
				t.Errorf("read in small pieces: %v, or other objects", err)
			}
		})
	}
}

func TestTheNextVersionOfAPackageReusesMostBytes(t *testing.T) {
	before := samplePackage(then)
	later := then.Add(31 * 24 * time.Hour)
	for name, c := range map[string]struct {
		change func(m []zipMember) []zipMember
		least  float64
	}{
		"nothing": {func(m []zipMember) []zipMember { return m }, 1},
		"control changed": {func(m []zipMember) []zipMember {
			m[len(m)-1].data = []byte("version: 2")
			return m
		}, 0.99},
		"a member grown": {func(m []zipMember) []zipMember {
			m[60].data = append(slices.Clone(m[60].data), 1, 2, 3)
			return m
		}, 0.95},
		"a member before all": {func(m []zipMember) []zipMember {
			return slices.Insert(m, 0, zipMember{name: "new", data: random(200, 777), when: later})
		}, 0.99},
		"a member removed": {func(m []zipMember) []zipMember { return slices.Delete(m, 50, 51) }, 0.99},
		"a small member grown": {func(m []zipMember) []zipMember {
			m[20].data = random(201, 900)
			return m
		}, 0.98},
		"all unpacked anew": {func(m []zipMember) []zipMember {
			for i := range m {
				m[i].when = later
			}
			return m
		}, 0.95},
		"in another order": {func(m []zipMember) []zipMember { slices.Reverse(m); return m }, 0.95},
	} {
		t.Run(name, func(t *testing.T) {
			old := buildZip(t, before, "", true)
			fresh := buildZip(t, c.change(slices.Clone(before)), "", true)
			p := ParamsForFile(bytes.NewReader(fresh), int64(len(fresh)))
			share := reused(describe(t, old, p), describe(t, fresh, p))
			p.Zip = false
			without := reused(describe(t, old, p), describe(t, fresh, p))
			t.Logf("reused %.4f, without cuts at members %.4f", share, without)
			if share < c.least {
				t.Errorf("reused %.4f of the bytes, want %.2f", share, c.least)
			}
		})
	}
}

// zip64 makes of b, built with one member, a container that keeps its sizes and
// offsets in the fields for large ones.
func zip64(t *testing.T, b []byte) []byte {
	t.Helper()
	dir := bytes.LastIndex(b, []byte(directorySignature))
	end := bytes.LastIndex(b, []byte(endSignature))
	if dir < 0 || end < 0 {
		t.Fatal("no directory")
	}
	entry := slices.Clone(b[dir:end])
	size := uint64(binary.LittleEndian.Uint32(entry[20:]))
	for _, at := range []int{20, 24, 42} {
		binary.LittleEndian.PutUint32(entry[at:], 0xffffffff)
	}
	name := int(binary.LittleEndian.Uint16(entry[28:]))
	extra := []byte{0xcd, 0xab, 1, 0, 9, 1, 0, 24, 0}
	for _, v := range []uint64{size, size, 0} {
		extra = binary.LittleEndian.AppendUint64(extra, v)
	}
	binary.LittleEndian.PutUint16(entry[30:], uint16(len(extra)))
	entry = append(entry[:directoryLen+name], extra...)

	out := append(slices.Clone(b[:dir]), entry...)
	end64 := uint64(len(out))
	out = append(out, end64Signature...)
	out = binary.LittleEndian.AppendUint64(out, end64Len-12)
	out = append(out, make([]byte, 12)...)
	for _, v := range []uint64{1, 1, uint64(len(entry)), uint64(dir)} {
		out = binary.LittleEndian.AppendUint64(out, v)
	}
	out = append(out, locatorSignature+"\x00\x00\x00\x00"...)
	out = binary.LittleEndian.AppendUint64(out, end64)
	out = append(out, 1, 0, 0, 0)
	out = append(out, endSignature+"\x00\x00\x00\x00"...)
	out = append(out, bytes.Repeat([]byte{0xff}, 12)...)
	return append(out, 0, 0)
}

func TestEndsAreForcedInContainersOfTheLargeFormat(t *testing.T) {
	small := buildZip(t, []zipMember{{"a", random(1, 50_000), then}}, "", false)
	large := zip64(t, small)
	if _, err := zip.NewReader(bytes.NewReader(large), int64(len(large))); err != nil {
		t.Fatal("archive/zip cannot read it:", err)
	}
	if got, want := forcedEnds(t, large, 1), forcedEnds(t, small, 1); !slices.Equal(got, want) || len(got) != 2 {
		t.Errorf("ends %v, want %v", got, want)
	}
}

func TestBadContainersHaveNoForcedEnds(t *testing.T) {
	good := buildZip(t, []zipMember{{"a", random(1, 5_000), then}, {"b", random(2, 5_000), then}}, "", false)
	dir := bytes.Index(good, []byte(directorySignature))
	end := bytes.LastIndex(good, []byte(endSignature))
	if n := len(forcedEnds(t, good, 1)); n != 4 {
		t.Fatalf("%d ends of the good one", n)
	}
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		ends   int
	}{
		"no end record":            {func(b []byte) []byte { return b[:len(b)-1] }, 0},
		"bytes behind":             {func(b []byte) []byte { return append(b, 0) }, 0},
		"bytes before":             {func(b []byte) []byte { return append([]byte("#!"), b...) }, 0},
		"directory not there":      {func(b []byte) []byte { b[dir] = 0; return b }, 0},
		"directory beyond the end": {func(b []byte) []byte { b[end+15] = 0x7f; return b }, 0},
		"directory too long":       {func(b []byte) []byte { b[end+14] = 1; return b }, 0},
		"entry cut short":          {func(b []byte) []byte { b[end+12]--; return b }, 0},
		"name too long":            {func(b []byte) []byte { b[dir+29] = 0x7f; return b }, 0},
		"large format, no locator": {func(b []byte) []byte { b[end+19], b[end+18], b[end+17], b[end+16] = 255, 255, 255, 255; return b }, 0},
		"first header not there":   {func(b []byte) []byte { b[0] = 'X'; return b }, 2},
		"first size too large":     {func(b []byte) []byte { b[dir+23] = 1; return b }, 2},
		"first over the second":    {func(b []byte) []byte { b[dir+20]++; return b }, 3},
		"first offset too large":   {func(b []byte) []byte { b[dir+45] = 1; return b }, 2},
		"both the same":            {func(b []byte) []byte { copy(b[dir+47+42:], []byte{0, 0, 0, 0}); return b }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.change(slices.Clone(good))
			if got := forcedEnds(t, b, 1); len(got) != c.ends {
				t.Errorf("ends %v, want %d", got, c.ends)
			}
		})
	}
}

func TestTheDirectoryIsReadInPieces(t *testing.T) {
	var members []zipMember
	for i := range 9_000 { // some 700 kB of directory
		members = append(members, zipMember{fmt.Sprintf("a/rather/long/name/of/a/member/%d", i), random(byte(i), 20+i%3), then})
	}
	b := buildZip(t, members, "", false)
	if got := len(forcedEnds(t, b, 22)); got != 2*len(members)/3 {
		t.Errorf("%d ends", got)
	}
}

func TestTooManyMembersGiveNoForcedEnds(t *testing.T) {
	members := make([]zipMember, maxMembers+1)
	for i := range members {
		members[i] = zipMember{name: "x", data: []byte("y")}
	}
	b := buildZip(t, members, "", false)
	if got := len(forcedEnds(t, b, 1)); got != 0 {
		t.Errorf("%d ends", got)
	}
	if got := len(forcedEnds(t, b, 2)); got != 1 {
		t.Errorf("%d ends when none is large, want the directory's beginning", got)
	}
}

func FuzzZip(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add(buildZip(f, []zipMember{{"a", random(1, 300), then}, {"b", nil, then}, {"c", random(2, 70), then}}, "", true), uint16(64))
	f.Add(buildZip(f, []zipMember{{"a", random(1, 30), then}}, "comment", false), uint16(1))
	f.Add([]byte(endSignature+"\x00\x00\x00\x00\xff\xff\xff\xff\x2e\x00\x00\x00\x00\x00\x00\x00\x00\x00"), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, least uint16) {
		forcedEnds(t, b, int64(least)+1) // checks that they ascend
		reads := &dripReader{r: bytes.NewReader(b), n: 1 << 20}
		z, err := findMembers(reads, int64(len(b)), int64(least)+1)
		if err != nil {
			t.Fatal(err)
		}
		for off := int64(0); off < int64(len(b)); {
			if off, err = z.next(off); err != nil {
				t.Fatal(err)
			}
		}
		// One read a member of at least 46 bytes in the directory, one in five idle.
		if most := 20 + len(b)/directoryLen*3/2; reads.calls > most {
			t.Fatalf("%d reads of %d bytes", reads.calls, len(b))
		}
		p := Params{Min: 64, Avg: 512, Max: 2048, Zip: true}
		ends := forcedEnds(t, b, int64(p.Avg)/2)
		m := describe(t, b, p)
		if !sameManifest(m, referenceManifest(b, p, referenceSizes(b, p, ends...))) {
			t.Fatal("not cut by the definition")
		}
	})
}
