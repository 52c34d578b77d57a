// Package test holds the end-to-end tests of the built waptsync binary: each
// test starts real processes, changes real folders, and compares real trees.
//
// Nothing here imports the packages under test. What the binary promises is
// judged from outside only: its command line, the files on a remote, the bytes
// on the wire, its status output and its exit. README.md says how to run it
// and what each test holds.
package test
