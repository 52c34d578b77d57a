//go:build !race

package test

// raced says that the tests themselves run under the race detector.
const raced = false
