package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"waptsync/objects"
)

// replyRoom is what a message has beside its content, for the header and the
// frames' heads; a message that runs out of it is sent earlier. The rest of the
// 64 KiB (see MaxPiece) is for the line of the NATS protocol before it.
const replyRoom = 6 << 10

// replySkew is where in its memory a message begins. The content then lies 64
// bytes and more behind a page's begin: some processors copy three times slower
// to an address that is, of its page, a few bytes further than the one copied from.
const replySkew = 64

// replyBuffers hold whole messages. Publishing copies, so a buffer is free again at once.
type replyBuffers struct{ pool sync.Pool }

func (p *replyBuffers) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, replySkew, replySkew+MaxPiece+replyRoom)[replySkew:]
	return &b
}

func (p *replyBuffers) put(b *[]byte) { p.pool.Put(b) }

// fetcher answers fetch requests from Files.
type fetcher struct {
	files   Files
	publish func(subject string, data []byte) error
	buffers replyBuffers
	served  atomic.Int64 // content bytes
}

// answering is one request under way.
type answering struct {
	f       *fetcher
	share   string
	reply   string
	nonce   nonce
	number  int
	buf     []byte
	content int // content bytes in buf
	err     error
}

// manifestTimeout bounds how long one manifest may keep a reader busy. It may
// have to be made again from the file.
const manifestTimeout = 2 * time.Minute

// answer sends what the request asks for. It returns an error only if nothing
// can be sent.
func (f *fetcher) answer(ctx context.Context, share, reply string, data []byte) error {
	a := &answering{f: f, share: share, reply: reply}
	buf := f.buffers.get()
	defer f.buffers.put(buf)
	a.buf = (*buf)[:0]

	r, err := decodeFetchRequest(data)
	a.nonce = r.nonce
	a.begin()
	if err != nil {
		a.fail(allItems, &FetchError{Code: FetchRefused, Text: err.Error()})
	} else {
		a.items(ctx, r.items)
	}
	a.room(frameOverhead)
	a.buf = appendFrame(a.buf, frameEnd, 0, "")
	a.send()
	return a.err
}

// refuse answers a request as a whole, without reading more of it than its nonce.
func (f *fetcher) refuse(reply string, data []byte, code FetchCode, text string) error {
	d := decoder{b: data}
	d.byte()
	a := &answering{f: f, reply: reply}
	d.fill(a.nonce[:])
	a.begin()
	a.fail(allItems, &FetchError{Code: code, Text: text})
	a.buf = appendFrame(a.buf, frameEnd, 0, "")
	a.send()
	return a.err
}

func (a *answering) begin() {
	a.buf = appendReplyHeader(a.buf[:0], a.nonce, a.number)
	a.content = 0
}

func (a *answering) send() {
	// Before it is sent: who has all of an answer finds it counted.
	a.f.served.Add(int64(a.content))
	if a.err == nil {
		a.err = a.f.publish(a.reply, a.buf)
	}
	a.number++
}

// room makes sure that n more bytes which are no content fit into the message.
func (a *answering) room(n int) {
	if len(a.buf)-a.content+n > replyRoom {
		a.send()
		a.begin()
	}
}

func (a *answering) done(item int) {
	a.room(frameOverhead)
	a.buf = appendFrame(a.buf, frameDone, item, "")
}

// fail says why the item cannot be had; bytes of it may have been sent.
func (a *answering) fail(item int, err error) {
	var fe *FetchError
	if !errors.As(err, &fe) {
		fe = &FetchError{Code: FetchFailed, Text: err.Error()}
	}
	code := fe.Code
	if code < FetchGone || code > FetchBusy {
		code = FetchFailed // an unknown code would make the whole reply unreadable
	}
	a.room(frameOverhead + maxFetchText)
	a.buf = appendFrame(a.buf, frameKind(code), item, fe.Text)
}

// items answers them in order. Items of one content that follow each other
// share one opened file, and are done when its Close says that it stood still.
func (a *answering) items(ctx context.Context, items []Item) {
	for i := 0; i < len(items) && a.err == nil && ctx.Err() == nil; {
		if items[i].Manifest {
			a.manifest(ctx, i, &items[i])
			i++
			continue
		}
		end := i + 1
		for end < len(items) && !items[end].Manifest && items[end].Path == items[i].Path && items[end].Digest == items[i].Digest {
			end++
		}
		a.file(items, i, end)
		i = end
	}
}

func (a *answering) file(items []Item, from, to int) {
	r, err := a.f.files.Open(a.share, items[from].Path, items[from].Digest.Short())
	if err != nil {
		for i := from; i < to; i++ {
			a.fail(i, err)
		}
		return
	}
	failed := make(map[int]error)
	for i := from; i < to && a.err == nil; i++ {
		answer := a.read
		if items[i].Known != "" {
			answer = a.compare
		}
		if err := answer(r, i, &items[i]); err != nil {
			failed[i] = err
		}
	}
	changed := r.Close()
	for i := from; i < to; i++ {
		switch {
		case changed != nil:
			a.fail(i, &FetchError{Code: FetchGone, Text: fmt.Sprintf("%q changed while it was read: %v", items[i].Path, changed)})
		case failed[i] != nil:
			a.fail(i, failed[i])
		default:
			a.done(i)
		}
	}
}

// read reads the item's bytes straight into the messages. Zeroes, as holes of
// files read, are told by their number.
func (a *answering) read(r io.ReaderAt, item int, it *Item) error {
	for sent := int64(0); sent < it.Length && a.err == nil; {
		a.room(frameOverhead)
		n := min(it.Length-sent, int64(MaxPiece-a.content))
		if n == 0 {
			a.send()
			a.begin()
			continue
		}
		mark := len(a.buf)
		a.buf = appendFrameHead(a.buf, frameData, item, int(n))
		start := len(a.buf)
		got, err := r.ReadAt(a.buf[start:start+int(n)], it.Offset+sent)
		if got < int(n) {
			a.buf = a.buf[:mark]
			return readError(it, sent+int64(got), err)
		}
		zero, last := objects.ZeroesAt(a.buf[start : start+int(n)])
		if zero > 0 { // what is behind them is read again
			a.buf = appendZeroes(a.buf[:mark], item, zero)
			if sent += int64(zero); int64(zero) == n && a.content > 0 {
				a.send() // more zeroes may follow, and shall be read in long pieces
				a.begin()
			}
			continue
		}
		if n -= int64(last); last > 0 {
			data := a.buf[start : start+int(n)]
			a.buf = append(appendFrameHead(a.buf[:mark], frameData, item, int(n)), data...)
		} else {
			a.buf = a.buf[:start+int(n)]
		}
		a.content += int(n)
		sent += n
	}
	return nil
}

// readError is what reading ended with, so many bytes behind the item's begin.
func readError(it *Item, got int64, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return &FetchError{Code: FetchGone, Text: fmt.Sprintf("%q ends at %d, before what was asked for", it.Path, it.Offset+got)}
	}
	return err
}

// compare tells which of the item's blocks are right.
func (a *answering) compare(r io.ReaderAt, item int, it *Item) error {
	answer, err := compareKnown(r, it)
	if err != nil {
		return err
	}
	a.room(frameOverhead + len(answer))
	a.buf = append(appendFrameHead(a.buf, frameData, item, len(answer)), answer...)
	return nil
}

func (a *answering) manifest(ctx context.Context, item int, it *Item) {
	ctx, cancel := context.WithTimeout(ctx, manifestTimeout)
	defer cancel()
	m, err := a.f.files.Manifest(ctx, a.share, it.Path, it.Digest.Short(), it.bases())
	if err != nil {
		a.fail(item, err)
		return
	}
	part := m[min(it.Offset, int64(len(m))):]
	part = part[:min(it.Length, int64(len(part)))]
	for len(part) > 0 && a.err == nil {
		a.room(frameOverhead)
		n := min(len(part), MaxPiece-a.content)
		if n == 0 {
			a.send()
			a.begin()
			continue
		}
		a.buf = append(appendFrameHead(a.buf, frameData, item, n), part[:n]...)
		a.content += n
		part = part[n:]
	}
	a.done(item)
}
