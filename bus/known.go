package bus

import (
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"waptsync/objects"
)

// A remote that has bytes which may be those of a content, since the bytes beside
// them are, asks which of them are right and fetches only the others. It names
// blocks of them by short sums. They find, and prove nothing: the whole content's
// digest does, as for all that comes from a remote's own disk.
const (
	// KnownBlock is the length of a block; the last one of a range may be shorter.
	KnownBlock = 1 << 10
	knownSum   = 4
)

// KnownSums returns the short sums of b's blocks, for an Item's Known.
func KnownSums(b []byte) string {
	var sums strings.Builder
	sums.Grow(knownBlocks(int64(len(b))) * knownSum)
	for len(b) > 0 {
		n := min(len(b), KnownBlock)
		sum := sha256.Sum256(b[:n])
		sums.Write(sum[:knownSum])
		b = b[n:]
	}
	return sums.String()
}

func knownBlocks(length int64) int { return int((length + KnownBlock - 1) / KnownBlock) }

// IsKnown says whether an answer to an item with Known has block i as right.
func IsKnown(answer []byte, i int) bool {
	return i/8 < len(answer) && answer[i/8]>>(i%8)&1 != 0
}

// compareKnown makes the answer: a bit a block.
func compareKnown(r io.ReaderAt, it *Item) ([]byte, error) {
	answer := make([]byte, it.Bytes())
	var block [KnownBlock]byte
	for i := range knownBlocks(it.Length) {
		at := int64(i) * KnownBlock
		b := block[:min(KnownBlock, it.Length-at)]
		if n, err := r.ReadAt(b, it.Offset+at); n < len(b) {
			return nil, readError(it, at+int64(n), err)
		}
		if KnownSums(b) == it.Known[i*knownSum:][:knownSum] {
			answer[i/8] |= 1 << (i % 8)
		}
	}
	return answer, nil
}

// KnownManifests returns the IDs of at most [objects.MaxBases] manifests, for an
// Item's Known.
func KnownManifests(ids []objects.ID) string {
	var known strings.Builder
	for i := range ids {
		known.Write(ids[i][:])
	}
	return known.String()
}

// bases is the inverse of KnownManifests.
func (it *Item) bases() (ids []objects.ID) {
	for b := range slices.Chunk([]byte(it.Known), len(objects.ID{})) {
		ids = append(ids, objects.ID(b))
	}
	return ids
}

// knownManifests is how many Known names.
func (it *Item) knownManifests() int {
	if !it.Manifest {
		return 0
	}
	return len(it.Known) / len(objects.ID{})
}

// checkKnown refuses sums that do not fit the item's range, and known manifests of
// a part of one.
func (it *Item) checkKnown() error {
	switch {
	case it.Known == "":
	case it.Manifest && (it.Offset != 0 || len(it.Known)%len(objects.ID{}) != 0):
		return fmt.Errorf("%d bytes of known manifests for that of %q from %d on", len(it.Known), it.Path, it.Offset)
	case !it.Manifest && len(it.Known) != knownBlocks(it.Length)*knownSum:
		return fmt.Errorf("%d bytes of sums for %d bytes of %q", len(it.Known), it.Length, it.Path)
	}
	return nil
}

// Bytes is the most that the item's answer holds.
func (it *Item) Bytes() int64 {
	if it.Known == "" || it.Manifest {
		return it.Length
	}
	return int64(knownBlocks(it.Length)+7) / 8
}
