package publisher

import (
	"strings"
	"sync"

	"waptsync/bus"
	"waptsync/objects"
)

// tree is the published state of a share: what the newest event of each path
// says, without tombstones. Its methods may be called concurrently.
//
// A million files must fit into a small host, so an entry is 80 bytes beside its
// name, and what only few have lies behind a pointer.
type tree struct {
	mu      sync.RWMutex
	top     node
	counts  counts
	deletes uint64 // how often an entry was deleted
}

// counts sums up a tree.
type counts struct {
	files, dirs, links, bytes int64
}

func (c counts) paths() int64 { return c.files + c.dirs + c.links }

// node is a directory. One that no event stands for, as when its children were
// replayed before it, has a zero entry.
type node struct {
	entry entry
	leafs map[string]entry // files and symbolic links
	dirs  map[string]*node
}

// entry is the published state of one path.
type entry struct {
	size, mtime, ctime int64
	inode              uint64
	digest             objects.ID
	more               *more
	mode               uint16
	kind               bus.Kind
	incomplete         bool // an index, published as incomplete
}

// more is what only files of several objects or with MD5, and links, have.
type more struct {
	params   objects.Params
	manifest objects.ID
	objects  uint32
	hasMD5   bool
	md5      [16]byte
	target   string
}

func entryOf(e *bus.Event) entry {
	n := entry{
		size:   e.Content.Size,
		mtime:  e.MTime,
		ctime:  e.Origin.CTime,
		inode:  e.Origin.Inode,
		digest: e.Content.Digest,
		mode:   uint16(e.Mode),
		kind:   e.Kind,

		incomplete: e.Incomplete,
	}
	if e.Content.HasMD5 || e.Content.Objects > 1 || e.Target != "" {
		n.more = &more{
			params: e.Content.Params, manifest: e.Content.Manifest, objects: e.Content.Objects,
			hasMD5: e.Content.HasMD5, md5: e.Content.MD5, target: e.Target,
		}
	}
	return n
}

// content is the inverse of entryOf for a file's content.
func (n entry) content() bus.Content {
	c := bus.Content{Size: n.size, Digest: n.digest}
	if n.size > 0 {
		c.Objects = 1
	}
	if m := n.more; m != nil {
		c.Objects, c.Manifest, c.Params = m.objects, m.manifest, m.params
		c.HasMD5, c.MD5 = m.hasMD5, m.md5
	}
	return c
}

func (n entry) target() string {
	if n.more == nil {
		return ""
	}
	return n.more.target
}

func (n entry) body() body { return body{n.inode, n.size, n.mtime} }

// stat is what lstat said of the file when it was published.
func (n entry) stat() stat {
	return stat{kind: n.kind, mode: uint32(n.mode), size: n.size, mtime: n.mtime, ctime: n.ctime, inode: n.inode}
}

// sameFile says whether st is the file that was published, without a look at its bytes.
func (n entry) sameFile(st stat) bool {
	return n.kind == bus.KindFile && st.kind == bus.KindFile && n.body() == st.body() &&
		n.ctime == st.ctime && uint32(n.mode) == st.mode
}

func (t *tree) get(path string) (entry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	dir, name := t.parent(path, false)
	if dir == nil {
		return entry{}, false
	}
	if e, ok := dir.leafs[name]; ok {
		return e, true
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
		if dir.leafs == nil {
			dir.leafs = make(map[string]entry)
		}
		dir.leafs[strings.Clone(name)] = e
	}
	t.count(e, 1)
}

func (t *tree) delete(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deletes++
	t.remove(path, false)
	t.prune(above(path))
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
	if e, ok := dir.leafs[name]; ok {
		e.mode, e.inode = ^uint16(0), 0
		if e.kind == bus.KindSymlink {
			e.more = nil
		}
		dir.leafs[name] = e
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
		if d := dir.dirs[name]; d == nil || d.entry.kind != 0 || len(d.leafs)+len(d.dirs) > 0 {
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
	if e, ok := dir.leafs[name]; ok {
		t.count(e, -1)
		delete(dir.leafs, name)
	}
	d, ok := dir.dirs[name]
	if !ok {
		return
	}
	if d.entry.kind != 0 {
		t.count(d.entry, -1)
		d.entry = entry{}
	}
	if !keepDir && len(d.leafs)+len(d.dirs) == 0 {
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
	names := make([]string, 0, len(d.leafs)+len(d.dirs))
	for name := range d.leafs {
		names = append(names, name)
	}
	for name := range d.dirs {
		names = append(names, name)
	}
	return names
}

// size returns how many names stand directly in the directory at path, and how
// many deletions the tree has seen.
func (t *tree) size(path string) (names int, deletes uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if d := t.node(path); d != nil {
		names = len(d.leafs) + len(d.dirs)
	}
	return names, t.deletes
}

// walk calls fn for all that is beneath the directory at path, children before
// their directory, until it returns false. fn must not call the tree.
func (t *tree) walk(path string, fn func(path string, e entry) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if d := t.node(path); d != nil {
		d.walk(path, fn)
	}
}

func (d *node) walk(path string, fn func(path string, e entry) bool) bool {
	for name, sub := range d.dirs {
		p := join(path, name)
		if !sub.walk(p, fn) || sub.entry.kind != 0 && !fn(p, sub.entry) {
			return false
		}
	}
	for name, e := range d.leafs {
		if !fn(join(path, name), e) {
			return false
		}
	}
	return true
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
