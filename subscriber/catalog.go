package subscriber

import (
	"waptsync/bus"
)

// catalog knows what the indexes of a share name: those that are visible, and
// those that are staged and wait for their turn. Of each name it keeps whether
// the disk has it, as far as the records tell, so that judging an index costs
// what changed and not what it names.
//
// It belongs to whoever holds the replica's commit lock. A nil catalog, which is
// there between two sessions, knows of no index.
type catalog struct {
	visible map[string]*listing
	staged  map[*listing]struct{}
	claims  map[string][]*claim
	guarded map[string]int // guarded claims of all listings beneath each folder
	// failing are the indexes that wait after a failure.
	failing      map[string]struct{}
	waitsChanged bool // the waiting bucket, since the listings last heard of it
	// unsure are claimed paths whose record lacks the MD5 that would tell.
	unsure map[string]struct{}
}

func newCatalog() *catalog {
	return &catalog{
		visible: make(map[string]*listing),
		staged:  make(map[*listing]struct{}),
		claims:  make(map[string][]*claim),
		guarded: make(map[string]int),
		failing: make(map[string]struct{}),
		unsure:  make(map[string]struct{}),
	}
}

// found is what lies at a path.
type found struct {
	kind    bus.Kind // 0: nothing
	content bus.Content
	size    int64 // of a file
	sure    bool  // a record says so, and not lstat only
}

// foundBy is what a record says.
func foundBy(r *record) found {
	return found{kind: r.Event.Kind, content: r.Event.Content, size: r.Event.Content.Size, sure: true}
}

// add takes a listing in; look says what lies at the path of each claim.
func (c *catalog) add(l *listing, look func(path string) found) {
	for _, cl := range l.claims {
		c.claims[cl.Path] = append(c.claims[cl.Path], cl)
		c.judge(cl, look(cl.Path))
	}
	if l.item != nil {
		c.staged[l] = struct{}{}
	}
}

// remove forgets a listing; nil is none.
func (c *catalog) remove(l *listing) {
	if l == nil {
		return
	}
	for _, cl := range l.claims {
		c.setGuard(cl, false)
		all := c.claims[cl.Path]
		for i, other := range all {
			if other == cl {
				all[i] = all[len(all)-1]
				all = all[:len(all)-1]
				break
			}
		}
		if len(all) == 0 {
			delete(c.claims, cl.Path)
			delete(c.unsure, cl.Path)
			continue
		}
		c.claims[cl.Path] = all
	}
	l.claims = nil
	delete(c.staged, l)
}

// show makes a staged listing the visible one of its index.
func (c *catalog) show(l *listing, incomplete bool) {
	if old := c.visible[l.path]; old != l {
		c.remove(old)
	}
	delete(c.staged, l)
	l.item, l.parked, l.blocker, l.incomplete = nil, nil, nil, incomplete
	c.visible[l.path] = l
}

// hide forgets the visible index at a path.
func (c *catalog) hide(path string) {
	if l := c.visible[path]; l != nil {
		c.remove(l)
		delete(c.visible, path)
	}
}

// set notes what lies at a path now.
func (c *catalog) set(path string, f found) {
	for _, cl := range c.claims[path] {
		c.judge(cl, f)
	}
}

// unrecord notes that no record vouches for a path any more; what lies there
// stays, and is guarded as before.
func (c *catalog) unrecord(path string) {
	if c == nil {
		return
	}
	for _, cl := range c.claims[path] {
		if cl.met && !cl.absent {
			cl.met = false
			cl.l.unmet[cl] = struct{}{}
		}
	}
}

// claimed says whether an index names a path.
func (c *catalog) claimed(path string) bool { return c != nil && len(c.claims[path]) > 0 }

// damage notes that what lies at a path is not as its record says.
func (c *catalog) damage(path string) {
	if c != nil {
		c.set(path, damaged)
		c.waitsChanged = true
	}
}

func (c *catalog) judge(cl *claim, f found) {
	cl.absent = f.kind == 0
	ok, guard := false, false
	switch {
	case cl.absent:
		ok = cl.Optional
		guard = ok
	case f.kind != bus.KindFile:
	case f.sure:
		var unsure bool
		if ok, unsure = fits(&cl.Entry, &f.content); unsure {
			c.unsure[cl.Path] = struct{}{}
		}
		guard = ok || unsure
	default:
		guard = f.size == cl.Size
	}
	cl.met = ok
	if ok {
		delete(cl.l.unmet, cl)
	} else {
		cl.l.unmet[cl] = struct{}{}
	}
	c.setGuard(cl, guard)
}

// setGuard keeps the counts of what is guarded beneath each folder.
func (c *catalog) setGuard(cl *claim, guard bool) {
	cl.guard = guard
	counted := guard && !cl.absent
	if cl.counted == counted {
		return
	}
	cl.counted = counted
	d := 1
	if !counted {
		d = -1
	}
	ancestors(cl.Path, func(dir string) {
		count(c.guarded, dir, d)
		count(cl.l.under, dir, d)
	})
}

// count adds d to m[k] and forgets it at 0.
func count(m map[string]int, k string, d int) {
	if m[k] += d; m[k] == 0 {
		delete(m, k)
	}
}

// keeps says whether a visible index names what lies at exactly this path.
func (c *catalog) keeps(path string) bool {
	if c == nil {
		return false
	}
	for _, cl := range c.claims[path] {
		if cl.counted && cl.l.guards() {
			return true
		}
	}
	return false
}

// freed returns the paths that only the given visible indexes guarded, when what
// is beside each takes its place; nil beside it: the index goes. All that go
// together are to be given at once: Packages and Packages.gz name the same.
func (c *catalog) freed(heads map[*listing]*listing) (paths []string) {
	next := make(map[*listing]bool, len(heads))
	for _, l := range heads {
		next[l] = true
	}
	seen := make(map[string]bool)
	for old := range heads {
		for _, cl := range old.claims {
			if !cl.counted || seen[cl.Path] {
				continue
			}
			seen[cl.Path] = true
			free := true
			for _, other := range c.claims[cl.Path] {
				_, goes := heads[other.l]
				if next[other.l] || !goes && other.l.guards() {
					free = false
					break
				}
			}
			if free {
				paths = append(paths, cl.Path)
			}
		}
	}
	return paths
}
