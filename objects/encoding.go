package objects

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The encoding of a manifest:
//
//	version  1 byte, 1
//	flags    1 byte, flagZip and flagMD5
//	params   uvarint Min, Avg, Max
//	size     uvarint
//	digest   32 bytes
//	md5      16 bytes, with flagMD5 only
//	count    uvarint
//	objects  count times: uvarint size, 32 bytes ID
//
// A manifest has one encoding only, so that the ID of the encoding names it.

const (
	manifestVersion = 1

	flagZip = 1 << 0
	flagMD5 = 1 << 1
	flagAll = flagZip | flagMD5
)

var (
	// ErrManifest is returned for a manifest that contradicts itself, and for
	// bytes that are not the encoding of any.
	ErrManifest = errors.New("malformed manifest")
	// ErrManifestVersion is returned for an encoding of a version that is not known.
	ErrManifestVersion = errors.New("unknown version of manifest")
)

// AppendBinary appends the encoding of m to b. It returns ErrManifest, wrapped,
// for a manifest that [DecodeManifest] would refuse.
func (m *Manifest) AppendBinary(b []byte) ([]byte, error) {
	if err := m.check(); err != nil {
		return b, err
	}
	b = m.appendHead(append(b, manifestVersion))
	return appendObjects(b, m.Objects), nil
}

// appendHead appends all from the flags to the count.
func (m *Manifest) appendHead(b []byte) []byte {
	var flags byte
	if m.Params.Zip {
		flags |= flagZip
	}
	if m.HasMD5 {
		flags |= flagMD5
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(m.Params.Min))
	b = binary.AppendUvarint(b, uint64(m.Params.Avg))
	b = binary.AppendUvarint(b, uint64(m.Params.Max))
	b = binary.AppendUvarint(b, uint64(m.Size))
	b = append(b, m.Digest[:]...)
	if m.HasMD5 {
		b = append(b, m.MD5[:]...)
	}
	return binary.AppendUvarint(b, uint64(len(m.Objects)))
}

func appendObjects(b []byte, objects []Object) []byte {
	for i := range objects {
		b = binary.AppendUvarint(b, uint64(objects[i].Size))
		b = append(b, objects[i].ID[:]...)
	}
	return b
}

// DecodeManifest is the inverse of [Manifest.AppendBinary]. It takes any bytes,
// allocates no more than they could describe, and refuses all that
// AppendBinary does not write, with ErrManifest or ErrManifestVersion, wrapped.
// The result does not refer to b.
func DecodeManifest(b []byte) (*Manifest, error) {
	d := decoder{b: b}
	if v := d.byte(); !d.bad && v != manifestVersion {
		return nil, fmt.Errorf("%w: %d", ErrManifestVersion, v)
	}
	m, count := d.head(MaxObjects)
	if d.bad || count > len(d.b)/leastObject {
		return nil, fmt.Errorf("%w: unknown flags, cut short or not minimal", ErrManifest)
	}
	if count > 0 {
		m.Objects = make([]Object, count)
	}
	d.objects(m.Objects)
	if d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: cut short, not minimal or too long", ErrManifest)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// check returns ErrManifest, wrapped, when the fields of m contradict each other.
func (m *Manifest) check() error {
	if err := m.Params.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	switch n := len(m.Objects); {
	case n > MaxObjects:
		return fmt.Errorf("%w: %d objects, more than %d", ErrManifest, n, MaxObjects)
	case n == 0 && m.Digest != Sum(nil):
		return fmt.Errorf("%w: no objects, but digest %v", ErrManifest, m.Digest)
	case n == 1 && m.Digest != m.Objects[0].ID:
		return fmt.Errorf("%w: its only object %v is not its digest %v", ErrManifest, m.Objects[0].ID, m.Digest)
	case n > 1 && m.Size <= m.Params.single():
		return fmt.Errorf("%w: %d objects for %d bytes", ErrManifest, n, m.Size)
	case !m.HasMD5 && m.MD5 != [16]byte{}:
		return fmt.Errorf("%w: MD5 without being said so", ErrManifest)
	}
	var sum int64
	for i := range m.Objects {
		size := m.Objects[i].Size
		if size == 0 || size > m.Params.Max {
			return fmt.Errorf("%w: object %d has %d bytes, want 1 to %d", ErrManifest, i, size, m.Params.Max)
		}
		sum += int64(size) // at most MaxObjects * MaxObject, 2^43
	}
	if sum != m.Size {
		return fmt.Errorf("%w: objects of %d bytes together for a size of %d", ErrManifest, sum, m.Size)
	}
	return nil
}

// leastObject is the least that an object takes in an encoding, in bytes.
const leastObject = 1 + len(ID{})

// head takes what appendHead wrote, and gives the count, of at most limit, apart.
func (d *decoder) head(limit uint64) (m *Manifest, count int) {
	flags := d.byte()
	d.bad = d.bad || flags&^flagAll != 0
	m = &Manifest{HasMD5: flags&flagMD5 != 0}
	m.Params = Params{Min: d.uint32(), Avg: d.uint32(), Max: d.uint32(), Zip: flags&flagZip != 0}
	m.Size = int64(d.uvarint(1<<63 - 1))
	d.copy(m.Digest[:])
	if m.HasMD5 {
		d.copy(m.MD5[:])
	}
	return m, int(d.uvarint(limit))
}

func (d *decoder) objects(to []Object) {
	for i := range to {
		to[i].Size = d.uint32()
		d.copy(to[i].ID[:])
	}
}

// decoder takes fields from the front of b. Once one is missing or badly
// formed it is bad, and gives zeroes.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	var b [1]byte
	d.copy(b[:])
	return b[0]
}

func (d *decoder) copy(to []byte) {
	if d.bad || len(d.b) < len(to) {
		d.bad = true
		return
	}
	d.b = d.b[copy(to, d.b):]
}

func (d *decoder) uint32() uint32 { return uint32(d.uvarint(1<<32 - 1)) }

// uvarint takes an integer of at most limit in its shortest form: one whose
// last byte is 0 has a shorter one.
func (d *decoder) uvarint(limit uint64) uint64 {
	if d.bad {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}
