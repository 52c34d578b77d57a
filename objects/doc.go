// Package objects knows bytes: how a file is cut into content-addressed
// objects, what names them, and where an object can be read from.
//
// It promises that the same bytes cut with the same [Params] give the same
// [Manifest] on every machine and in every version, and that bytes handed out
// under an [ID] have that SHA-256. It knows nothing of NATS, and nothing of
// what a folder or a path means.
package objects
