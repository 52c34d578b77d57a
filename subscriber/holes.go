package subscriber

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"sync/atomic"

	"waptsync/objects"
)

// Where a content has long runs of zeroes its file has holes, which take no room:
// most of a disk image is that. An object that is zeroes as a whole is known by its
// name and never asked for; within what comes, runs of leastHole are looked for.

// leastHole is the length in bytes from which zeroes are not written. Each hole
// splits a direct write, and costs a call where room was reserved.
const leastHole = 64 << 10

// holePage is what holes begin and end at multiples of: the block of most file systems.
const holePage = directAlign

// hollow is a staged file that gets holes.
type hollow struct {
	f *os.File
	// blank says that what is not kept of the file reads as zeroes and takes no
	// room: then leaving it as it is makes a hole.
	blank bool
	never atomic.Bool // the file system makes no holes
}

// leave makes a hole, in which there may be other bytes. It returns false where it
// cannot: then zeroes have to be written.
func (h *hollow) leave(offset, length int64) (bool, error) {
	if h.blank {
		return true, nil
	}
	if h.never.Load() {
		return false, nil
	}
	made, err := punch(h.f, offset, length)
	if err == nil && !made {
		h.never.Store(true)
	}
	return made, err
}

// write has put write what of data is no hole. part says that put gets a part only.
func (h *hollow) write(data []byte, offset int64, put func(data []byte, offset int64, part bool) error) error {
	for part := false; len(data) > 0; part = true {
		solid, hole := splitZeroes(data, offset)
		if hole > 0 {
			left, err := h.leave(offset+int64(solid), int64(hole))
			if err != nil {
				return err
			}
			if !left {
				solid, hole = len(data), 0
			}
		}
		if solid > 0 {
			if err := put(data[:solid], offset, part || hole > 0); err != nil {
				return err
			}
		}
		data, offset = data[solid+hole:], offset+int64(solid+hole)
	}
	return nil
}

// splitZeroes returns how long data is up to the first run of zeroes that is worth
// a hole, and how long that is. offset is where data begins in the file. A run goes
// from one multiple of holePage to another, or to the end of data.
func splitZeroes(data []byte, offset int64) (solid, hole int) {
	for at := int(-offset & (holePage - 1)); at+leastHole <= len(data); {
		// From the back: the page that is not zero rules out all before it.
		page := at + leastHole - holePage
		for page >= at && objects.IsZero(data[page:page+holePage]) {
			page -= holePage
		}
		if page >= at {
			at = page + holePage
			continue
		}
		end := at + leastHole
		for end < len(data) && objects.IsZero(data[end:min(end+holePage, len(data))]) {
			end = min(end+holePage, len(data))
		}
		return at, end - at
	}
	return len(data), 0
}

// markZeroes marks the objects that are zeroes through and through. Cutting makes
// them of the greatest size, so one hash tells.
func (a *assembly) markZeroes() {
	var name objects.ID
	most := a.m.Params.Max
	for i, o := range a.m.Objects {
		if o.Size != most {
			continue
		}
		if name.IsZero() {
			name = objects.SumZeroes(int64(most))
		}
		if o.ID == name {
			a.mark(i)
			a.holes = extend(a.holes, a.offsets[i], int64(o.Size))
		}
	}
}

// clear makes holes of all that is not kept of a file which an interrupted transfer
// left, and returns how many bytes of room that gave back. Where the file system
// makes no holes, marks are taken from what is no zeroes there.
func (a *assembly) clear() (freed int64, err error) {
	var runs []span
	for i, o := range a.m.Objects {
		if !a.have[i] || a.inHole(i) {
			runs = extend(runs, a.offsets[i], int64(o.Size))
		}
	}
	before := allocated(a.f)
	a.file.blank = false
	for _, run := range runs {
		made, err := a.file.leave(run.offset, run.length)
		if err != nil {
			return 0, fmt.Errorf("clearing what is staged: %w", err)
		}
		if !made {
			return 0, a.unmark()
		}
	}
	a.file.blank = true
	return max(0, before-allocated(a.f)), nil
}

// unmark takes the marks from objects that should be zeroes and are not.
func (a *assembly) unmark() error {
	var holes []span
	for i, o := range a.m.Objects {
		if !a.inHole(i) {
			continue
		}
		zero, err := a.isZero(a.offsets[i], int64(o.Size))
		if err != nil {
			return fmt.Errorf("checking what is staged: %w", err)
		}
		if !zero {
			a.have[i] = false
			a.it.done.Add(-int64(o.Size))
			continue
		}
		holes = extend(holes, a.offsets[i], int64(o.Size))
	}
	a.holes = holes
	return nil
}

// isZero says whether a run of the staged file is nothing but zeroes.
func (a *assembly) isZero(offset, length int64) (bool, error) {
	b := blocks.Get().(*block)
	defer blocks.Put(b)
	for length > 0 {
		data := b[:min(length, blockSize)]
		if _, err := a.f.ReadAt(data, offset); err != nil {
			return false, err
		}
		if !objects.IsZero(data) {
			return false, nil
		}
		offset, length = offset+int64(len(data)), length-int64(len(data))
	}
	return true, nil
}

// holeFrom returns the first hole that does not end before offset; behind the last
// there is one at the end of all files.
func (a *assembly) holeFrom(offset int64) span {
	i, _ := slices.BinarySearchFunc(a.holes, offset, func(hole span, offset int64) int {
		return cmp.Compare(hole.offset+hole.length, offset+1)
	})
	if i == len(a.holes) {
		return span{offset: math.MaxInt64}
	}
	return a.holes[i]
}

// inHole says whether an object is one that was marked as zeroes.
func (a *assembly) inHole(i int) bool { return a.holeFrom(a.offsets[i]).offset <= a.offsets[i] }

// hashHole hashes what stands where a.hashed does of a hole that was marked, up to
// end. To read it would bring it into the page cache.
func (a *assembly) hashHole(ctx context.Context, end int64) error {
	for a.hashed < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(end-a.hashed, blockSize)
		a.whole.AddZeroes(n)
		a.hashed += n
	}
	return nil
}
