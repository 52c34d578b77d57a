package publisher

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"waptsync/bus"
)

// tree is the published state of a share: what the newest event of each path
// says, without tombstones. Its methods may be called concurrently.
//
// A million files must fit into a small host: the heap has some 26 bytes for
// each, the place of its record. Directories, which are few, are in the heap.
type tree struct {
	mu      sync.RWMutex
	top     node
	counts  counts
	deletes uint64 // how often an entry was deleted

	hash    func(path string) uint64
	at      map[uint64]ref // by the path's hash
	clashes map[string]ref // paths with the hash of another
	dir     string         // of the records' file
	records *records
	waste   int64  // bytes of records that nothing refers to
	scratch []byte // of add
	failure atomic.Pointer[error]
}

// newTree makes an empty tree whose records go to a file in dir; "" keeps them
// in memory.
func newTree(dir string) *tree {
	seed := maphash.MakeSeed()
	return &tree{
		hash:    func(path string) uint64 { return maphash.String(seed, path) },
		at:      make(map[uint64]ref),
		clashes: make(map[string]ref),
		dir:     dir,
		records: newRecords(dir),
	}
}

func (t *tree) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records.close()
}

// err returns why something could not be read back, or nil. Such paths count as
// not published, so the state is to be read from the events anew.
func (t *tree) err() error {
	if err := t.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (t *tree) failed(err error) { t.failure.CompareAndSwap(nil, &err) }

// unkept returns why records stay in memory, or nil.
func (t *tree) unkept() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.records.failed
}

// counts sums up a tree.
type counts struct {
	files, dirs, links, bytes int64
}

func (c counts) paths() int64 { return c.files + c.dirs + c.links }

// node is a directory. One that no event stands for, as when its children were
// replayed before it, has a zero entry.
type node struct {
	entry  entry
	dirs   map[string]*node
	leafs  int // files and symbolic links
	newest ref // record of a leaf; each refers to the one before it
	stale  int // records among these that are not the leaf's any more
}

// names is how many stand directly in the directory.
func (d *node) names() int { return d.leafs + len(d.dirs) }

func (t *tree) get(path string) (entry, bool) { return t.getBy(path, t.read) }

// getAhead is get for one of many paths.
func (t *tree) getAhead(path string, a *readAhead) (entry, bool) {
	return t.getBy(path, func(at ref) (leaf, bool) { return t.decode(a.get(t.records, at)) })
}

func (t *tree) getBy(path string, read func(ref) (leaf, bool)) (entry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if l, _, ok := t.leafBy(path, read); ok {
		return l.entry, true
	}
	dir, name := t.parent(path, false)
	if dir == nil {
		return entry{}, false
	}
	if d, ok := dir.dirs[name]; ok && d.entry.kind != 0 {
		return d.entry, true
	}
	return entry{}, false
}

func (t *tree) put(path string, e entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(path, e.kind == bus.KindDir)
	dir, name := t.parent(path, true)
	if e.kind == bus.KindDir {
		dir.dir(name).entry = e
	} else {
		t.add(dir, &leaf{entry: e, path: path})
	}
	t.count(e, 1)
	t.tidy(dir)
}

func (t *tree) delete(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deletes++
	t.remove(path, false)
	t.prune(above(path))
	if dir, _ := t.parent(path, false); dir != nil {
		t.tidy(dir)
	}
}

// doubt makes sure that nothing equals what is published under path, whose
// tombstone is on its way.
func (t *tree) doubt(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	dir, name := t.parent(path, false)
	if dir == nil {
		return
	}
	if l, at, ok := t.leaf(path); ok {
		l.mode, l.inode = ^uint16(0), 0
		if l.kind == bus.KindSymlink {
			l.more = nil
		}
		t.drop(dir, path, at)
		t.add(dir, &l)
	} else if d := dir.dirs[name]; d != nil {
		d.entry.mode = ^uint16(0)
	}
}

// prune removes directories that no event stands for and nothing is in.
func (t *tree) prune(path string) {
	for path != "" {
		dir, name := t.parent(path, false)
		if dir == nil {
			return
		}
		if d := dir.dirs[name]; d == nil || d.entry.kind != 0 || d.names() > 0 {
			return
		}
		delete(dir.dirs, name)
		path = above(path)
	}
}

// remove forgets what path was. A directory's children, which had their own
// tombstones before, go with it unless keepDir.
func (t *tree) remove(path string, keepDir bool) {
	dir, name := t.parent(path, false)
	if dir == nil {
		return
	}
	if l, at, ok := t.leaf(path); ok {
		t.count(l.entry, -1)
		t.drop(dir, path, at)
	}
	d, ok := dir.dirs[name]
	if !ok {
		return
	}
	if d.entry.kind != 0 {
		t.count(d.entry, -1)
		d.entry = entry{}
	}
	if !keepDir && d.names() == 0 {
		delete(dir.dirs, name)
	}
}

func (t *tree) count(e entry, by int64) {
	switch e.kind {
	case bus.KindFile:
		t.counts.files += by
		t.counts.bytes += by * e.size
	case bus.KindDir:
		t.counts.dirs += by
	case bus.KindSymlink:
		t.counts.links += by
	}
}

// parent returns the node above path and path's last element; nil if it is not there.
func (t *tree) parent(path string, create bool) (*node, string) {
	dir := &t.top
	for {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return dir, path
		}
		next := dir.dirs[name]
		if next == nil {
			if !create {
				return nil, ""
			}
			next = dir.dir(name)
		}
		dir, path = next, rest
	}
}

func (d *node) dir(name string) *node {
	if n := d.dirs[name]; n != nil {
		return n
	}
	if d.dirs == nil {
		d.dirs = make(map[string]*node)
	}
	n := &node{}
	d.dirs[strings.Clone(name)] = n
	return n
}

// node returns the directory at path, "" being the top; nil if there is none.
func (t *tree) node(path string) *node {
	if path == "" {
		return &t.top
	}
	dir, name := t.parent(path, false)
	if dir == nil {
		return nil
	}
	return dir.dirs[name]
}

// list returns the names that stand directly in the directory at path.
func (t *tree) list(path string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d := t.node(path)
	if d == nil {
		return nil
	}
	names := make([]string, 0, d.names())
	t.leafs(d, t.records, func(l *leaf, _ ref) bool {
		names = append(names, l.path[strings.LastIndexByte(l.path, '/')+1:])
		return true
	})
	for name := range d.dirs {
		names = append(names, name)
	}
	return names
}

// beside calls fn for the files and links that stand directly in the directory at
// path, until it returns false. fn must not call the tree.
func (t *tree) beside(path string, fn func(path string, e entry) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if d := t.node(path); d != nil {
		t.leafs(d, t.records, func(l *leaf, _ ref) bool { return fn(l.path, l.entry) })
	}
}

// size returns how many names stand directly in the directory at path, and how
// many deletions the tree has seen.
func (t *tree) size(path string) (names int, deletes uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if d := t.node(path); d != nil {
		names = d.names()
	}
	return names, t.deletes
}

// walk calls fn for all that is beneath the directory at path, children before
// their directory, until it returns false. fn must not call the tree.
func (t *tree) walk(path string, fn func(path string, e entry) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if d := t.node(path); d != nil {
		t.walkNode(path, d, fn)
	}
}

func (t *tree) walkNode(path string, d *node, fn func(path string, e entry) bool) bool {
	for name, sub := range d.dirs {
		p := join(path, name)
		if !t.walkNode(p, sub, fn) || sub.entry.kind != 0 && !fn(p, sub.entry) {
			return false
		}
	}
	return t.leafs(d, t.records, func(l *leaf, _ ref) bool { return fn(l.path, l.entry) })
}

func (t *tree) sum() counts {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.counts
}

// join puts name under the directory at path, "" being the share's top.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

// above returns the directory of path, "" for the share's top.
func above(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ""
	}
	return path[:i]
}
