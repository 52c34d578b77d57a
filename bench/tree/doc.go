// Package tree makes the folders that a bench replicates, and says whether two
// of them are equal: names, sizes, and the SHA-256 of every file.
//
// It looks in steps that cost little first, since looking must not eat the
// cores that the systems under test need.
package tree
