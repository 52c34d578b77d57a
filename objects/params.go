package objects

import (
	"fmt"
	"io"
	"math/bits"
)

// Bounds of how contents are cut. Sizes are in bytes.
const (
	// SingleMax is the size up to which a content is one object: cutting a
	// file this small costs more in bookkeeping than it could ever save.
	SingleMax = 16 << 10
	// MaxObject bounds the size of an object, and so the memory to hold one.
	MaxObject = 8 << 20
	// MaxObjects bounds the objects of one content, and so the memory to hold
	// a manifest: about 36 MiB.
	MaxObjects = 1 << 20
)

const (
	minAvg    = 256     // below it an object costs more than its name
	maxAvg    = 2 << 20 // 1 TiB is then about 500,000 objects
	plainAvg  = 16 << 10
	zipAvg    = 4 << 10 // members of packages are small, and a change touches few of them
	zipSmall  = 16 << 20
	avgStep   = 4
	targetLen = 4096 // objects of a content, on average, until maxAvg is reached
)

// ParamsFor returns how a content of size bytes is cut. The average doubles
// twice at a time (16 KiB up to 64 MiB, 64 KiB up to 256 MiB, … 1 MiB up to
// 4 GiB, 2 MiB above): contents cut with different averages have no objects in
// common, so the limits that two versions of a file could straddle are few. A
// zip container of up to 16 MiB is cut finer, at 4 KiB.
func ParamsFor(size int64, zip bool) Params {
	avg := int64(plainAvg)
	if zip && size <= zipSmall {
		avg = zipAvg
	}
	for avg < maxAvg && size > avg*targetLen {
		avg = min(avg*avgStep, maxAvg)
	}
	return Params{Min: uint32(avg / 4), Avg: uint32(avg), Max: uint32(avg * 4), Zip: zip}
}

// ParamsForFile is [ParamsFor] for the content of r, which is looked at only as
// far as needed to know a zip container. A content of one object is never
// looked at.
func ParamsForFile(r io.ReaderAt, size int64) Params {
	return ParamsFor(size, size > SingleMax && IsZip(r))
}

// single is the size up to which a content is one object under p.
func (p Params) single() int64 { return int64(min(SingleMax, p.Max)) }

// check refuses what the cutter cannot work with. The rolling hash sees
// windowSize bytes, hence the lower bound of Min.
func (p Params) check() error {
	switch {
	case bits.OnesCount32(p.Avg) != 1 || p.Avg < minAvg || p.Avg > maxAvg:
		return fmt.Errorf("average object size %d: want a power of two from %d to %d", p.Avg, minAvg, maxAvg)
	case p.Min < windowSize || p.Min > p.Avg:
		return fmt.Errorf("least object size %d: want %d to the average %d", p.Min, windowSize, p.Avg)
	case p.Max < p.Avg || p.Max > MaxObject:
		return fmt.Errorf("greatest object size %d: want the average %d to %d", p.Max, p.Avg, MaxObject)
	}
	return nil
}
