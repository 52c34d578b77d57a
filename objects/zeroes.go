package objects

import "bytes"

// zeroStep is how many bytes are compared at once.
const zeroStep = 1 << 10

// ZeroesAt says how many bytes at the beginning and at the end of b are zero, in
// steps of 1 KiB; both are len(b) where all are. Of bytes that are no zeroes it
// looks at the first and the last only.
func ZeroesAt(b []byte) (begin, end int) {
	for begin+zeroStep <= len(b) && IsZero(b[begin:begin+zeroStep]) {
		begin += zeroStep
	}
	if begin+zeroStep > len(b) && IsZero(b[begin:]) {
		return len(b), len(b)
	}
	for end+zeroStep <= len(b) && IsZero(b[len(b)-end-zeroStep:len(b)-end]) {
		end += zeroStep
	}
	return begin, end
}

// IsZero says whether b has nothing but zeroes.
func IsZero(b []byte) bool {
	// What is equal to itself one byte further is one byte over and over: that is
	// compared as fast as memory gives it.
	return len(b) == 0 || b[0] == 0 && b[len(b)-1] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}
