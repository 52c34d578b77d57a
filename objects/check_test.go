package objects

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// checked is what Check finds.
func checked(t *testing.T, r *os.File, m *Manifest, want func(int) bool) (found []int) {
	t.Helper()
	if err := Check(t.Context(), r, m, want, func(i int) { found = append(found, i) }); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestCheckFindsWhatAnInterruptedTransferWrote(t *testing.T) {
	for name, p := range map[string]Params{
		"small objects": ParamsFor(0, false),
		"large objects": {Min: 256 << 10, Avg: 1 << 20, Max: 4 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			b := random(1, 8<<20)
			m := describe(t, b, p)
			f, err := os.Create(filepath.Join(t.TempDir(), "staged"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got := checked(t, f, m, nil); got != nil {
				t.Errorf("an empty file holds %v", got)
			}
			if err := f.Truncate(m.Size); err != nil {
				t.Fatal(err)
			}
			if got := checked(t, f, m, nil); got != nil {
				t.Errorf("a hole holds %v", got)
			}
			var written []int
			i := 0
			for off, o := range m.All() {
				data := slices.Clone(b[off : off+int64(o.Size)])
				switch i % 4 {
				case 0, 1:
					written = append(written, i)
				case 2:
					data[0] ^= 1 // damaged
				case 3:
					data = data[:1] // hardly begun
				}
				if _, err := f.WriteAt(data, off); err != nil {
					t.Fatal(err)
				}
				i++
			}
			if got := checked(t, f, m, nil); !slices.Equal(got, written) {
				t.Errorf("found %v\nwant  %v", got, written)
			}
			odd := func(i int) bool { return i%2 == 1 }
			if got, want := checked(t, f, m, odd), slices.DeleteFunc(slices.Clone(written), func(i int) bool { return !odd(i) }); !slices.Equal(got, want) {
				t.Errorf("of the odd ones found %v, want %v", got, want)
			}
			if err := f.Truncate(m.Size / 2); err != nil {
				t.Fatal(err)
			}
			got := checked(t, f, m, nil)
			if !slices.Equal(got, written[:len(got)]) || len(got) == len(written) {
				t.Errorf("cut in half it holds %v", got)
			}
		})
	}
}

// An object with holes that is right is one that need not come again.
func TestCheckTakesObjectsWithHoles(t *testing.T) {
	p := Params{Min: 256 << 10, Avg: 1 << 20, Max: 4 << 20}
	b := random(1, 12<<20)
	clear(b[1<<20 : 3<<20])
	clear(b[6<<20 : 6<<20+100_000])
	m := describe(t, b, p)
	f, err := os.Create(filepath.Join(t.TempDir(), "staged"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(m.Size); err != nil {
		t.Fatal(err)
	}
	for off := 0; off < len(b); off += 4096 {
		if page := b[off:min(off+4096, len(b))]; !IsZero(page) {
			if _, err := f.WriteAt(page, int64(off)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := checked(t, f, m, nil); len(got) != len(m.Objects) {
		t.Errorf("found %d of %d objects", len(got), len(m.Objects))
	}
}

func TestCheckTakesAnyReader(t *testing.T) {
	b := append(random(1, 100_000), make([]byte, 200_000)...)
	m := describe(t, b, ParamsFor(0, false))
	var found []int
	if err := Check(t.Context(), bytes.NewReader(b), m, nil, func(i int) { found = append(found, i) }); err != nil {
		t.Fatal(err)
	}
	if len(found) != len(m.Objects) {
		t.Errorf("found %d of %d objects", len(found), len(m.Objects))
	}
	trouble := errors.New("trouble")
	r := failingReader{r: bytes.NewReader(b), at: 50_000, err: trouble}
	if err := Check(t.Context(), r, m, nil, func(int) {}); !errors.Is(err, trouble) {
		t.Errorf("reading fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(ctx, bytes.NewReader(b), m, nil, func(int) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestVerifyTellsWhatIsWrong(t *testing.T) {
	for _, size := range []int{0, 1, blockSize, 3*blockSize + 1} {
		b := random(1, size)
		id := Sum(b)
		verify := func(b []byte) error { return Verify(t.Context(), bytes.NewReader(b), int64(size), id) }
		if err := verify(b); err != nil {
			t.Errorf("%d right bytes: %v", size, err)
		}
		if err := verify(append(slices.Clone(b), 0)); !errors.Is(err, ErrSizeChanged) {
			t.Errorf("one byte more than %d: %v", size, err)
		}
		if err := Verify(t.Context(), bytes.NewReader(b), -1, id); !errors.Is(err, ErrSizeChanged) {
			t.Errorf("a negative size: %v", err)
		}
		if size == 0 {
			continue
		}
		if err := verify(b[1:]); !errors.Is(err, ErrSizeChanged) {
			t.Errorf("one byte less than %d: %v", size, err)
		}
		b[size/2] ^= 1
		if err := verify(b); !errors.Is(err, ErrDigest) {
			t.Errorf("%d bytes, one of them wrong: %v", size, err)
		}
	}
}
