package bus

import (
	"github.com/google/uuid"

	"waptsync/objects"
)

// Kind is what a path of a share is.
type Kind uint8

// The kinds of event. The numbers are part of the encoding.
const (
	KindFile    Kind = 1 // a regular file with its content
	KindDir     Kind = 2 // a directory; its mtime is not replicated
	KindSymlink Kind = 3 // a symbolic link that stays inside the share
	KindDeleted Kind = 4 // a tombstone: the path is gone
	// KindMarker is not about a path: "all that the folder held when this
	// generation was opened stands before this message in the stream". Only
	// behind it may a reconciling remote judge what the main does not have.
	KindMarker Kind = 5
)

// Event is the newest state of one path of a share. Appending or applying the
// same event twice changes nothing.
type Event struct {
	Kind       Kind
	Generation uuid.UUID // the life of the stream in which it was published
	// Path is relative to the share, its elements separated by '/'; names are
	// bytes, not necessarily UTF-8. Empty for a marker only.
	Path  string
	Mode  uint32 // permission bits, 0o777 at most
	MTime int64  // nanoseconds since 1970, as the main's file system has it

	// Of a file only.
	Content Content
	// From, if not empty, is a path of the share that held the same content a
	// moment ago: a rename. A hint, never trusted.
	From string
	// InWindow: the content's objects were put to the objects stream before
	// this event, of a large file those that no version before it had. A hint:
	// the window forgets.
	InWindow bool
	// Incomplete: the file is an index, and it names files that the main itself
	// lacks, or has with other content. It was published all the same, because
	// waiting for them had no end; a remote must not wait for them either.
	Incomplete bool

	// Target of a symbolic link, relative to the link's own folder.
	Target string

	// Origin lets the publisher know, after a restart, that a path did not
	// change, without reading it. Remotes ignore it.
	Origin Origin
}

// Content identifies a file's bytes without holding them.
type Content struct {
	Size   int64
	Digest objects.ID // SHA-256 of all bytes; of no bytes for an empty file
	MD5    [16]byte   // valid when HasMD5
	HasMD5 bool
	// Objects is how many objects the content is cut into: 0 for an empty
	// file, 1 when the file is its own single object, else its manifest must be
	// fetched.
	Objects uint32
	// Manifest names the encoded manifest, which binds the objects to this
	// event, and Params says how to make it again. Both are zero when Objects
	// is 0 or 1.
	Manifest objects.ID
	Params   objects.Params
}

// Origin is where and when the publisher saw a path: what lstat gave.
type Origin struct {
	Inode uint64
	CTime int64 // nanoseconds since 1970
}
