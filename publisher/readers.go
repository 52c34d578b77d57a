package publisher

import (
	"container/list"
	"io"
	"os"
	"sync"
	"time"

	"waptsync/objects"
)

const (
	maxReaders = 64
	readerIdle = 10 * time.Second
)

// readerKey is one content as it lies under a path.
type readerKey struct {
	path   string
	digest objects.ID
}

// openFile is a file that fetches read, known to hold a content as long as its
// stat is st.
type openFile struct {
	key  readerKey
	file *os.File
	st   stat
	refs int
	used time.Time
	dead bool // not to be handed out again
}

// unchanged says whether the file still has the stat that its digest belongs to.
func (f *openFile) unchanged() bool {
	fi, err := f.file.Stat()
	return err == nil && statOf(fi) == f.st
}

// readerCache keeps files open between the many requests for one large file.
// Its methods may be called concurrently.
type readerCache struct {
	mu    sync.Mutex
	order *list.List // of *openFile, newest first
	byKey map[readerKey]*list.Element
	timer *time.Timer // runs while something is open
}

func newReaderCache() *readerCache {
	return &readerCache{order: list.New(), byKey: make(map[readerKey]*list.Element)}
}

// get returns an open file of the content, counted as used, or nil.
func (c *readerCache) get(key readerKey) *openFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil
	}
	f := e.Value.(*openFile)
	if !f.unchanged() {
		c.remove(e)
		return nil
	}
	c.order.MoveToFront(e)
	f.refs++
	return f
}

// put adds a file, counted as used once.
func (c *readerCache) put(f *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.refs = 1
	if e, ok := c.byKey[f.key]; ok {
		c.remove(e)
	}
	c.byKey[f.key] = c.order.PushFront(f)
	if c.order.Len() > maxReaders {
		c.remove(c.order.Back())
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(readerIdle, c.expire)
	}
}

// release gives f back.
func (c *readerCache) release(f *openFile) {
	c.mu.Lock()
	f.refs--
	f.used = time.Now()
	done := f.dead && f.refs == 0
	c.mu.Unlock()
	if done {
		_ = f.file.Close()
	}
}

// drop makes sure that f is not handed out again.
func (c *readerCache) drop(f *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[f.key]; ok && e.Value == f {
		c.remove(e)
	}
}

// remove forgets an open file and closes it unless somebody reads it. Callers hold mu.
func (c *readerCache) remove(e *list.Element) {
	f := c.order.Remove(e).(*openFile)
	delete(c.byKey, f.key)
	f.dead = true
	if f.refs == 0 {
		_ = f.file.Close()
	}
}

func (c *readerCache) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for e := c.order.Back(); e != nil; {
		before := e.Prev()
		if f := e.Value.(*openFile); f.refs == 0 && now.Sub(f.used) >= readerIdle {
			c.remove(e)
		}
		e = before
	}
	if c.order.Len() == 0 {
		c.timer = nil
		return
	}
	c.timer.Reset(readerIdle)
}

func (c *readerCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.order.Len() > 0 {
		c.remove(c.order.Back())
	}
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// contentReader is one use of an open file.
type contentReader struct {
	p    *Publisher
	f    *openFile
	once sync.Once
	err  error
}

var _ io.ReaderAt = (*contentReader)(nil)

func (r *contentReader) ReadAt(b []byte, off int64) (int, error) { return r.f.file.ReadAt(b, off) }

// Close reports whether the file changed since it was opened.
func (r *contentReader) Close() error {
	r.once.Do(func() {
		if !r.f.unchanged() {
			r.p.readers.drop(r.f)
			r.err = r.p.changed(r.f.key.path)
		}
		r.p.readers.release(r.f)
	})
	return r.err
}
