// Package index reads the files that name other files: WAPT's Packages, and
// Debian's Packages, Sources, Release and InRelease.
//
// It promises to tell what an index names, in bounded memory and without
// trusting a byte of it, so that a remote can hold an index back until all of
// that is there. It knows formats only; when something may become visible is
// decided elsewhere.
package index
