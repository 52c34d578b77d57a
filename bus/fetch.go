package bus

import "waptsync/objects"

// Bounds of one fetch request.
const (
	MaxFetchBytes = 4 << 20 // content bytes that one request may ask for
	MaxFetchItems = 4096    // items that one request may have
	// MaxPiece is the most content bytes in one reply message: with all that
	// stands beside them they fit into the 64 KiB that the NATS server reads at
	// once. A longer message it would copy together first.
	MaxPiece = 56 << 10
)

// Item asks for bytes of a content as a path of the share holds it now, for its
// manifest, or which of a remote's bytes are right.
type Item struct {
	Path     string
	Digest   objects.ID
	Offset   int64
	Length   int64
	Manifest bool // the encoded manifest from Offset on; Length bounds it
	// Known, if not empty, says what the remote has. Of a range, its blocks as
	// [KnownSums] makes them: they are compared and nothing is sent, the answer is
	// for [IsKnown]. Of a whole manifest, others as [KnownManifests] makes them: it
	// may come as its delta against those, see [objects.IsDelta].
	Known string
	// Bulk: more of the content will be asked for, so it goes by the connection for
	// bulk bytes, however short it is. It is not sent.
	Bulk bool
}

// Piece is what came of an item.
type Piece struct {
	Item   int
	Offset int64  // in the content, or in what is sent of another kind
	Data   []byte // valid during the call only
	Zeroes bool   // Data are zeroes of which only the number was sent
}

// Sent is how many bytes of content were sent for it.
func (p *Piece) Sent() int64 {
	if p.Zeroes {
		return 0
	}
	return int64(len(p.Data))
}

// FetchError is why one item could not be had.
type FetchError struct {
	Code FetchCode
	Text string
}

// FetchCode classes a FetchError.
type FetchCode uint8

// The codes. The numbers are part of the encoding.
const (
	FetchGone    FetchCode = 2 // the path holds that content no more; a newer event follows
	FetchRefused FetchCode = 3 // the request is not allowed or not well formed
	FetchFailed  FetchCode = 4 // the main could not read; Text says why
	FetchBusy    FetchCode = 5 // too much under way for this remote; ask again
)

func (e *FetchError) Error() string { return "fetch: " + e.Text }
