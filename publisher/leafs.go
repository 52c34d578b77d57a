package publisher

import "sync"

// The files and symbolic links of a tree: where their records are, and how those
// that nothing refers to go.

const (
	// staleRecords of a directory are tolerated beyond as many as it has leafs.
	staleRecords = 64
	// wasteBytes of the records are tolerated beyond half of them.
	wasteBytes = 1 << 20
)

// recordBuffer fits nearly every record.
const recordBuffer = 512

var recordBuffers = sync.Pool{New: func() any { return new([recordBuffer]byte) }}

// leaf returns the file or link at path, and where its record is.
func (t *tree) leaf(path string) (l leaf, at ref, ok bool) { return t.leafBy(path, t.read) }

func (t *tree) leafBy(path string, read func(ref) (leaf, bool)) (l leaf, at ref, ok bool) {
	if at, ok = t.at[t.hash(path)]; ok {
		if l, ok = read(at); ok && l.path == path {
			return l, at, true
		}
	}
	if at, ok = t.clashes[path]; ok {
		l, ok = read(at)
	}
	return l, at, ok
}

// isAt says whether the record of a leaf is the one at a place.
func (t *tree) isAt(path string, at ref) bool {
	return t.at[t.hash(path)] == at || t.clashes[path] == at
}

// read returns a record, unless it cannot be read.
func (t *tree) read(at ref) (leaf, bool) {
	buf := recordBuffers.Get().(*[recordBuffer]byte)
	defer recordBuffers.Put(buf)
	return t.decode(t.records.get(at, buf[:]))
}

func (t *tree) decode(b []byte, err error) (leaf, bool) {
	var l leaf
	if err == nil {
		l, err = decodeLeaf(b)
	}
	if err != nil {
		t.failed(err)
	}
	return l, err == nil
}

// add keeps a leaf that is not there.
func (t *tree) add(dir *node, l *leaf) {
	at := t.write(dir, l)
	dir.leafs++
	if h := t.hash(l.path); t.at[h] != 0 {
		t.clashes[l.path] = at
	} else {
		t.at[h] = at
	}
}

// write makes a leaf's record the newest of its directory.
func (t *tree) write(dir *node, l *leaf) ref {
	l.prev = dir.newest
	t.scratch = l.append(t.scratch[:0])
	dir.newest = t.records.add(t.scratch)
	return dir.newest
}

// drop forgets the leaf at path, whose record is at a place.
func (t *tree) drop(dir *node, path string, at ref) {
	if _, ok := t.clashes[path]; ok {
		delete(t.clashes, path)
	} else {
		delete(t.at, t.hash(path))
	}
	dir.leafs--
	dir.stale++
	t.waste += int64(at.length())
}

// leafs calls fn for the leafs of a directory, whose records are in from, and with
// the place of each, until it returns false. fn may write them anew.
func (t *tree) leafs(d *node, from *records, fn func(l *leaf, at ref) bool) bool {
	w := recordWalk{r: from}
	defer w.end()
	for at, left := d.newest, d.leafs; at != 0 && left > 0; {
		l, ok := t.decode(w.get(at))
		if !ok {
			return true
		}
		prev := l.prev
		if t.isAt(l.path, at) {
			left--
			if !fn(&l, at) {
				return false
			}
		}
		at = prev
	}
	return true
}

// tidy bounds the records that nothing refers to, those of a directory and all,
// at a cost that each add and drop pays a constant part of.
func (t *tree) tidy(d *node) {
	switch {
	case t.waste > t.records.bytes/2+wasteBytes:
		old := t.records
		t.records, t.waste = old.next(t.dir), 0
		t.move(&t.top, old)
		old.close()
	case d.stale > d.leafs+staleRecords:
		t.moveLeafs(d, t.records)
	}
}

// move writes all records beneath a directory anew.
func (t *tree) move(d *node, from *records) {
	t.moveLeafs(d, from)
	for _, sub := range d.dirs {
		t.move(sub, from)
	}
}

// moveLeafs writes the records of a directory anew, without the stale ones.
func (t *tree) moveLeafs(d *node, from *records) {
	old := *d
	d.newest, d.stale = 0, 0
	t.leafs(&old, from, func(l *leaf, at ref) bool {
		if from == t.records {
			t.waste += int64(at.length())
		}
		to := t.write(d, l)
		if _, clash := t.clashes[l.path]; clash {
			t.clashes[l.path] = to
		} else {
			t.at[t.hash(l.path)] = to
		}
		return true
	})
}
