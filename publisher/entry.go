package publisher

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"waptsync/bus"
	"waptsync/objects"
)

// entry is the published state of one path.
type entry struct {
	size, mtime, ctime int64
	inode              uint64
	digest             objects.ID
	more               *more
	mode               uint16
	kind               bus.Kind
	incomplete         bool // an index, published as incomplete
}

// more is what only files of several objects or with MD5, and links, have.
type more struct {
	params   objects.Params
	manifest objects.ID
	objects  uint32
	hasMD5   bool
	md5      [16]byte
	target   string
}

func entryOf(e *bus.Event) entry {
	n := entry{
		size:   e.Content.Size,
		mtime:  e.MTime,
		ctime:  e.Origin.CTime,
		inode:  e.Origin.Inode,
		digest: e.Content.Digest,
		mode:   uint16(e.Mode),
		kind:   e.Kind,

		incomplete: e.Incomplete,
	}
	if e.Content.HasMD5 || e.Content.Objects > 1 || e.Target != "" {
		n.more = &more{
			params: e.Content.Params, manifest: e.Content.Manifest, objects: e.Content.Objects,
			hasMD5: e.Content.HasMD5, md5: e.Content.MD5, target: e.Target,
		}
	}
	return n
}

// content is the inverse of entryOf for a file's content.
func (n entry) content() bus.Content {
	c := bus.Content{Size: n.size, Digest: n.digest}
	if n.size > 0 {
		c.Objects = 1
	}
	if m := n.more; m != nil {
		c.Objects, c.Manifest, c.Params = m.objects, m.manifest, m.params
		c.HasMD5, c.MD5 = m.hasMD5, m.md5
	}
	return c
}

func (n entry) target() string {
	if n.more == nil {
		return ""
	}
	return n.more.target
}

func (n entry) body() body { return body{n.inode, n.size, n.mtime} }

// stat is what lstat said of the file when it was published.
func (n entry) stat() stat {
	return stat{kind: n.kind, mode: uint32(n.mode), size: n.size, mtime: n.mtime, ctime: n.ctime, inode: n.inode}
}

// sameFile says whether st is the file that was published, without a look at its bytes.
func (n entry) sameFile(st stat) bool {
	return n.kind == bus.KindFile && st.kind == bus.KindFile && n.body() == st.body() &&
		n.ctime == st.ctime && uint32(n.mode) == st.mode
}

// leaf is a file or symbolic link of a tree as it is kept.
type leaf struct {
	entry
	path string
	prev ref // the record before it in the same directory
}

// Bits of a record's second byte.
const (
	flagIncomplete = 1 << iota
	flagMore
	flagMD5
	flagZip
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcBytes = 4

// append encodes a leaf. The sum is there because a disk has it in between, and
// what is read back decides what is published.
func (l *leaf) append(b []byte) []byte {
	begin := len(b)
	b = append(b, 0, 0, 0, 0, byte(l.kind))
	b = append(b, l.flags())
	b = binary.LittleEndian.AppendUint16(b, l.mode)
	b = binary.LittleEndian.AppendUint64(b, uint64(l.mtime))
	b = binary.AppendVarint(b, l.ctime-l.mtime)
	b = binary.AppendUvarint(b, l.inode)
	b = binary.AppendUvarint(b, uint64(l.size))
	b = append(b, l.digest[:]...)
	b = binary.AppendUvarint(b, uint64(l.prev))
	b = binary.AppendUvarint(b, uint64(len(l.path)))
	b = append(b, l.path...)
	if m := l.more; m != nil {
		b = append(b, m.manifest[:]...)
		b = append(b, m.md5[:]...)
		for _, n := range []uint32{m.params.Min, m.params.Avg, m.params.Max, m.objects} {
			b = binary.AppendUvarint(b, uint64(n))
		}
		b = binary.AppendUvarint(b, uint64(len(m.target)))
		b = append(b, m.target...)
	}
	sealRecord(b[begin:])
	return b
}

func (l *leaf) flags() (flags byte) {
	if l.incomplete {
		flags |= flagIncomplete
	}
	if m := l.more; m != nil {
		flags |= flagMore
		if m.hasMD5 {
			flags |= flagMD5
		}
		if m.params.Zip {
			flags |= flagZip
		}
	}
	return flags
}

// sealRecord writes the sum of a record into it.
func sealRecord(b []byte) []byte {
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[crcBytes:], castagnoli))
	return b
}

var errRecord = errors.New("a record of the published state is damaged")

// decodeLeaf is the inverse of append. The leaf has nothing of b.
func decodeLeaf(b []byte) (leaf, error) {
	if len(b) < crcBytes || crc32.Checksum(b[crcBytes:], castagnoli) != binary.LittleEndian.Uint32(b) {
		return leaf{}, errRecord
	}
	d := recordReader{b: b[crcBytes:]}
	var l leaf
	head := d.take(4)
	if d.bad {
		return leaf{}, errRecord
	}
	l.kind, l.mode = bus.Kind(head[0]), binary.LittleEndian.Uint16(head[2:])
	flags := head[1]
	l.incomplete = flags&flagIncomplete != 0
	if t := d.take(8); !d.bad {
		l.mtime = int64(binary.LittleEndian.Uint64(t))
	}
	l.ctime = l.mtime + d.varint()
	l.inode = d.uvarint()
	l.size = int64(d.uvarint())
	copy(l.digest[:], d.take(len(l.digest)))
	l.prev = ref(d.uvarint())
	l.path = string(d.take(int(d.uvarint())))
	if flags&flagMore != 0 {
		m := &more{hasMD5: flags&flagMD5 != 0}
		copy(m.manifest[:], d.take(len(m.manifest)))
		copy(m.md5[:], d.take(len(m.md5)))
		for _, n := range []*uint32{&m.params.Min, &m.params.Avg, &m.params.Max, &m.objects} {
			*n = uint32(d.uvarint())
		}
		m.params.Zip = flags&flagZip != 0
		m.target = string(d.take(int(d.uvarint())))
		l.more = m
	}
	if d.bad || len(d.b) > 0 {
		return leaf{}, errRecord
	}
	return l, nil
}

// recordReader reads the fields of a record; after one that is not there all are
// zero, and bad says so.
type recordReader struct {
	b   []byte
	bad bool
}

func (d *recordReader) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *recordReader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *recordReader) varint() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return v
}

func (d *recordReader) skip(n int) {
	if d.bad || n <= 0 {
		d.bad = true
		return
	}
	d.b = d.b[n:]
}
