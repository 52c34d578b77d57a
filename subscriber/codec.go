package subscriber

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"waptsync/bus"
)

// Values of the state begin with a version byte. A value that cannot be decoded
// is treated as absent: the state only vouches for what would else be hashed.
const codecVersion = 1

var errState = errors.New("state value is malformed")

// Bounds of decoded fields, so that a damaged value costs no memory.
const (
	maxEventBytes = 16 << 10 // a path, a target and a hint of 4 KiB each at most
	maxTextBytes  = 1 << 10
)

// record is what the state knows of one path: the event that made it, and how
// it was left on disk.
type record struct {
	Seq   uint64
	Event bus.Event // without From, InWindow and Origin, which are of no use later
	Local local
}

// local is how a path was left on disk. The zero local vouches for nothing.
type local struct {
	MTime int64
	CTime int64
	Inode uint64
}

func localOf(st stat) local { return local{MTime: st.mtime, CTime: st.ctime, Inode: st.inode} }

// vouches says whether what lies on disk is still what the record says, as far
// as lstat can tell: a writer that keeps size, times and inode is not noticed.
func (r *record) vouches(st stat) bool {
	if st.kind != r.Event.Kind {
		return false
	}
	switch st.kind {
	case bus.KindFile:
		return r.Local != (local{}) && st.size == r.Event.Content.Size && localOf(st) == r.Local
	case bus.KindSymlink:
		return r.Local != (local{}) && localOf(st) == r.Local
	}
	return true // a directory is its name
}

func (r *record) append(b []byte) ([]byte, error) {
	b = append(b, codecVersion)
	b = binary.AppendUvarint(b, r.Seq)
	b = binary.AppendVarint(b, r.Local.MTime)
	b = binary.AppendVarint(b, r.Local.CTime)
	b = binary.AppendUvarint(b, r.Local.Inode)
	e := r.Event
	e.From, e.InWindow, e.Origin = "", false, bus.Origin{CTime: e.MTime} // which takes one byte
	return e.AppendBinary(b)
}

func decodeRecord(b []byte) (record, error) {
	d := decoder{b: b}
	d.version()
	r := record{Seq: d.uvarint()}
	r.Local = local{MTime: d.varint(), CTime: d.varint(), Inode: d.uvarint()}
	r.Event = d.event()
	r.Event.Origin = bus.Origin{}
	if d.bad || r.Event.Kind == bus.KindDeleted {
		return record{}, fmt.Errorf("record: %w", errState)
	}
	return r, nil
}

// waiting is an event that is not on disk and no longer held by the bus: it
// failed, or others overtook it.
type waiting struct {
	Seq   uint64
	At    time.Time // when the main appended it
	Event bus.Event
	// Why it failed; Cause is empty while it is only under way.
	Op, Cause, Hint string
	Tries           int
	Next            time.Time
}

func (w *waiting) append(b []byte) ([]byte, error) {
	b = append(b, codecVersion)
	b = binary.AppendUvarint(b, w.Seq)
	b = binary.AppendVarint(b, nanos(w.At))
	b = binary.AppendUvarint(b, uint64(w.Tries))
	b = binary.AppendVarint(b, nanos(w.Next))
	for _, s := range []string{w.Op, w.Cause, w.Hint} {
		s = s[:min(len(s), maxTextBytes)]
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return w.Event.AppendBinary(b)
}

func decodeWaiting(b []byte) (waiting, error) {
	d := decoder{b: b}
	d.version()
	w := waiting{Seq: d.uvarint(), At: instant(d.varint()), Tries: d.int()}
	w.Next = instant(d.varint())
	w.Op, w.Cause, w.Hint = d.text(), d.text(), d.text()
	w.Event = d.event()
	if d.bad {
		return waiting{}, fmt.Errorf("waiting event: %w", errState)
	}
	return w, nil
}

// progress is how far the share is.
type progress struct {
	Position bus.Position
	// Reconciling: the tree holds paths that were not yet compared with what the
	// main has, so Position is not to be resumed.
	Reconciling bool
}

func (p *progress) append(b []byte) []byte {
	b = append(b, codecVersion, 0)
	if p.Reconciling {
		b[len(b)-1] = 1
	}
	b = append(b, p.Position.Generation[:]...)
	b = binary.AppendUvarint(b, p.Position.Seq)
	return binary.AppendVarint(b, nanos(p.Position.MainTime))
}

func decodeProgress(b []byte) (progress, error) {
	d := decoder{b: b}
	d.version()
	flags := d.byte()
	p := progress{Reconciling: flags&1 != 0}
	p.Position.Generation = uuid.UUID(d.take(len(uuid.UUID{})))
	p.Position.Seq = d.uvarint()
	p.Position.MainTime = instant(d.varint())
	if d.bad || len(d.b) > 0 || flags > 1 {
		return progress{}, fmt.Errorf("progress: %w", errState)
	}
	return p, nil
}

// identity tells the share's folder from another one in its place, such as the
// empty mount point of a disk that is not there.
type identity struct {
	Token string // what the hidden folder's file says
	Dev   uint64
	Inode uint64
}

func (i *identity) append(b []byte) []byte {
	b = append(b, codecVersion)
	b = binary.AppendUvarint(b, uint64(len(i.Token)))
	b = append(b, i.Token...)
	b = binary.AppendUvarint(b, i.Dev)
	return binary.AppendUvarint(b, i.Inode)
}

func decodeIdentity(b []byte) (identity, error) {
	d := decoder{b: b}
	d.version()
	i := identity{Token: d.text(), Dev: d.uvarint(), Inode: d.uvarint()}
	if d.bad || len(d.b) > 0 {
		return identity{}, fmt.Errorf("folder identity: %w", errState)
	}
	return i, nil
}

// nanos and instant keep the zero time as 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// decoder takes fields from the front of b. Once one is missing or malformed it
// is bad and gives zeroes.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.bad, d.b = true, nil
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail()
		return make([]byte, min(n, 64))
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte { return d.take(1)[0] }

func (d *decoder) version() {
	if d.byte() != codecVersion {
		d.fail()
	}
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int {
	v := d.uvarint()
	if v > math.MaxInt32 {
		d.fail()
		return 0
	}
	return int(v)
}

func (d *decoder) text() string {
	n := d.uvarint()
	if n > maxTextBytes {
		d.fail()
		return ""
	}
	if d.bad {
		return ""
	}
	return string(d.take(int(n)))
}

// sized takes bytes behind their length: a path or a name.
func (d *decoder) sized() []byte {
	n := d.uvarint()
	if n > maxEventBytes {
		d.fail()
		return nil
	}
	return d.take(int(n))
}

// event takes the rest, which must be one event about a path.
func (d *decoder) event() bus.Event {
	if d.bad || len(d.b) > maxEventBytes {
		d.fail()
		return bus.Event{}
	}
	e, err := bus.DecodeEvent(d.b)
	if err != nil || e.Kind == bus.KindMarker {
		d.fail()
		return bus.Event{}
	}
	d.b = nil
	return e
}
