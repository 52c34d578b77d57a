package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"waptsync/objects"
)

// The fetch protocol. A request is a version byte, a nonce, a byte that says
// whether the items are packed, the number of items, the length of the items and
// the items, and behind them the first bytes of their digests. A reply is one or
// more messages, each a version byte, the request's nonce, the message's number
// counted from 0, and frames that fill the message; the last frame of the last
// message is the end.
const (
	fetchVersion = 3
	nonceBytes   = 8
	// maxRequestBytes bounds an encoded request: well below a message's 1 MiB.
	maxRequestBytes = 512 << 10
	// maxRequestPaths bounds the bytes of a decoded request's paths, which the
	// encoding's shared prefixes could otherwise blow up to 16 MiB.
	maxRequestPaths = 2 << 20
	maxFetchText    = 512
	// maxRequestBases bounds the manifests that a request names as known: each is
	// read and looked through.
	maxRequestBases = objects.MaxBases
)

const (
	itemsPlain byte = iota
	itemsPacked
)

const (
	itemManifest   byte = 1 << iota // asks for the manifest
	itemSameDigest                  // the digest is that of the item before
	itemKnown                       // sums of known blocks, or known manifests, follow
)

// frameKind says what a frame of a reply holds. From 2 on they are FetchCodes.
type frameKind uint8

const (
	frameData frameKind = 0   // the item's next bytes
	frameDone frameKind = 1   // all bytes of the item were sent, and are what the digest names
	frameZero frameKind = 254 // the item's next bytes are zeroes, of which only the number is told
	frameEnd  frameKind = 255 // the end of the reply
)

// allItems in a frame's item says that it is about all items not done yet.
const allItems = MaxFetchItems

// frameOverhead is the most that a frame takes beside its bytes: kind, item, length.
const frameOverhead = 1 + 3 + 4

type nonce [nonceBytes]byte

type fetchRequest struct {
	nonce nonce
	items []Item
}

func (r *fetchRequest) append(b []byte) []byte {
	b = append(b, fetchVersion)
	b = append(b, r.nonce[:]...)
	var before Item
	var items, digests []byte
	for i := range r.items {
		items = appendItem(items, &before, &r.items[i])
		if r.items[i].Digest != before.Digest {
			short := r.items[i].Digest.Short()
			digests = append(digests, short[:]...)
		}
		before = r.items[i]
	}
	if packed, ok := pack(items); ok {
		b, items = append(b, itemsPacked), packed
	} else {
		b = append(b, itemsPlain)
	}
	b = binary.AppendUvarint(b, uint64(len(r.items)))
	b = appendBytes(b, items)
	return append(b, digests...)
}

// appendItem writes of an item what differs from the one before: the items of
// a request mostly are parts of one file, or files of one folder.
func appendItem(b []byte, before, it *Item) []byte {
	var flags byte
	if it.Manifest {
		flags |= itemManifest
	}
	if it.Digest == before.Digest {
		flags |= itemSameDigest
	}
	if it.Known != "" {
		flags |= itemKnown
	}
	shared := sharedPrefix(before.Path, it.Path)
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(shared))
	b = appendBytes(b, it.Path[shared:])
	b = binary.AppendUvarint(b, uint64(it.Offset))
	b = binary.AppendUvarint(b, uint64(it.Length))
	if it.Manifest && it.Known != "" {
		b = binary.AppendUvarint(b, uint64(it.knownManifests()))
	}
	return append(b, it.Known...)
}

func sharedPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// decodeFetchRequest reads a request that fills b. With an error the nonce is
// given as far as it could be read, so that the refusal can be addressed.
func decodeFetchRequest(b []byte) (r fetchRequest, err error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != fetchVersion {
		return r, fmt.Errorf("fetch request of version %d: want %d", v, fetchVersion)
	}
	d.fill(r.nonce[:])
	packed := d.byte()
	count := d.bounded(MaxFetchItems)
	if d.err == nil && count == 0 {
		return r, errors.New("fetch request for nothing")
	}
	items := decoder{b: d.bytes(maxRequestBytes), err: d.err}
	if d.err == nil && packed != itemsPlain {
		if packed != itemsPacked {
			return r, fmt.Errorf("fetch request packed in an unknown way, %d", packed)
		}
		if items.b, err = unpack(items.b, maxRequestBytes); err != nil {
			return r, fmt.Errorf("fetch request: %w", err)
		}
	}
	var before Item
	paths, bases, content := 0, 0, int64(0)
	for range count {
		it := decodeItem(&items, &d, &before)
		if items.err != nil || d.err != nil {
			break
		}
		if err := ValidPath(it.Path); err != nil {
			return r, fmt.Errorf("fetch request: %w", err)
		}
		if it.Path != before.Path {
			paths += len(it.Path)
		}
		content += it.Length
		if bases += it.knownManifests(); bases > maxRequestBases {
			return r, fmt.Errorf("fetch request with %d known manifests: too much at once", bases)
		}
		if paths > maxRequestPaths || content > MaxFetchBytes {
			return r, fmt.Errorf("fetch request for %d bytes of content with %d bytes of paths: too much at once", content, paths)
		}
		r.items = append(r.items, it)
		before = it
	}
	if err := errors.Join(items.err, d.err); err != nil {
		return r, fmt.Errorf("fetch request: %w", err)
	}
	if rest := len(items.b) + len(d.b); rest > 0 {
		return r, fmt.Errorf("fetch request: %d bytes behind the end", rest)
	}
	return r, nil
}

// decodeItem reads an item and its digest, of which only the first bytes came:
// they tell versions of a path apart, and who asked checks what it gets.
func decodeItem(d, digests *decoder, before *Item) Item {
	flags := d.byte()
	if flags&^(itemManifest|itemSameDigest|itemKnown) != 0 {
		d.fail(errors.New("unknown flags of an item"))
	}
	shared := int(d.bounded(uint64(len(before.Path))))
	suffix := d.bytes(maxPathLength)
	it := Item{Manifest: flags&itemManifest != 0, Digest: before.Digest}
	switch {
	case shared == len(before.Path) && len(suffix) == 0:
		it.Path = before.Path
	default:
		it.Path = before.Path[:shared] + string(suffix)
	}
	if flags&itemSameDigest == 0 {
		it.Digest = objects.ID{}
		digests.fill(it.Digest[:len(objects.ShortID{})])
	}
	it.Offset = int64(d.bounded(maxContentSize))
	it.Length = int64(d.bounded(MaxFetchBytes))
	switch {
	case flags&itemKnown == 0:
	case it.Manifest:
		n := int(d.bounded(maxRequestBases))
		if n == 0 || it.Offset != 0 {
			d.fail(errors.New("no known manifests, or for a part of one"))
		}
		it.Known = string(d.take(n * len(objects.ID{})))
	default:
		if it.Length == 0 {
			d.fail(errors.New("sums of no blocks"))
		}
		it.Known = string(d.take(knownBlocks(it.Length) * knownSum))
	}
	return it
}

// fails says whether the kind is a FetchCode.
func (k frameKind) fails() bool {
	return k >= frameKind(FetchGone) && k <= frameKind(FetchBusy)
}

// appendReplyHeader begins a reply's message.
func appendReplyHeader(b []byte, n nonce, number int) []byte {
	b = append(b, fetchVersion)
	b = append(b, n[:]...)
	return binary.AppendUvarint(b, uint64(number))
}

// appendFrameHead begins a frame whose length bytes follow.
func appendFrameHead(b []byte, kind frameKind, item, length int) []byte {
	b = append(b, byte(kind))
	b = binary.AppendUvarint(b, uint64(item))
	return binary.AppendUvarint(b, uint64(length))
}

// appendZeroes is a frame that stands for so many zeroes.
func appendZeroes(b []byte, item, number int) []byte {
	return appendFrameHead(b, frameZero, item, number)
}

func appendFrame(b []byte, kind frameKind, item int, text string) []byte {
	text = strings.ToValidUTF8(text[:min(len(text), maxFetchText)], "")
	return append(appendFrameHead(b, kind, item, len(text)), text...)
}

// fetchReply reads the frames of one message of a reply.
type fetchReply struct {
	nonce  nonce
	number int
	d      decoder
	ended  bool
}

type frame struct {
	kind   frameKind
	item   int
	data   []byte // shares the message's memory
	zeroes int    // in place of data
}

func parseFetchReply(b []byte) (*fetchReply, error) {
	r := &fetchReply{d: decoder{b: b}}
	if v := r.d.byte(); r.d.err == nil && v != fetchVersion {
		return nil, fmt.Errorf("fetch reply of version %d: want %d", v, fetchVersion)
	}
	r.d.fill(r.nonce[:])
	r.number = int(r.d.bounded(1 << 20))
	if r.d.err != nil {
		return nil, fmt.Errorf("fetch reply: %w", r.d.err)
	}
	return r, nil
}

// next returns the next frame; ok is false behind the last one.
func (r *fetchReply) next() (f frame, ok bool, err error) {
	if len(r.d.b) == 0 {
		return frame{}, false, nil
	}
	if r.ended {
		return frame{}, false, fmt.Errorf("fetch reply: %d bytes behind the end", len(r.d.b))
	}
	f.kind = frameKind(r.d.byte())
	f.item = int(r.d.bounded(allItems))
	if f.kind == frameZero {
		f.zeroes = int(r.d.bounded(MaxFetchBytes))
	} else {
		f.data = r.d.bytes(MaxPiece)
	}
	if r.d.err != nil {
		return frame{}, false, fmt.Errorf("fetch reply: %w", r.d.err)
	}
	switch {
	case f.kind == frameEnd:
		r.ended = true
	case f.kind == frameZero && f.zeroes == 0:
		return frame{}, false, errors.New("fetch reply: a frame of no zeroes")
	case f.kind == frameData, f.kind == frameDone, f.kind == frameZero, f.kind.fails():
	default:
		return frame{}, false, fmt.Errorf("fetch reply: frame of unknown kind %d", f.kind)
	}
	return f, true, nil
}
