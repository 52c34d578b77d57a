package objects

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

func BenchmarkCutter(b *testing.B) {
	data := random(0, 64<<20)
	for _, avg := range []uint32{zipAvg, plainAvg, maxAvg} {
		b.Run(fmt.Sprintf("avg=%d", avg), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			c := newCutter(Params{Min: avg / 4, Avg: avg, Max: avg * 4})
			for b.Loop() {
				for rest := data; len(rest) > 0; {
					n, end := c.next(rest)
					rest = rest[n:]
					if end {
						c.reset()
					}
				}
			}
		})
	}
}

func BenchmarkDescribe(b *testing.B) {
	for _, size := range []int{5_000, 100_000, 256 << 20} {
		data := random(0, size)
		p := ParamsFor(int64(size), false)
		for _, md5 := range []bool{false, true} {
			b.Run(fmt.Sprintf("size=%d/md5=%v", size, md5), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				r := bytes.NewReader(data)
				for b.Loop() {
					if _, err := Describe(context.Background(), r, int64(size), p, DescribeOptions{MD5: md5}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkSum5kB(b *testing.B) {
	data := random(0, 5_000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		Sum(data)
	}
}

func BenchmarkVerify(b *testing.B) {
	data := random(0, 256<<20)
	id := Sum(data)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Verify(context.Background(), bytes.NewReader(data), int64(len(data)), id); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeManifest(b *testing.B) {
	data := random(0, 64<<20)
	enc, err := describe(b, data, ParamsFor(64<<20, false)).AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(enc)))
	for b.Loop() {
		if _, err := DecodeManifest(enc); err != nil {
			b.Fatal(err)
		}
	}
}
