package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"waptsync/objects"
)

// The encoding: version, kind and flags, a byte each; the generation; and,
// unless it is a marker, path, mode and mtime, what belongs to the kind, and
// the origin, whose ctime is told from the mtime on: the two are mostly close.
// Every event has exactly one encoding.
const eventVersion = 2

const (
	flagMD5 byte = 1 << iota
	flagInWindow
	flagFrom
	flagZip
	flagIncomplete
)

const (
	maxMode         = 0o777
	maxContentSize  = 1 << 50 // far above the 1 TiB a file may have, and safe to add to
	maxTargetLength = 4096    // a link's target is a path: Linux' PATH_MAX
)

// EventError says which part of an event is not as it must be.
type EventError struct {
	Field string
	Err   error
}

func (e *EventError) Error() string { return "event: " + e.Field + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *EventError) Unwrap() error { return e.Err }

func eventError(field, format string, args ...any) error {
	return &EventError{Field: field, Err: fmt.Errorf(format, args...)}
}

// AppendBinary appends the encoding of e to b. It fails with an *EventError on
// an event that [DecodeEvent] would not give back as it is.
func (e *Event) AppendBinary(b []byte) ([]byte, error) {
	if err := e.check(); err != nil {
		return b, err
	}
	b = append(b, eventVersion, byte(e.Kind), e.flags())
	b = append(b, e.Generation[:]...)
	if e.Kind == KindMarker {
		return b, nil
	}
	b = appendBytes(b, e.Path)
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.MTime)
	switch e.Kind {
	case KindFile:
		b = e.Content.append(b)
		if e.From != "" {
			b = appendBytes(b, e.From)
		}
	case KindSymlink:
		b = appendBytes(b, e.Target)
	}
	b = binary.AppendUvarint(b, e.Origin.Inode)
	return binary.AppendVarint(b, e.Origin.CTime-e.MTime), nil // may wrap, and wraps back
}

func (e *Event) flags() byte {
	var f byte
	if e.Content.HasMD5 {
		f |= flagMD5
	}
	if e.InWindow {
		f |= flagInWindow
	}
	if e.From != "" {
		f |= flagFrom
	}
	if e.Content.Params.Zip {
		f |= flagZip
	}
	if e.Incomplete {
		f |= flagIncomplete
	}
	return f
}

func (c *Content) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.Size))
	b = append(b, c.Digest[:]...)
	if c.HasMD5 {
		b = append(b, c.MD5[:]...)
	}
	b = binary.AppendUvarint(b, uint64(c.Objects))
	if c.Objects > 1 {
		b = append(b, c.Manifest[:]...)
		b = binary.AppendUvarint(b, uint64(c.Params.Min))
		b = binary.AppendUvarint(b, uint64(c.Params.Avg))
		b = binary.AppendUvarint(b, uint64(c.Params.Max))
	}
	return b
}

// DecodeEvent reads one event that fills b. It takes any bytes; whatever it
// returns without an error is valid as a whole. Errors are *EventError. The
// event shares no memory with b.
func DecodeEvent(b []byte) (Event, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != eventVersion {
		return Event{}, eventError("version", "%d is not known; a newer main needs a newer remote", v)
	}
	e := Event{Kind: Kind(d.byte())}
	flags := d.byte()
	d.fill(e.Generation[:])
	if e.Kind != KindMarker {
		e.Path = string(d.bytes(maxPathLength))
		e.Mode = uint32(d.bounded(math.MaxUint32))
		e.MTime = d.varint()
		switch e.Kind {
		case KindFile:
			e.Content.decode(&d, flags)
			e.InWindow = flags&flagInWindow != 0
			e.Incomplete = flags&flagIncomplete != 0
			if flags&flagFrom != 0 {
				e.From = string(d.bytes(maxPathLength))
			}
		case KindSymlink:
			e.Target = string(d.bytes(maxTargetLength))
		}
		e.Origin.Inode = d.uvarint()
		e.Origin.CTime = e.MTime + d.varint()
	}
	if d.err != nil {
		return Event{}, eventError("encoding", "%w", d.err)
	}
	if len(d.b) > 0 {
		return Event{}, eventError("encoding", "%d bytes behind the end", len(d.b))
	}
	if err := e.check(); err != nil {
		return Event{}, err
	}
	if e.flags() != flags {
		return Event{}, eventError("flags", "%#x do not fit the fields", flags)
	}
	return e, nil
}

func (c *Content) decode(d *decoder, flags byte) {
	c.Size = int64(d.bounded(maxContentSize))
	d.fill(c.Digest[:])
	if c.HasMD5 = flags&flagMD5 != 0; c.HasMD5 {
		d.fill(c.MD5[:])
	}
	c.Objects = uint32(d.bounded(math.MaxUint32))
	if c.Objects > 1 {
		d.fill(c.Manifest[:])
		c.Params.Min = uint32(d.bounded(math.MaxUint32))
		c.Params.Avg = uint32(d.bounded(math.MaxUint32))
		c.Params.Max = uint32(d.bounded(math.MaxUint32))
		c.Params.Zip = flags&flagZip != 0
	}
}

// check is the one place that says what a valid event is.
func (e *Event) check() error {
	switch e.Kind {
	case KindMarker:
		if *e != (Event{Kind: KindMarker, Generation: e.Generation}) {
			return eventError("kind", "a marker has a generation only")
		}
		return nil
	case KindFile:
		if err := e.Content.check(); err != nil {
			return err
		}
		if e.From != "" {
			if err := ValidPath(e.From); err != nil {
				return &EventError{Field: "from", Err: err}
			}
		}
	case KindDir, KindSymlink, KindDeleted:
		if e.Content != (Content{}) || e.From != "" || e.InWindow || e.Incomplete {
			return eventError("content", "only a file has one")
		}
	default:
		return eventError("kind", "%d is not known", e.Kind)
	}
	if err := ValidPath(e.Path); err != nil {
		return &EventError{Field: "path", Err: err}
	}
	if e.Mode > maxMode {
		return eventError("mode", "%#o is above %#o", e.Mode, maxMode)
	}
	return e.checkTarget()
}

func (e *Event) checkTarget() error {
	if e.Kind != KindSymlink {
		if e.Target != "" {
			return eventError("target", "only a symbolic link has one")
		}
		return nil
	}
	switch {
	case e.Target == "":
		return &EventError{Field: "target", Err: errors.New("empty")}
	case len(e.Target) > maxTargetLength:
		return eventError("target", "%d bytes: at most %d", len(e.Target), maxTargetLength)
	case strings.IndexByte(e.Target, 0) >= 0:
		return eventError("target", "%q has a NUL", e.Target)
	}
	return nil
}

func (c *Content) check() error {
	switch {
	case c.Size < 0 || c.Size > maxContentSize:
		return eventError("size", "%d is not in 0 to %d", c.Size, int64(maxContentSize))
	case !c.HasMD5 && c.MD5 != [16]byte{}:
		return eventError("md5", "set and said to be absent")
	case (c.Objects == 0) != (c.Size == 0) || int64(c.Objects) > c.Size:
		return eventError("objects", "%d of %d bytes", c.Objects, c.Size)
	case c.Size == 0 && c.Digest != objects.Sum(nil), c.Digest.IsZero():
		return eventError("digest", "%s cannot be of %d bytes", c.Digest, c.Size)
	case c.Objects <= 1:
		if !c.Manifest.IsZero() || c.Params != (objects.Params{}) {
			return eventError("manifest", "a content of %d objects has none", c.Objects)
		}
	case c.Manifest.IsZero():
		return eventError("manifest", "missing for %d objects", c.Objects)
	case c.Params.Min == 0 || c.Params.Min > c.Params.Avg || c.Params.Avg > c.Params.Max:
		return eventError("params", "%d, %d, %d are not in order", c.Params.Min, c.Params.Avg, c.Params.Max)
	}
	return nil
}
