package objects

import (
	"context"
	"crypto/md5"
	"io"
	"sync"
)

// inFlight is how many blocks of one content are being worked on: enough that
// nobody waits for one that is late by a block or two.
const inFlight = 4

// pipeline hands each block of a content to several hashes at once.
type pipeline struct {
	free chan *block // blocks to read into
	outs []chan *block
	wg   sync.WaitGroup
}

// tee returns the blocks in order for one more reader, who must call done with
// each. All tees are made before run.
func (p *pipeline) tee() <-chan *block {
	c := make(chan *block, inFlight) // never full: there are no more blocks
	p.outs = append(p.outs, c)
	return c
}

// hash feeds all blocks to w in a goroutine of its own.
func (p *pipeline) hash(w io.Writer) {
	in := p.tee()
	p.wg.Go(func() {
		for b := range in {
			w.Write(b.data)
			p.done(b)
		}
	})
}

func (p *pipeline) done(b *block) {
	if b.refs.Add(-1) == 0 {
		p.free <- b
	}
}

// run reads src to its end, then closes what tee returned. It returns early
// with the context's error when ctx ends, also while all blocks are in use.
func (p *pipeline) run(ctx context.Context, src *reader) error {
	defer func() {
		for _, c := range p.outs {
			close(c)
		}
	}()
	for src.more() {
		var b *block
		select {
		case b = <-p.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := src.read(ctx, b); err != nil {
			return err
		}
		b.refs.Store(int32(len(p.outs)))
		for _, c := range p.outs {
			c <- b
		}
	}
	return nil
}

// describeParallel describes a content with one goroutine that reads and cuts,
// one for each digest of the whole, and this one for the objects.
func describeParallel(ctx context.Context, r io.ReaderAt, m *Manifest, o DescribeOptions) error {
	src, err := newReader(r, m.Size, m.Params)
	if err != nil {
		return err
	}
	out := newAssembler(m, o.Emit)
	defer out.close()
	whole := NewHasher()
	defer whole.Release()
	sum5 := md5.New()

	p := &pipeline{free: make(chan *block, inFlight)}
	own := make([]*block, inFlight)
	for i := range own {
		own[i] = blocks.Get().(*block)
		p.free <- own[i]
	}
	defer func() {
		for _, b := range own {
			blocks.Put(b)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer p.wg.Wait() // also if Emit panics: nobody may use a block given back
	defer cancel()

	in := p.tee()
	p.hash(whole)
	if o.MD5 {
		p.hash(sum5)
	}
	var readErr error
	p.wg.Go(func() { readErr = p.run(ctx, src) })
	for b := range in {
		if err := out.take(b); err != nil {
			return err
		}
		p.done(b)
	}
	p.wg.Wait()
	if readErr != nil {
		return readErr
	}
	m.Digest = whole.Sum()
	if o.MD5 {
		sum5.Sum(m.MD5[:0])
	}
	return nil
}
