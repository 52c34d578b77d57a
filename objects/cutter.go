package objects

import "math/bits"

// windowSize is how many bytes back the 64-bit gear hash sees: each step shifts
// the oldest one out at the top.
const windowSize = 64

// normalisation is by how many bits the masks differ from the average size's.
const normalisation = 2

// cutter finds the content-defined ends of objects with FastCDC (Xia et al.,
// USENIX ATC 2016 and IEEE TPDS 2020): the gear hash, the least size skipped
// unseen, and normalised cutting, which makes a cut 16 times likelier once an
// object has its average size, so that sizes stay close to it.
//
// It departs from the paper in two things. The hash is warmed up on the 63
// bytes before the least size, so that whether a place can be a cut depends on
// the 64 bytes before it alone, not on where the object began; and the masks
// are the top bits of the hash, which see the most bytes.
//
// Bytes may come in pieces of any length: the cuts are the same.
type cutter struct {
	min, avg, max int
	early, late   uint64 // masks below the average size, and from it on
	have          int    // bytes of the current object already seen
	hash          uint64 // gear hash of the last of them
}

func newCutter(p Params) cutter {
	n := bits.TrailingZeros32(p.Avg)
	return cutter{
		min: int(p.Min), avg: int(p.Avg), max: int(p.Max),
		early: topBits(n + normalisation), late: topBits(n - normalisation),
	}
}

func topBits(n int) uint64 { return ^uint64(0) << (64 - n) }

// reset begins a new object.
func (c *cutter) reset() { c.have, c.hash = 0, 0 }

// next takes bytes of the current object from the front of b and says how many.
// end says that the object ends behind them; if it does not, all of b was taken.
func (c *cutter) next(b []byte) (n int, end bool) {
	b = b[:min(len(b), c.max-c.have)]
	// until is how much of b stands before the object's byte of that index. The
	// byte at index i makes an object of i+1 bytes, so min-1 is the first judged.
	until := func(index int) int { return min(len(b), max(0, index-c.have)) }

	h := c.hash
	for _, x := range b[until(c.min-windowSize):until(c.min-1)] {
		h = h<<1 + gear[x]
	}
	early, late := until(c.min-1), until(c.avg-1)
	n, h, end = roll(b[early:late], h, c.early)
	n += early
	if !end {
		n, h, end = roll(b[late:], h, c.late)
		n += late
	}
	c.hash = h
	c.have += n
	return n, end || c.have == c.max
}

// zeroHash is the gear hash of windowSize zeroes and more: one more does not change
// it, and it is no cut. It is gear[0] times 2⁶⁴-1.
var zeroHash = -gear[0]

// roll moves the gear hash h over b until mask has only zeros in it, and
// returns the number of bytes it took for that, or all of them. It passes over
// zeroes at the beginning, the rest of a hole, as fast as they are compared.
func roll(b []byte, h, mask uint64) (n int, hash uint64, found bool) {
	if h == zeroHash && h&mask != 0 {
		n = leadingZeroes(b)
	}
	for ; len(b)-n >= 8; n += 8 {
		q := (*[8]byte)(b[n:])
		if h = h<<1 + gear[q[0]]; h&mask == 0 {
			return n + 1, h, true
		}
		if h = h<<1 + gear[q[1]]; h&mask == 0 {
			return n + 2, h, true
		}
		if h = h<<1 + gear[q[2]]; h&mask == 0 {
			return n + 3, h, true
		}
		if h = h<<1 + gear[q[3]]; h&mask == 0 {
			return n + 4, h, true
		}
		if h = h<<1 + gear[q[4]]; h&mask == 0 {
			return n + 5, h, true
		}
		if h = h<<1 + gear[q[5]]; h&mask == 0 {
			return n + 6, h, true
		}
		if h = h<<1 + gear[q[6]]; h&mask == 0 {
			return n + 7, h, true
		}
		if h = h<<1 + gear[q[7]]; h&mask == 0 {
			return n + 8, h, true
		}
	}
	for ; n < len(b); n++ {
		if h = h<<1 + gear[b[n]]; h&mask == 0 {
			return n + 1, h, true
		}
	}
	return n, h, false
}
