// Package sample makes a small WAPT repository and changes it the way a WAPT
// Server does: with its file names, its index and its order of writing, also
// where that order leaves the folder inconsistent for a moment.
//
// Packages are valid zip containers with the members that WAPT's tools write.
// Their signatures are random bytes: an agent would refuse them, a replicator
// does not look.
package sample
