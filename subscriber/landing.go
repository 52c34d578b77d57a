package subscriber

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"waptsync/bus"
)

const (
	// blockSize is how much of a file is written at once. Blocks begin at
	// multiples of it, in the file and in memory, as direct writes ask for.
	blockSize = 1 << 20
	// directFrom is the length of a span in bytes from which it is written past
	// the page cache: shorter ones cost a turn of the disk each.
	directFrom = 256 << 10
	// What is less than keptBytes before the hash waits for it in memory.
	keptBytes = 8 << 20
)

// errStaging is that the staged file could not be written.
var errStaging = errors.New("writing to the stage")

// block is a piece of a file in memory, at its place from a multiple of blockSize on.
type block [blockSize]byte

var blocks = sync.Pool{New: func() any { return alignedBlock() }}

// span is a run of missing bytes.
type span struct{ offset, length int64 }

// landing writes what the main sends of one content into the staged file, and
// hashes the whole of it in order. What comes in order is hashed from memory and
// written past the page cache: a first copy of many GB would else be copied twice
// more, and push out of memory what the web server serves.
type landing struct {
	file   *hollow
	direct *directFile // nil where there is none

	mu    sync.Mutex
	runs  []span         // that are not asked for yet
	ready map[int64]part // by where they begin
	at    int64          // where the hash goes on
	came  chan struct{}  // something is ready
	room  chan struct{}  // the hash went on
}

// part is a run of bytes that is in the file, and in block if that is not nil.
type part struct {
	end   int64
	block *block
}

func newLanding(file *hollow, direct *directFile, missing, there []span) *landing {
	l := &landing{file: file, direct: direct, runs: missing, ready: make(map[int64]part), came: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	for _, sp := range there {
		l.ready[sp.offset] = part{end: sp.offset + sp.length}
	}
	return l
}

// next returns the spans of the next request, of about limit bytes together.
func (l *landing) next(limit int64) (spans []span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for limit > 0 && len(l.runs) > 0 && len(spans) < bus.MaxFetchItems {
		run := &l.runs[0]
		n := min(run.length, limit, bus.MaxFetchBytes)
		if n < run.length { // the next one begins where a direct write may
			if cut := (run.offset+n)/directAlign*directAlign - run.offset; cut > 0 {
				n = cut
			}
		}
		spans = append(spans, span{run.offset, n})
		limit -= n
		run.offset, run.length = run.offset+n, run.length-n
		if run.length == 0 {
			l.runs = l.runs[1:]
		}
	}
	return spans
}

// near says whether what lies at offset is to wait in memory for the hash.
func (l *landing) near(offset, bytes int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return offset-l.at < bytes
}

// arrived notes that a run is in the file. A block is the landing's from now on.
func (l *landing) arrived(from, end int64, b *block) {
	l.mu.Lock()
	l.ready[from] = part{end: end, block: b}
	l.mu.Unlock()
	poke(l.came)
}

// take returns what begins at from.
func (l *landing) take(from int64) (part, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = from
	poke(l.room)
	p, ok := l.ready[from]
	if ok {
		delete(l.ready, from)
	}
	return p, ok
}

// wait returns when the hash comes near offset. Who reads from this host's disk is
// faster than all others.
func (l *landing) wait(ctx context.Context, offset int64) error {
	for !l.near(offset, keptBytes/2) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.room:
		}
	}
	return nil
}

// close gives back what memory is left.
func (l *landing) close() {
	for _, p := range l.ready {
		if p.block != nil {
			blocks.Put(p.block)
		}
	}
}

// filler puts the pieces of one span, which come in order, into the file.
type filler struct {
	l          *landing
	from, next int64 // of what is in block: from is where the last write ended
	end        int64
	direct     bool
	block      *block
}

func (l *landing) filler(sp span) *filler {
	return &filler{l: l, from: sp.offset, next: sp.offset, end: sp.offset + sp.length, direct: l.direct != nil && sp.length >= directFrom}
}

func (f *filler) take(piece []byte) error {
	if f.next+int64(len(piece)) > f.end {
		return fmt.Errorf("the main sent more than the %d bytes that were asked for", f.end-f.from)
	}
	for len(piece) > 0 {
		if f.block == nil {
			f.block = blocks.Get().(*block)
		}
		n := copy(f.block[f.next%blockSize:], piece)
		piece, f.next = piece[n:], f.next+int64(n)
		if f.next%blockSize == 0 || f.next == f.end {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// read takes the span's next bytes from a file, up to the end of a block, and
// returns how many.
func (f *filler) read(from io.ReaderAt, at int64) (int64, error) {
	if f.block == nil {
		f.block = blocks.Get().(*block)
	}
	place := f.next % blockSize
	n, err := from.ReadAt(f.block[place:min(blockSize, place+f.end-f.next)], at)
	if n == 0 {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	f.next += int64(n)
	if f.next%blockSize == 0 || f.next == f.end {
		err = f.flush()
	} else {
		err = nil // one of reading comes again
	}
	return int64(n), err
}

// flush writes what is in the block. It is also for a span that broke off, so
// that a slow link need not bring it again.
func (f *filler) flush() error {
	b := f.block
	if b == nil {
		return nil
	}
	if f.next == f.from {
		blocks.Put(b)
		f.block = nil
		return nil
	}
	from, data := f.from, b[f.from%blockSize:]
	data = data[:f.next-from]
	f.block, f.from = nil, f.next
	keep := f.l.near(from, keptBytes)
	err := f.l.file.write(data, from, func(data []byte, offset int64, part bool) error {
		return f.write(data, offset, keep, part)
	})
	if err != nil {
		blocks.Put(b)
		return fmt.Errorf("%w: %w", errStaging, err)
	}
	if !keep {
		blocks.Put(b)
		b = nil
	}
	f.l.arrived(from, f.next, b)
	return nil
}

// write writes directly what is kept in memory, and the rest through the page
// cache, from which it is hashed then; so are the edges that a direct write
// cannot have, and short parts between holes.
func (f *filler) write(data []byte, offset int64, kept, part bool) error {
	if f.direct && kept && (!part || int64(len(data)) >= directFrom) {
		head := (directAlign - offset%directAlign) % directAlign
		if whole := (int64(len(data)) - head) / directAlign * directAlign; whole > 0 {
			done, err := f.l.direct.writeAt(data[head:head+whole], offset+head)
			if err != nil {
				return err
			}
			if done {
				_, before := f.l.file.f.WriteAt(data[:head], offset)
				_, after := f.l.file.f.WriteAt(data[head+whole:], offset+head+whole)
				return errors.Join(before, after)
			}
			f.direct = false
		}
	}
	_, err := f.l.file.f.WriteAt(data, offset)
	startWriteback(f.l.file.f, offset, int64(len(data)))
	return err
}

// hash hashes the staged file from where a.hashed stands, as far as it has no
// gap, until came is closed and nothing is left.
func (l *landing) hash(ctx context.Context, a *assembly) error {
	for more := true; ; {
		p, ok := l.take(a.hashed)
		switch {
		case ok && p.block != nil:
			a.whole.Write(p.block[a.hashed%blockSize:][:p.end-a.hashed])
			a.hashed = p.end
			blocks.Put(p.block)
		case ok:
			if err := a.hashTo(ctx, p.end); err != nil {
				return err
			}
		case !more:
			return nil
		default:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case _, more = <-l.came:
			}
		}
	}
}
