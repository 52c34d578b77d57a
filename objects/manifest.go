package objects

import (
	"crypto/md5" // names of WAPT packages and their index carry MD5, so a replicator must know it
	"iter"
)

// Params says how a content was cut. It travels in the manifest and in the
// event, so that either side can cut the same bytes again and get the same
// objects. Sizes are in bytes.
type Params struct {
	Min, Avg, Max uint32
	// Zip: boundaries were also set at the members of a zip container.
	Zip bool
}

// Object is one piece of a content.
type Object struct {
	ID   ID
	Size uint32
}

// Manifest is the ordered list of objects that make one content.
// An empty content has no objects; one of a single object has exactly one,
// whose ID is Digest.
type Manifest struct {
	Params  Params
	Size    int64          // bytes, the sum of the objects' sizes
	Digest  ID             // SHA-256 of the whole content
	MD5     [md5.Size]byte // MD5 of the whole content, because WAPT's index names it; zero when HasMD5 is false
	HasMD5  bool
	Objects []Object
}

// All returns the objects in order, each with its offset in the content.
func (m *Manifest) All() iter.Seq2[int64, Object] {
	return func(yield func(int64, Object) bool) {
		var off int64
		for _, o := range m.Objects {
			if !yield(off, o) {
				return
			}
			off += int64(o.Size)
		}
	}
}
