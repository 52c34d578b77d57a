package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
)

// Sizes around each change of method: one object, one goroutine, several.
var describeSizes = []int{
	0, 1, 4095, 4096, SingleMax - 1, SingleMax, SingleMax + 1, 64 << 10,
	blockSize - 1, blockSize, blockSize + 1, parallelFrom - 1, parallelFrom, parallelFrom + 1, inFlight*blockSize + 7,
}

func TestDescribeAgreesWithTheDefinition(t *testing.T) {
	for _, size := range describeSizes {
		b := random(9, size)
		p := ParamsFor(int64(size), false)
		want := referenceManifest(b, p, referenceSizes(b, p))
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			if got := describe(t, b, p); !sameManifest(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			slow := &dripReader{r: bytes.NewReader(b), n: 4097}
			got, err := Describe(t.Context(), slow, int64(size), p, DescribeOptions{MD5: true})
			if err != nil || !sameManifest(got, want) {
				t.Errorf("read in small pieces: %v, %+v\nwant %+v", err, got, want)
			}
			got, err = Describe(t.Context(), bytes.NewReader(b), int64(size), p, DescribeOptions{})
			if err != nil || got.HasMD5 || got.MD5 != [16]byte{} || got.Digest != want.Digest {
				t.Errorf("without MD5: %v, %+v", err, got)
			}
		})
	}
}

func TestEmitGetsAllBytesInOrder(t *testing.T) {
	for _, size := range describeSizes {
		for _, p := range []Params{ParamsFor(int64(size), false), {Min: 64, Avg: 256, Max: 1024}, ParamsFor(1<<30, false)} {
			b := random(7, size)
			var got []byte
			var objects []Object
			m, err := Describe(t.Context(), bytes.NewReader(b), int64(size), p, DescribeOptions{
				Emit: func(o Object, data []byte) error {
					if Sum(data) != o.ID || int(o.Size) != len(data) {
						t.Errorf("object %+v came with %d bytes that hash to %v", o, len(data), Sum(data))
					}
					got = append(got, data...)
					objects = append(objects, o)
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, b) || !slices.Equal(objects, m.Objects) {
				t.Errorf("%d bytes, %+v: objects handed out are not the content", size, p)
			}
		}
	}
}

func TestAnotherSizeIsNoticed(t *testing.T) {
	for _, size := range describeSizes {
		b := random(7, size)
		for _, said := range []int{size - 1, size + 1, size + blockSize, size + 4*blockSize} {
			if said < 0 {
				continue
			}
			for _, zip := range []bool{false, true} {
				_, err := Describe(t.Context(), bytes.NewReader(b), int64(said), ParamsFor(int64(said), zip), DescribeOptions{})
				if !errors.Is(err, ErrSizeChanged) {
					t.Errorf("%d bytes said to be %d, zip %v: %v", size, said, zip, err)
				}
			}
		}
	}
	if _, err := Describe(t.Context(), bytes.NewReader(nil), -1, ParamsFor(0, false), DescribeOptions{}); err == nil {
		t.Error("a negative size is taken")
	}
}

// failingReader fails at the byte at.
type failingReader struct {
	r   io.ReaderAt
	at  int64
	err error
}

func (f failingReader) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) <= f.at {
		return f.r.ReadAt(b, off)
	}
	n, _ := f.r.ReadAt(b[:max(0, f.at-off)], off)
	return n, f.err
}

func TestErrorsEndDescribe(t *testing.T) {
	trouble := errors.New("trouble")
	for _, size := range []int{100, SingleMax + 1, 4 * blockSize, 20 * blockSize} {
		b := random(7, size)
		for _, zip := range []bool{false, true} {
			p := ParamsFor(int64(size), zip)
			t.Run(fmt.Sprintf("%d/zip=%v", size, zip), func(t *testing.T) {
				for _, at := range []int{0, size / 2, size - 1} {
					r := failingReader{r: bytes.NewReader(b), at: int64(at), err: trouble}
					if _, err := Describe(t.Context(), r, int64(size), p, DescribeOptions{MD5: true}); !errors.Is(err, trouble) {
						t.Errorf("reading fails at %d: %v", at, err)
					}
				}
				calls := 0
				_, err := Describe(t.Context(), bytes.NewReader(b), int64(size), p, DescribeOptions{
					Emit: func(Object, []byte) error { calls++; return trouble },
				})
				if !errors.Is(err, trouble) || calls != 1 {
					t.Errorf("handing out fails: %v after %d calls", err, calls)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := Describe(ctx, bytes.NewReader(b), int64(size), p, DescribeOptions{}); !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled before: %v", err)
				}
			})
		}
	}
}

func TestDescribeEndsSoonAfterCancellation(t *testing.T) {
	for _, blocks := range []int{1, 40} { // in one goroutine, in several
		b := random(7, blocks*blockSize+SingleMax)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		bytesOut := 0
		_, err := Describe(ctx, bytes.NewReader(b), int64(len(b)), ParamsFor(int64(len(b)), false), DescribeOptions{
			Emit: func(o Object, data []byte) error { cancel(); bytesOut += len(data); return nil },
		})
		if !errors.Is(err, context.Canceled) || bytesOut > (inFlight+2)*blockSize {
			t.Errorf("%v after %d bytes", err, bytesOut)
		}
	}
}

func TestNoContentIsReadAfterAPanicOfEmit(t *testing.T) {
	b := random(7, 40*blockSize)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		Describe(t.Context(), bytes.NewReader(b), int64(len(b)), ParamsFor(int64(len(b)), false), DescribeOptions{
			Emit: func(Object, []byte) error { panic("emit") },
		})
	}()
	b = b[:parallelFrom+1]
	p := ParamsFor(int64(len(b)), false)
	if got, want := describe(t, b, p), referenceManifest(b, p, referenceSizes(b, p)); !sameManifest(got, want) {
		t.Error("the next content is described wrongly")
	}
}

func TestDescribeIsSafeConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for _, size := range []int{5_000, 100_000, parallelFrom} {
				b := random(byte(i), size+i)
				p := ParamsFor(int64(len(b)), false)
				got, err := Describe(t.Context(), bytes.NewReader(b), int64(len(b)), p, DescribeOptions{MD5: true})
				if err != nil || !sameManifest(got, referenceManifest(b, p, referenceSizes(b, p))) {
					t.Errorf("%d bytes: %v, or wrong", len(b), err)
				}
			}
		})
	}
	wg.Wait()
}

// 20,000 host packages must not cost more than hashing them.
func TestSmallContentsAllocateTheirManifestOnly(t *testing.T) {
	b := random(1, 5_000)
	r := bytes.NewReader(b)
	got := testing.AllocsPerRun(100, func() {
		if _, err := Describe(context.Background(), r, int64(len(b)), ParamsFor(5_000, false), DescribeOptions{MD5: true}); err != nil {
			t.Fatal(err)
		}
	})
	if got > 2.5 {
		t.Errorf("%v allocations, want 2: the manifest and its list", got)
	}
}

// The size is said by the caller: an absurd one must fail at the content's end,
// and not when making room for the objects.
func TestAnAbsurdSizeCostsLittle(t *testing.T) {
	_, err := Describe(t.Context(), bytes.NewReader(random(1, 100)), 1<<62, ParamsFor(1<<62, true), DescribeOptions{})
	if !errors.Is(err, ErrSizeChanged) {
		t.Error(err)
	}
}

func TestTooManyObjectsAreAnError(t *testing.T) {
	b := &block{data: []byte("x"), parts: []part{{size: 1, end: true}}}
	a := newAssembler(&Manifest{Params: ParamsFor(0, false)}, nil)
	defer a.close()
	a.m.Objects = make([]Object, MaxObjects-1)
	if err := a.take(b); err != nil {
		t.Errorf("the last one: %v", err)
	}
	if err := a.take(b); !errors.Is(err, ErrTooManyObjects) {
		t.Errorf("one more: %v", err)
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add([]byte("some bytes"), uint32(0), uint8(8), uint32(0), uint16(1))
	f.Add(random(1, 5_000), uint32(64), uint8(9), uint32(3_000), uint16(1))
	f.Add(random(1, 300), uint32(100), uint8(8), uint32(900), uint16(3_000))
	f.Add(make([]byte, 3_000), uint32(64), uint8(8), uint32(300), uint16(300))
	f.Fuzz(func(t *testing.T, b []byte, least uint32, avgBits uint8, greatest uint32, repeat uint16) {
		b = bytes.Repeat(b, 1+int(repeat)%max(1, 2*parallelFrom/(len(b)+1)))
		avg := uint32(1) << (8 + avgBits%5)
		p := Params{Min: 64 + least%(avg-63), Avg: avg, Max: avg + greatest%(8*avg)}
		var joined []byte
		m, err := Describe(t.Context(), bytes.NewReader(b), int64(len(b)), p, DescribeOptions{
			MD5:  true,
			Emit: func(o Object, data []byte) error { joined = append(joined, data...); return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(joined, b) {
			t.Fatal("the objects are not the content")
		}
		for i, o := range m.Objects {
			if o.Size > p.Max || o.Size < p.Min && i < len(m.Objects)-1 {
				t.Fatalf("object %d of %d has %d bytes: %+v", i, len(m.Objects), o.Size, p)
			}
		}
		if len(b) < 10_000 && !sameManifest(m, referenceManifest(b, p, referenceSizes(b, p))) {
			t.Fatal("not cut by the definition")
		}
		if err := m.check(); err != nil {
			t.Fatal(err)
		}
	})
}
