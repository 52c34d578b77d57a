package objects

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The delta of a manifest against others, its bases, which who gets it has too:
//
//	version  1 byte, 2: no encoding of a manifest begins so
//	used     1 byte, a bit for each base, the first one's lowest
//	head     flags to count, as in the encoding of a manifest
//	runs     until they have count objects: uvarint 2n+1 and n objects as in the
//	         encoding; or uvarint 2n for n objects that the bases have side by
//	         side, and varint where, counted from the end of such a run before
//
// The used bases count as one list of objects. A delta proves nothing: what comes
// of it is right if it has the ID that it should.

const (
	deltaVersion = 2

	// MaxBases is how many bases a delta may have.
	MaxBases = 4
	// MaxDeltaObjects bounds the objects of a manifest that has a delta, and those of
	// its bases together, and so the work for one: some 32 GiB of content.
	MaxDeltaObjects = 1 << 14
)

// IsDelta says whether b, an encoded manifest or a delta, is a delta.
func IsDelta(b []byte) bool { return len(b) > 0 && b[0] == deltaVersion }

// Delta returns the delta of an encoded manifest against encoded bases, of which
// some may be empty, or the encoding itself where that is no longer.
func Delta(encoding []byte, bases [][]byte) []byte {
	m, err := decodeForDelta(encoding)
	if err != nil || len(bases) > MaxBases {
		return encoding
	}
	var used byte
	var have []Object
	for i, b := range bases {
		base, err := decodeForDelta(b)
		if err != nil || len(have)+len(base.Objects) > MaxDeltaObjects {
			continue
		}
		used |= 1 << i
		have = append(have, base.Objects...)
	}
	d := m.appendHead([]byte{deltaVersion, used})
	d = appendRuns(d, m.Objects, have)
	if len(d) >= len(encoding) {
		return encoding
	}
	return d
}

// decodeForDelta does not look into what is too long for a delta.
func decodeForDelta(encoding []byte) (*Manifest, error) {
	const most = 128 + MaxDeltaObjects*(binary.MaxVarintLen32+len(ID{}))
	if len(encoding) > most {
		return nil, fmt.Errorf("%w: of %d bytes, too long for a delta", ErrManifest, len(encoding))
	}
	m, err := DecodeManifest(encoding)
	if err == nil && len(m.Objects) > MaxDeltaObjects {
		return nil, fmt.Errorf("%w: %d objects, too many for a delta", ErrManifest, len(m.Objects))
	}
	return m, err
}

func appendRuns(b []byte, objects, have []Object) []byte {
	at := make(map[uint64]int, len(have)) // as in Sources
	for i := range slices.Backward(have) {
		at[key(have[i].ID)] = i
	}
	next := 0 // behind the run before
	find := func(o Object) (i int, ok bool) {
		if next < len(have) && have[next] == o {
			return next, true
		}
		i, ok = at[key(o.ID)]
		return i, ok && have[i] == o
	}
	for len(objects) > 0 {
		n := 1
		if from, ok := find(objects[0]); ok {
			for n < len(objects) && from+n < len(have) && objects[n] == have[from+n] {
				n++
			}
			b = binary.AppendUvarint(b, uint64(n)<<1)
			b = binary.AppendVarint(b, int64(from-next))
			next = from + n
		} else {
			for n < len(objects) {
				if _, ok := find(objects[n]); ok {
					break
				}
				n++
			}
			b = binary.AppendUvarint(b, uint64(n)<<1|1)
			b = appendObjects(b, objects[:n])
		}
		objects = objects[n:]
	}
	return b
}

// DecodeDelta returns the manifest that Delta was given, of manifests as its bases
// encode. It takes any bytes, and allocates no more than MaxDeltaObjects need. It
// returns ErrManifest, wrapped, for what is no delta against these bases.
func DecodeDelta(b []byte, bases []*Manifest) (*Manifest, error) {
	d := decoder{b: b}
	version, used := d.byte(), d.byte()
	if version != deltaVersion || len(bases) > MaxBases || int(used)>>len(bases) != 0 {
		return nil, fmt.Errorf("%w: no delta against %d bases", ErrManifest, len(bases))
	}
	var have []Object
	for i, base := range bases {
		if used>>i&1 != 0 {
			have = append(have, base.Objects...)
		}
	}
	m, count := d.head(MaxDeltaObjects)
	if count > 0 {
		m.Objects = make([]Object, count)
	}
	next := 0
	for to := m.Objects; len(to) > 0 && !d.bad; {
		run := d.uvarint(uint64(len(to))<<1 | 1)
		n := int(run >> 1)
		switch {
		case n == 0:
			d.bad = true
		case run&1 != 0:
			d.objects(to[:n])
		default:
			next += int(d.varint(MaxDeltaObjects))
			if next < 0 || next > len(have)-n {
				d.bad = true
				break
			}
			copy(to, have[next:next+n])
			next += n
		}
		if d.bad {
			break
		}
		to = to[n:]
	}
	if d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: a delta with unknown flags, cut short, not minimal, too long or out of its bases", ErrManifest)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// varint takes a zigzag number of at most limit either way.
func (d *decoder) varint(limit uint64) int64 {
	u := d.uvarint(2 * limit)
	return int64(u>>1) ^ -int64(u&1)
}
