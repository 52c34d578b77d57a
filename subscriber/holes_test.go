package subscriber

import (
	"bytes"
	"slices"
	"testing"
)

// mixed puts zeroes and random bytes in turn, of the given lengths.
func mixed(lengths ...int) []byte {
	var b []byte
	for i, n := range lengths {
		if i%2 == 0 {
			b = append(b, make([]byte, n)...)
		} else {
			b = append(b, bytes.Repeat([]byte{7}, n)...)
		}
	}
	return b
}

func TestRunsOfZeroesThatAreWorthAHole(t *testing.T) {
	const page, hole = holePage, leastHole
	for _, c := range []struct {
		name   string
		data   []byte
		offset int64
		want   []int // lengths: written and left out in turn
	}{
		{"no zeroes", mixed(0, 300_000), 0, []int{300_000, 0}},
		{"nothing else", mixed(300_000), 0, []int{0, 300_000}},
		{"fewer than are worth it", mixed(hole - 1), 0, []int{hole - 1, 0}},
		{"as many", mixed(hole), 0, []int{0, hole}},
		{"as many, and no page", mixed(hole), 1, []int{hole, 0}},
		{"as many from a page on", mixed(1 + hole), page - 1, []int{1, hole}},
		{"too few between", mixed(0, 10, hole+page-11, 10), 0, []int{hole + page + 9, 0}},
		{"between", mixed(0, 10, hole+page, 10), 0, []int{page, hole, 20, 0}},
		{"a byte amid", mixed(hole, 1, hole+page), 0, []int{0, hole, page, hole + 1}},
		{"many", slices.Repeat(mixed(2*hole, hole), 3), 5 * page, []int{0, 2 * hole, hole, 2 * hole, hole, 2 * hole, hole, 0}},
		{"a short end", mixed(0, hole, hole+5), 0, []int{hole, hole + 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []int
			for data, offset := c.data, c.offset; len(data) > 0; {
				solid, hole := splitZeroes(data, offset)
				got = append(got, solid, hole)
				data, offset = data[solid+hole:], offset+int64(solid+hole)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func FuzzSplitZeroes(f *testing.F) {
	f.Add(mixed(70_000, 10, 140_000), uint16(4095))
	f.Add(mixed(0, 5000, 66_000), uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, offset uint16) {
		data = append(data, make([]byte, 2*leastHole)...)
		data = append(data, data...)
		got := make([]byte, 0, len(data))
		for rest, at := data, int64(offset); len(rest) > 0; {
			solid, hole := splitZeroes(rest, at)
			if solid+hole == 0 || hole > 0 && (hole < leastHole || (at+int64(solid))%holePage != 0) {
				t.Fatalf("%d and %d at %d of %d", solid, hole, at, len(data))
			}
			got = append(append(got, rest[:solid]...), make([]byte, hole)...)
			if end := at + int64(solid+hole); hole > 0 && end%holePage != 0 && solid+hole < len(rest) {
				t.Fatalf("a hole ends at %d", end)
			}
			rest, at = rest[solid+hole:], at+int64(solid+hole)
		}
		if !bytes.Equal(got, data) {
			t.Fatal("other bytes")
		}
	})
}

func BenchmarkLookingForZeroes(b *testing.B) {
	for name, data := range map[string][]byte{"none": random(blockSize), "all": make([]byte, blockSize)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				splitZeroes(data, 0)
			}
		})
	}
}
