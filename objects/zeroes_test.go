package objects

import (
	"slices"
	"testing"
)

func TestZeroesAreToldFromOtherBytes(t *testing.T) {
	zero := func(n int) []byte { return make([]byte, n) }
	one := func(n int) []byte { return slices.Repeat([]byte{1}, n) }
	for name, c := range map[string]struct {
		b          []byte
		begin, end int
	}{
		"nothing":             {nil, 0, 0},
		"all zero":            {zero(5000), 5000, 5000},
		"few zeroes":          {zero(7), 7, 7},
		"no zero":             {one(5000), 0, 0},
		"the first byte":      {append([]byte{1}, zero(4999)...), 0, 4096},
		"the last byte":       {append(zero(4999), 1), 4096, 0},
		"a byte amid":         {slices.Concat(zero(2100), one(1), zero(2100)), 2048, 2048},
		"less than a step":    {slices.Concat(zero(1023), one(10), zero(1023)), 0, 0},
		"a step on each side": {slices.Concat(zero(1024), one(10), zero(1024)), 1024, 1024},
		"one amid of few":     {[]byte{0, 1, 0}, 0, 0},
		"twos of one byte":    {[]byte{0, 2, 2, 0}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			begin, end := ZeroesAt(c.b)
			if begin != c.begin || end != c.end {
				t.Errorf("%d and %d, want %d and %d", begin, end, c.begin, c.end)
			}
			if got, want := IsZero(c.b), !slices.ContainsFunc(c.b, func(x byte) bool { return x != 0 }); got != want {
				t.Errorf("IsZero says %v", got)
			}
		})
	}
}

func BenchmarkZeroes(b *testing.B) {
	for name, data := range map[string][]byte{"zero": make([]byte, 1<<20), "random": random(1, 1<<20)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				ZeroesAt(data)
			}
		})
	}
}
