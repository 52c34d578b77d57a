package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var bucket = []byte("bucket")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options() *bbolt.Options {
	// The array has the same pages free each time, the map has not.
	return &bbolt.Options{Timeout: 100 * time.Millisecond, FreelistType: bbolt.FreelistArrayType, NoSync: true}
}

func opened(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path, 0o600, options())
	must(t, err)
	return f
}

// fill writes keys from..to.
func fill(f *File, from, to int) error {
	return f.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		for i := from; i < to; i++ {
			if err := b.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), bytes.Repeat([]byte{byte(i)}, i%400)); err != nil {
				return err
			}
		}
		return nil
	})
}

func readAll(f *File) error {
	return f.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
		if b == nil {
			return errors.New("no bucket")
		}
		sum := byte(0)
		return b.ForEach(func(k, v []byte) error {
			for _, c := range append(bytes.Clone(k), v...) {
				sum += c
			}
			return nil
		})
	})
}

func TestWhatIsNoDatabaseIsMovedAside(t *testing.T) {
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for _, c := range []struct {
		name    string
		content []byte
	}{
		{"noise", noise},
		{"zeroes", make([]byte, 64<<10)},
		{"a few bytes", noise[:100]},
		{"a page and a bit", noise[:5000]},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file.db")
			must(t, os.WriteFile(path, c.content, 0o600))
			f := opened(t, path)
			defer f.Close()
			if !errors.Is(f.Replaced(), ErrDamaged) {
				t.Errorf("it was replaced for %v", f.Replaced())
			}
			if kept, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(kept, c.content) {
				t.Errorf("the damaged file was not kept: %v", err)
			}
			must(t, fill(f, 0, 10))
		})
	}
}

func TestWhatIsFineStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file.db")
	must(t, os.WriteFile(path, nil, 0o600)) // as a kill leaves a new one
	f := opened(t, path)
	must(t, fill(f, 0, 1000))
	if _, err := Open(path, 0o600, options()); !errors.Is(err, bolterrors.ErrTimeout) {
		t.Errorf("a second one: %v", err)
	}
	must(t, f.Close())
	if _, err := Open(filepath.Join(path, "x"), 0o600, options()); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("beneath a file: %v", err)
	}
	f = opened(t, path)
	defer f.Close()
	must(t, readAll(f))
	if f.Replaced() != nil {
		t.Errorf("replaced: %v", f.Replaced())
	}
}

// Whatever a disk does to a page, the process lives, and the next start has a file.
// The damage is the same each time: in very few of them bbolt follows a circle of
// pages for ever, which nothing here notices.
func TestDamagedPages(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	whole := filepath.Join(t.TempDir(), "whole.db")
	f := opened(t, whole)
	for i := range 5 { // some pages are free
		must(t, fill(f, 1000*i, 1000*i+3000))
	}
	must(t, f.Close())
	content, err := os.ReadFile(whole)
	must(t, err)
	page := os.Getpagesize()
	found := 0
	for i := range 40 {
		damaged := bytes.Clone(content)
		for range 1 + random.IntN(3) {
			at := page * (2 + random.IntN(len(content)/page-2))
			switch random.IntN(5) {
			case 0:
				clear(damaged[at : at+page])
			case 1:
				for j := range page {
					damaged[at+j] = byte(random.Uint32())
				}
			case 2: // another page
				copy(damaged[at:at+page], content[page*random.IntN(len(content)/page):])
			case 3: // its head
				damaged[at+random.IntN(64)] ^= byte(1 << random.IntN(8))
			case 4:
				damaged[at+random.IntN(page)] ^= byte(1 << random.IntN(8))
			}
		}
		if random.IntN(10) == 0 {
			damaged = damaged[:page*(2+random.IntN(len(content)/page-2))]
		}
		path := filepath.Join(t.TempDir(), fmt.Sprint(i, ".db"))
		must(t, os.WriteFile(path, damaged, 0o600))
		f := opened(t, path)
		first := f.Replaced()
		for _, err := range []error{readAll(f), fill(f, 0, 500), fill(f, 4000, 8000), readAll(f)} {
			if errors.Is(err, ErrDamaged) {
				first = err
			}
		}
		must(t, f.Close())
		if first == nil {
			continue // it was not in use, or in a value
		}
		found++
		if _, err := os.Stat(path + ".damaged"); err != nil {
			t.Fatalf("%v, but nothing was moved aside: %v", first, err)
		}
		f = opened(t, path)
		must(t, fill(f, 0, 10))
		must(t, readAll(f))
		must(t, f.Close())
	}
	t.Logf("found in %d of 40", found)
	if found < 10 {
		t.Error("hardly any damage was found")
	}
}

func TestAPanicOfTheCallerGoesOn(t *testing.T) {
	f := opened(t, filepath.Join(t.TempDir(), "file.db"))
	defer f.Close()
	defer func() {
		if r := recover(); r != "mine" {
			t.Errorf("recovered %v", r)
		}
		must(t, fill(f, 0, 10))
	}()
	_ = f.Update(func(*bbolt.Tx) error { panic("mine") })
}
