package publisher

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

const (
	// recordBlock is what is written at a time, and what a walk reads at a time.
	recordBlock = 256 << 10
	// maxRecord: a path and a link's target have 4 KiB each at most.
	maxRecord = 1<<refLengthBits - 1

	refLengthBits = 16
)

// ref says where a record is: its offset and its length. None is 0.
type ref uint64

func (r ref) offset() int64 { return int64(r >> refLengthBits) }
func (r ref) length() int   { return int(r & maxRecord) }

// records keeps byte strings outside of the heap: in a file that has no name any
// more and ends with the process. What is kept is known from elsewhere, too, so
// nothing is synced. What the file does not take stays in memory.
//
// Reads may be concurrent with each other, but not with append.
type records struct {
	file   *os.File // nil: all stay in memory
	first  int64    // number of the first block
	blocks [][]byte // from the first; nil where the file has it
	free   []byte   // a block's memory for the next one
	bytes  int64    // in all records
	failed error    // the last write that failed
}

// newRecords makes an empty one whose file is in dir; "" is without a file.
func newRecords(dir string) *records {
	r := &records{}
	if dir == "" {
		return r
	}
	r.file, r.failed = unnamedFile(dir)
	return r
}

// next makes an empty one with refs that r does not have.
func (r *records) next(dir string) *records {
	n := newRecords(dir)
	n.first = r.first + int64(len(r.blocks))
	return n
}

// add keeps a copy of b, which has at most maxRecord bytes and at least one.
func (r *records) add(b []byte) ref {
	n := len(r.blocks)
	if n == 0 || len(r.blocks[n-1])+len(b) > recordBlock {
		r.write()
		r.blocks = append(r.blocks, r.free[:0])
		r.free = nil
		n++
	}
	last := r.blocks[n-1]
	at := (r.first+int64(n-1))*recordBlock + int64(len(last))
	r.blocks[n-1] = append(last, b...)
	r.bytes += int64(len(b))
	return ref(at)<<refLengthBits | ref(len(b))
}

// write moves the last block to the file.
func (r *records) write() {
	n := len(r.blocks) - 1
	if n < 0 || r.file == nil {
		return
	}
	if _, err := r.file.WriteAt(r.blocks[n], int64(n)*recordBlock); err != nil {
		r.failed = err
		return
	}
	r.free, r.blocks[n] = r.blocks[n], nil
}

// get returns a record, in buf if it has to be read and fits. It is valid until
// the next add.
func (r *records) get(at ref, buf []byte) ([]byte, error) {
	n, from, block := r.block(at)
	if block != nil || r.file == nil {
		return within(block, from, at.length())
	}
	if cap(buf) < at.length() {
		buf = make([]byte, at.length())
	}
	buf = buf[:at.length()]
	if _, err := r.file.ReadAt(buf, n*recordBlock+int64(from)); err != nil {
		return nil, fmt.Errorf("reading the published state: %w", err)
	}
	return buf, nil
}

// block returns the number of a record's block, where in it the record is, and
// the block if it is in memory.
func (r *records) block(at ref) (n int64, from int, block []byte) {
	n, from = at.offset()/recordBlock-r.first, int(at.offset()%recordBlock)
	if n >= 0 && n < int64(len(r.blocks)) {
		block = r.blocks[n]
	}
	return n, from, block
}

func within(block []byte, from, length int) ([]byte, error) {
	if from+length > len(block) {
		return nil, errRecord
	}
	return block[from : from+length], nil
}

func (r *records) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
}

// recordWalk reads records that mostly lie before one another, a block at a time.
// It is to be ended.
type recordWalk struct {
	r     *records
	block int64
	buf   []byte // what of the block there is; nil: none was read
	whole *[recordBlock]byte
}

// Most directories are small: memory made for each walk would be most of what a
// start makes.
var walkBuffers = sync.Pool{New: func() any { return new([recordBlock]byte) }}

func (w *recordWalk) end() {
	if w.whole != nil {
		walkBuffers.Put(w.whole)
	}
	w.whole, w.buf = nil, nil
}

func (w *recordWalk) get(at ref) ([]byte, error) {
	n, from, block := w.r.block(at)
	if block != nil || w.r.file == nil {
		return within(block, from, at.length())
	}
	if w.buf == nil || n != w.block {
		if w.whole == nil {
			w.whole = walkBuffers.Get().(*[recordBlock]byte)
		}
		got, err := w.r.file.ReadAt(w.whole[:], n*recordBlock)
		if got == 0 {
			w.buf = nil
			return nil, fmt.Errorf("reading the published state: %w", err)
		}
		w.block, w.buf = n, w.whole[:got]
	}
	return within(w.buf, from, at.length())
}

// readAhead reads records that mostly lie behind one another, as those of a
// folder do that is listed in the order in which it was published. The zero value
// is ready. It may outlive the records.
type readAhead struct {
	r      *records
	from   int64 // of buf, in the file
	buf    []byte
	next   int64 // where the record read last ended
	memory [16 << 10]byte
}

// get is as records.get; what it returns is valid until the next call.
func (a *readAhead) get(r *records, at ref) ([]byte, error) {
	n, from, block := r.block(at)
	if block != nil || r.file == nil {
		return within(block, from, at.length())
	}
	if a.r != r {
		a.r, a.buf, a.next = r, nil, 0
	}
	where, length := n*recordBlock+int64(from), int64(at.length())
	if where < a.from || where+length > a.from+int64(len(a.buf)) {
		size := length
		if skipped := where - a.next; skipped >= 0 && skipped < int64(len(a.memory)) {
			// Within the block, which was written once; the next may not be there yet.
			size = max(size, min(int64(len(a.memory)), (n+1)*recordBlock-where))
		}
		buf := a.memory[:]
		if size > int64(len(buf)) {
			buf = make([]byte, size)
		}
		got, err := r.file.ReadAt(buf[:size], where)
		if int64(got) < length {
			return nil, fmt.Errorf("reading the published state: %w", err)
		}
		a.from, a.buf = where, buf[:got]
	}
	a.next = where + length
	return within(a.buf, int(where-a.from), at.length())
}

// unnamedFile makes a file in dir that goes with its last handle.
func unnamedFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".published-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil { // as on Windows
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}
