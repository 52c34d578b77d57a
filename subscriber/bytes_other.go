//go:build !linux

package subscriber

import (
	"context"
	"math"
	"os"
)

// reserve cannot; whether the disk holds the runs shows when writing.
func reserve(*os.File, []span) (bool, error) { return false, nil }

// punch cannot make a hole where something was written.
func punch(*os.File, int64, int64) (bool, error) { return false, nil }

// allocated cannot tell what room a file takes: it may be all of its size.
func allocated(*os.File) int64 { return math.MaxInt64 }

// dataRun cannot tell where a file has holes.
func dataRun(_ *os.File, at, size int64) (from, to int64) { return at, size }

// startWriteback has no counterpart here.
func startWriteback(*os.File, int64, int64) {}

// cloneFile makes dst a copy of the first size bytes of src.
func cloneFile(ctx context.Context, dst, src *os.File, size int64) error {
	return copyFile(ctx, dst, src, size)
}
