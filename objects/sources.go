package objects

import "encoding/binary"

// stride is for how many objects one offset is kept.
const stride = 64

// Sources knows where objects can be read from on this machine: which file, at
// which offset. It keeps the manifests it is given, and some 30 bytes an object
// beside them. The zero Sources is empty and ready. Find may be called
// concurrently with itself, Add with nothing.
//
// What Find says is a hint, since the file can have changed: the bytes read
// there are to be compared with the ID.
type Sources struct {
	files []source
	// at is keyed by the first 8 bytes of the ID: they are as evenly spread as
	// all 32, which the manifest holds. Of two objects that share them, an
	// attacker's work, the one added first is found and the other is not.
	at map[uint64]place
}

type source struct {
	name    string
	m       *Manifest
	offsets []int64 // of each stride-th object
}

type place struct{ file, object uint32 }

// Add makes the objects of m known, which can be read from the file called
// name. An object that was known already is still found where it was. m must
// not be changed any more.
func (s *Sources) Add(name string, m *Manifest) {
	if s.at == nil {
		s.at = make(map[uint64]place, len(m.Objects))
	}
	file := uint32(len(s.files))
	offsets := make([]int64, 0, (len(m.Objects)+stride-1)/stride)
	var off int64
	for i := range m.Objects {
		o := &m.Objects[i]
		if i%stride == 0 {
			offsets = append(offsets, off)
		}
		off += int64(o.Size)
		if _, known := s.at[key(o.ID)]; !known {
			s.at[key(o.ID)] = place{file: file, object: uint32(i)}
		}
	}
	s.files = append(s.files, source{name: name, m: m, offsets: offsets})
}

// Find returns where the object id can be read from: a file's name as given to
// Add, and the offset and size in bytes.
func (s *Sources) Find(id ID) (name string, offset int64, size uint32, ok bool) {
	p, ok := s.at[key(id)]
	if !ok {
		return "", 0, 0, false
	}
	f := &s.files[p.file]
	o := &f.m.Objects[p.object]
	if o.ID != id {
		return "", 0, 0, false
	}
	offset = f.offsets[p.object/stride]
	for i := p.object / stride * stride; i < p.object; i++ {
		offset += int64(f.m.Objects[i].Size)
	}
	return f.name, offset, o.Size, true
}

func key(id ID) uint64 { return binary.LittleEndian.Uint64(id[:]) }
