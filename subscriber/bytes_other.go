//go:build !linux

package subscriber

import (
	"context"
	"os"
)

// reserve sets the size; whether the disk holds it shows when writing.
func reserve(f *os.File, size int64) error { return f.Truncate(size) }

// startWriteback has no counterpart here.
func startWriteback(*os.File, int64, int64) {}

// cloneFile makes dst a copy of the first size bytes of src. Both stand at
// their beginning.
func cloneFile(ctx context.Context, dst, src *os.File, size int64) error {
	return copyFile(ctx, dst, src, size)
}
