package objects

import "bytes"

// zeroStep is how many bytes are compared at once.
const zeroStep = 1 << 10

// zeroBlock is never written to.
var zeroBlock [64 << 10]byte

// SumZeroes returns the ID of n zeroes.
func SumZeroes(n int64) ID {
	h := NewHasher()
	defer h.Release()
	h.AddZeroes(n)
	return h.Sum()
}

// ZeroesAt says how many bytes at the beginning and at the end of b are zero, in
// steps of 1 KiB; both are len(b) where all are. Of bytes that are no zeroes it
// looks at the first and the last only.
func ZeroesAt(b []byte) (begin, end int) {
	if begin = leadingZeroes(b); begin == len(b) {
		return begin, begin
	}
	for end+zeroStep <= len(b) && IsZero(b[len(b)-end-zeroStep:len(b)-end]) {
		end += zeroStep
	}
	return begin, end
}

// leadingZeroes says how many bytes at the beginning of b are zero, in steps of 1 KiB
// if not all are.
func leadingZeroes(b []byte) (n int) {
	for n+zeroStep <= len(b) && IsZero(b[n:n+zeroStep]) {
		n += zeroStep
	}
	if n+zeroStep > len(b) && IsZero(b[n:]) {
		return len(b)
	}
	return n
}

// IsZero says whether b has nothing but zeroes.
func IsZero(b []byte) bool {
	// What is equal to itself one byte further is one byte over and over: that is
	// compared as fast as memory gives it.
	return len(b) == 0 || b[0] == 0 && b[len(b)-1] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}
