// Package table keeps what was measured and prints it: one JSON line a
// measurement, and a table with ratios at the end.
package table
