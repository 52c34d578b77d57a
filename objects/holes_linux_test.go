package objects

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestHolesAreToldFromData(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size, data = 16 << 20, 1 << 20 // far above any file system's block
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if firstData(f, 0) == 0 {
		t.Skip("this file system does not tell")
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{1}, data), 4*data); err != nil {
		t.Fatal(err)
	}
	for off, want := range map[int64]int64{
		0: 4 * data, 3 * data: 4 * data, 4 * data: 4 * data, 5*data - 1: 5*data - 1, 5 * data: math.MaxInt64, size: math.MaxInt64, 2 * size: math.MaxInt64,
	} {
		if got := firstData(f, off); got != want {
			t.Errorf("from %d: %d, want %d", off, got, want)
		}
	}
	if got := firstData(bytes.NewReader(nil), 7); got != 7 {
		t.Errorf("what is no file has a hole up to %d", got)
	}
}
