package objects

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"math"
	"slices"
)

// The records of a zip container, by section of PKWARE's APPNOTE.TXT 6.3.10.
const (
	localSignature     = "PK\x03\x04" // 4.3.7
	directorySignature = "PK\x01\x02" // 4.3.12
	end64Signature     = "PK\x06\x06" // 4.3.14
	locatorSignature   = "PK\x06\x07" // 4.3.15
	endSignature       = "PK\x05\x06" // 4.3.16

	localLen     = 30 // the fixed part of each record, in bytes
	directoryLen = 46
	end64Len     = 56
	locatorLen   = 20
	endLen       = 22
	zip64Extra   = 0x0001 // 4.5.3
)

// Bounds of the work that a hostile zip container can cause.
const (
	maxDirectory = 64 << 20 // bytes of the central directory
	maxMembers   = 100_000  // members that are cut at
)

// IsZip says whether r begins with a zip container's first member. A content
// that cannot be read is none.
func IsZip(r io.ReaderAt) bool {
	var b [len(localSignature)]byte
	n, _ := readAt(r, b[:], 0)
	return string(b[:n]) == localSignature
}

// member is a member's place in a zip container, in bytes.
type member struct {
	header int64 // offset of its local header
	size   int64 // of its data, as stored
}

// members lists where a zip container forces ends of objects, whatever the
// bytes there are: at the beginning and the end of the stored data of each
// member that has at least a least size of them, and at the beginning of the
// central directory. What is between two such members, the smaller ones with
// all their headers and the next large one's header, is cut by content alone,
// as the data of a large member is.
//
// So the data of an unchanged large member gives the same objects whatever
// stands before it, though its header carries a new time; and among small
// members an insertion or change is outlived by the next cut by content. A
// rule that counted bytes since the last boundary would not find back so.
//
// A container that cannot be understood has no forced ends. Of members that
// overlap or have no local header, the earlier count. All this depends on the
// bytes alone.
type members struct {
	r         io.ReaderAt
	size      int64 // of the content
	directory int64 // offset of the central directory; size if there is none
	list      []member
	dataEnd   int64 // of the member whose data began last
}

// findMembers reads the central directory of r and lists the members with at
// least least bytes of data. Only reading can fail.
func findMembers(r io.ReaderAt, size, least int64) (*members, error) {
	b := blocks.Get().(*block)
	defer blocks.Put(b)
	z := &members{r: r, size: size, directory: size}
	start, length, err := findDirectory(r, size, b)
	if err != nil || length == 0 {
		return z, err
	}
	list, ok, err := readDirectory(r, start, length, least, b)
	if err != nil || !ok {
		return z, err
	}
	slices.SortStableFunc(list, func(a, b member) int { return cmp.Compare(a.header, b.header) })
	z.directory, z.list = start, list
	return z, nil
}

// next returns the first forced end behind the place off, which is 0 or the
// last one returned; the content's end at last.
func (z *members) next(off int64) (int64, error) {
	if z.dataEnd > off {
		return z.dataEnd, nil
	}
	for len(z.list) > 0 {
		m := z.list[0]
		z.list = z.list[1:]
		if m.header < z.dataEnd {
			continue
		}
		data, err := z.dataOffset(m)
		if err != nil {
			return 0, err
		}
		if data > 0 && data <= z.directory && m.size <= z.directory-data {
			z.dataEnd = data + m.size
			return data, nil
		}
	}
	if z.directory > off {
		return z.directory, nil
	}
	return z.size, nil
}

// dataOffset reads m's local header, whose length the central directory does
// not tell. It returns 0 if there is none.
func (z *members) dataOffset(m member) (int64, error) {
	if m.header > z.directory-localLen {
		return 0, nil
	}
	buf := smallBuffers.Get().(*smallBuffer)
	defer smallBuffers.Put(buf)
	b := buf[:localLen]
	if _, err := readAt(z.r, b, m.header); err != nil {
		return 0, err
	}
	if string(b[:4]) != localSignature {
		return 0, nil
	}
	return m.header + localLen + int64(le16(b[26:])) + int64(le16(b[28:])), nil
}

// findDirectory returns where the central directory stands, by the record at
// the very end of the content; length is 0 if there is none.
func findDirectory(r io.ReaderAt, size int64, buf *block) (start, length int64, err error) {
	if size < endLen {
		return 0, 0, nil
	}
	// Nearly always there is no comment behind the record.
	end := size - endLen
	b := buf.buf[:endLen]
	if _, err := readAt(r, b, end); err != nil {
		return 0, 0, err
	}
	if string(b[:4]) != endSignature || le16(b[20:]) != 0 {
		if b, end, err = findEnd(r, size, buf); err != nil || b == nil {
			return 0, 0, err
		}
	}
	entries, length32, start32 := le16(b[10:]), le32(b[12:]), le32(b[16:])
	start, length = int64(start32), int64(length32)
	if entries == math.MaxUint16 || length32 == math.MaxUint32 || start32 == math.MaxUint32 {
		s, n, ok, err := findDirectory64(r, end, buf)
		if err != nil {
			return 0, 0, err
		}
		if ok {
			start, length = s, n
		}
	}
	if length < directoryLen || length > maxDirectory || start < 0 || start > end-length {
		return 0, 0, nil
	}
	return start, length, nil
}

// findEnd searches the end record before a comment that reaches to the
// content's end. b is nil if there is none.
func findEnd(r io.ReaderAt, size int64, buf *block) (b []byte, off int64, err error) {
	b = buf.buf[:min(size, endLen+math.MaxUint16)]
	base := size - int64(len(b))
	if _, err := readAt(r, b, base); err != nil {
		return nil, 0, err
	}
	for i := len(b) - endLen; i >= 0; i-- {
		if i = bytes.LastIndex(b[:i+len(endSignature)], []byte(endSignature)); i < 0 {
			break
		}
		if i+endLen+int(le16(b[i+20:])) == len(b) {
			return b[i:], base + int64(i), nil
		}
	}
	return nil, 0, nil
}

// findDirectory64 is for containers too large for the plain end record at end.
func findDirectory64(r io.ReaderAt, end int64, buf *block) (start, length int64, ok bool, err error) {
	if end < locatorLen+end64Len {
		return 0, 0, false, nil
	}
	b := buf.buf[:locatorLen]
	if _, err := readAt(r, b, end-locatorLen); err != nil {
		return 0, 0, false, err
	}
	at := le64(b[8:])
	if string(b[:4]) != locatorSignature || at > uint64(end-locatorLen-end64Len) {
		return 0, 0, false, nil
	}
	b = buf.buf[:end64Len]
	if _, err := readAt(r, b, int64(at)); err != nil {
		return 0, 0, false, err
	}
	n, s := le64(b[40:]), le64(b[48:])
	if string(b[:4]) != end64Signature || n > math.MaxInt64 || s > math.MaxInt64 {
		return 0, 0, false, nil
	}
	return int64(s), int64(n), true, nil
}

// readDirectory lists the members with at least least bytes of data. ok is
// false when the directory is not one, or lists more than maxMembers of them.
func readDirectory(r io.ReaderAt, start, length, least int64, buf *block) (list []member, ok bool, err error) {
	var b []byte // what was read and not yet understood
	for length > 0 || len(b) > 0 {
		m, n, ok := parseMember(b)
		if n > len(b) { // 0 ≤ n < blockSize: three strings of at most 64 KiB
			fill := min(length, int64(blockSize-len(b)))
			if fill == 0 {
				return nil, false, nil
			}
			b = buf.buf[:copy(buf.buf[:], b)+int(fill)]
			if _, err := readAt(r, b[int64(len(b))-fill:], start); err != nil {
				return nil, false, err
			}
			start += fill
			length -= fill
			continue
		}
		if !ok || m.size >= least && len(list) == maxMembers {
			return nil, false, nil
		}
		if m.size >= least {
			list = append(list, m)
		}
		b = b[n:]
	}
	return list, true, nil
}

// parseMember reads the entry of the central directory at the front of b. n is
// its length, which when greater than b's means that more is needed.
func parseMember(b []byte) (m member, n int, ok bool) {
	if len(b) < directoryLen {
		return member{}, directoryLen, false
	}
	if string(b[:4]) != directorySignature {
		return member{}, 0, false
	}
	name, extra, comment := int(le16(b[28:])), int(le16(b[30:])), int(le16(b[32:]))
	n = directoryLen + name + extra + comment
	if n > len(b) {
		return member{}, n, false
	}
	stored, plain, header := uint64(le32(b[20:])), le32(b[24:]), uint64(le32(b[42:]))
	if stored == math.MaxUint32 || plain == math.MaxUint32 || header == math.MaxUint32 {
		x := findExtra(b[directoryLen+name:][:extra], zip64Extra)
		// Present are those of the fields, in this order, that the entry lacks.
		take := func(v *uint64) {
			if len(x) >= 8 {
				*v, x = le64(x), x[8:]
			}
		}
		if plain == math.MaxUint32 {
			var ignored uint64
			take(&ignored)
		}
		if stored == math.MaxUint32 {
			take(&stored)
		}
		if header == math.MaxUint32 {
			take(&header)
		}
	}
	if stored > math.MaxInt64 || header > math.MaxInt64 {
		return member{}, n, false
	}
	return member{header: int64(header), size: int64(stored)}, n, true
}

// findExtra returns the data of the first extra field of that kind, or nil.
func findExtra(b []byte, kind uint16) []byte {
	for len(b) >= 4 {
		k, n := le16(b), int(le16(b[2:]))
		b = b[4:]
		if n > len(b) {
			return nil
		}
		if k == kind {
			return b[:n]
		}
		b = b[n:]
	}
	return nil
}

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
