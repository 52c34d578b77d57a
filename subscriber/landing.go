package subscriber

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	// keptBlocks bounds the blocks of one content that wait in memory for the
	// hash, while an earlier one is still to come. Others are read back.
	keptBlocks = 8
)

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
	f      *os.File
	direct *directFile // nil where there is none

	mu    sync.Mutex
	runs  []span         // that are not asked for yet
	ready map[int64]part // by where they begin
	kept  int            // parts with a block
	came  chan struct{}
}

// part is a run of bytes that is in the file, and in block if that is not nil.
type part struct {
	end   int64
	block *block
}

func newLanding(f *os.File, direct *directFile, missing, there []span) *landing {
	l := &landing{f: f, direct: direct, runs: missing, ready: make(map[int64]part), came: make(chan struct{}, 1)}
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

// arrived notes that a run is in the file. The block is the landing's from now on.
func (l *landing) arrived(from, end int64, b *block) {
	l.mu.Lock()
	if b != nil && l.kept == keptBlocks {
		blocks.Put(b)
		b = nil
	}
	if b != nil {
		l.kept++
	}
	l.ready[from] = part{end: end, block: b}
	l.mu.Unlock()
	poke(l.came)
}

// take returns what begins at from.
func (l *landing) take(from int64) (part, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.ready[from]
	if ok {
		delete(l.ready, from)
		if p.block != nil {
			l.kept--
		}
	}
	return p, ok
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

// flush writes what is in the block. It is also for a span that broke off, so
// that a slow link need not bring it again.
func (f *filler) flush() error {
	b := f.block
	if b == nil {
		return nil
	}
	from, data := f.from, b[f.from%blockSize:]
	data = data[:f.next-from]
	if err := f.write(data, from); err != nil {
		blocks.Put(b)
		f.block = nil
		return fmt.Errorf("writing to the stage: %w", err)
	}
	f.block, f.from = nil, f.next
	f.l.arrived(from, f.next, b)
	return nil
}

// write writes the edges that a direct write cannot have through the page cache.
func (f *filler) write(data []byte, offset int64) error {
	if f.direct {
		head := (directAlign - offset%directAlign) % directAlign
		if whole := (int64(len(data)) - head) / directAlign * directAlign; whole > 0 {
			done, err := f.l.direct.writeAt(data[head:head+whole], offset+head)
			if err != nil {
				return err
			}
			if done {
				_, before := f.l.f.WriteAt(data[:head], offset)
				_, after := f.l.f.WriteAt(data[head+whole:], offset+head+whole)
				return errors.Join(before, after)
			}
			f.direct = false
		}
	}
	_, err := f.l.f.WriteAt(data, offset)
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
