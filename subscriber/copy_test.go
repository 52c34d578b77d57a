package subscriber

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"waptsync/objects"
)

func TestACopyWithinTheDiskIsWholeAndCanBeStopped(t *testing.T) {
	const size = 2*copyStep + 12345
	dir := t.TempDir()
	src, err := os.Create(filepath.Join(dir, "src"))
	must(t, err)
	defer src.Close()
	must(t, src.Truncate(size)) // with holes, so that it is quick
	for _, at := range []int64{0, copyStep - 10, 2*copyStep - 10, size - 20} {
		_, err := src.WriteAt(random(20), at)
		must(t, err)
	}
	digest := func(path string) objects.ID {
		b, err := os.ReadFile(path)
		must(t, err)
		return objects.Sum(b)
	}
	copyOf := func(ctx context.Context, name string, n int64) error {
		dst, err := os.Create(filepath.Join(dir, name))
		must(t, err)
		defer dst.Close()
		_, err = src.Seek(0, io.SeekStart)
		must(t, err)
		return copyFile(ctx, dst, src, n)
	}
	must(t, copyOf(t.Context(), "whole", size))
	if digest(src.Name()) != digest(filepath.Join(dir, "whole")) {
		t.Error("the copy differs")
	}
	if err := copyOf(t.Context(), "more", size+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("more than there is: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := copyOf(ended, "stopped", size); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}
