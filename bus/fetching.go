package bus

import (
	"errors"
	"fmt"
)

// fetching is a fetch request's state on the asking side. For one goroutine.
type fetching struct {
	nonce    nonce
	items    []Item
	sink     func(Piece) error
	got      []int64 // bytes of each item
	settled  []bool
	errs     []error
	expected int // number of the next message
	ended    bool
}

// errBadReply says that a reply does not follow the protocol, or that a
// message of it was lost.
var errBadReply = errors.New("unusable answer")

func newFetching(items []Item, sink func(Piece) error) *fetching {
	return &fetching{
		items: items, sink: sink,
		got: make([]int64, len(items)), settled: make([]bool, len(items)), errs: make([]error, len(items)),
	}
}

// take handles one message. Its errors end the fetch: errBadReply, wrapped, or
// the sink's as it is.
func (f *fetching) take(message []byte) error {
	r, err := parseFetchReply(message)
	if err != nil {
		return fmt.Errorf("%w: %w", errBadReply, err)
	}
	if r.nonce != f.nonce {
		return fmt.Errorf("%w: it is to another request", errBadReply)
	}
	if r.number != f.expected {
		return fmt.Errorf("%w: message %d came in place of %d", errBadReply, r.number, f.expected)
	}
	f.expected++
	for {
		fr, ok, err := r.next()
		if err != nil {
			return fmt.Errorf("%w: %w", errBadReply, err)
		}
		if !ok {
			return nil
		}
		if err := f.frame(fr); err != nil {
			return err
		}
	}
}

func (f *fetching) frame(fr frame) error {
	switch {
	case fr.kind == frameEnd:
		f.ended = true
		for i, settled := range f.settled {
			if !settled {
				return fmt.Errorf("%w: it ends without item %d", errBadReply, i)
			}
		}
		return nil
	case fr.item == allItems && fr.kind.fails():
		for i := range f.items {
			if !f.settled[i] {
				f.settle(i, &FetchError{Code: FetchCode(fr.kind), Text: string(fr.data)})
			}
		}
		return nil
	case fr.item >= len(f.items) || f.settled[fr.item]:
		return fmt.Errorf("%w: it is about item %d of %d", errBadReply, fr.item, len(f.items))
	case fr.kind == frameData:
		return f.data(fr.item, fr.data, false)
	case fr.kind == frameZero:
		return f.zeroes(fr.item, fr.zeroes)
	case fr.kind == frameDone:
		if it := &f.items[fr.item]; !it.Manifest && f.got[fr.item] != it.Bytes() {
			return fmt.Errorf("%w: item %d has %d bytes of %d", errBadReply, fr.item, f.got[fr.item], it.Bytes())
		}
		f.settle(fr.item, nil)
		return nil
	default:
		f.settle(fr.item, &FetchError{Code: FetchCode(fr.kind), Text: string(fr.data)})
		return nil
	}
}

func (f *fetching) data(item int, data []byte, zeroes bool) error {
	it := &f.items[item]
	if int64(len(data)) > it.Bytes()-f.got[item] {
		return fmt.Errorf("%w: more than the %d bytes of item %d", errBadReply, it.Bytes(), item)
	}
	offset := it.Offset + f.got[item]
	f.got[item] += int64(len(data))
	return f.sink(Piece{Item: item, Offset: offset, Data: data, Zeroes: zeroes})
}

// zeroPiece is what is handed on of zeroes. It is never written to.
var zeroPiece [MaxPiece]byte

func (f *fetching) zeroes(item, number int) error {
	if it := &f.items[item]; it.Manifest || it.Known != "" {
		return fmt.Errorf("%w: zeroes in place of what was asked for as item %d", errBadReply, item)
	}
	for number > 0 {
		n := min(number, len(zeroPiece))
		if err := f.data(item, zeroPiece[:n], true); err != nil {
			return err
		}
		number -= n
	}
	return nil
}

func (f *fetching) settle(item int, err error) {
	f.settled[item], f.errs[item] = true, err
}
