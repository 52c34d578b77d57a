package publisher

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/objects"
)

// maxNamed bounds how many names of index files are remembered, all indexes of
// a share together: half a gigabyte at the very worst. An index beyond that is
// treated as one that cannot be read.
const maxNamed = 4 << 20

// indexBook remembers what the share's indexes name, and which of that is not
// published as they name it. The session alone changes it; what a status asks
// may come at any time.
type indexBook struct {
	mu     sync.Mutex
	files  map[string]*indexFile
	claims map[string][]*claim // by the path that is named
	named  int
	// pending are the indexes that wait for something: few, and mostly none.
	pending map[*indexFile]struct{}
}

// indexFile is one index. What it shows to remotes and what it holds on the
// main's disk can be two versions of it.
type indexFile struct {
	path string
	// shown is the published version, next one that is to be published. They
	// are the same when only the file's times changed. nil: there is none, or
	// it cannot be read.
	shown, next *version
	since       time.Time // the index is incomplete, in any version
	withheld    time.Time // since when no version of it could be published; zero when none is withheld
	due         time.Time // when to judge it again, if pending
	// excused are the names that were missing when the index was last published
	// as incomplete: nobody waits for those once more.
	excused map[string]struct{}
	broken  error // why it cannot be read
	told    bool  // the log knows that it is incomplete
}

// version is what one content of an index names.
type version struct {
	file    *indexFile
	digest  objects.ID
	paths   []string
	missing map[string]struct{}
	// excluded are those of the missing names that this share leaves out on
	// purpose: nobody waits for them.
	excluded map[string]struct{}
}

// claim is what a version says about one path.
type claim struct {
	v *version
	index.Entry
}

func newIndexBook() *indexBook {
	return &indexBook{
		files: make(map[string]*indexFile), claims: make(map[string][]*claim), pending: make(map[*indexFile]struct{}),
	}
}

// file returns the index at p, made if it is not known.
func (b *indexBook) file(p string) *indexFile {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[p]
	if f == nil {
		f = &indexFile{path: p}
		b.files[p] = f
	}
	return f
}

// add registers what the content named digest of f names. satisfied judges each,
// and excluded says which paths are left out on purpose.
func (b *indexBook) add(f *indexFile, digest objects.ID, entries []index.Entry, satisfied func(index.Entry) bool, excluded func(string) bool) (*version, error) {
	if b.named+len(entries) > maxNamed {
		return nil, fmt.Errorf("the share's indexes name more than %d files", maxNamed)
	}
	v := &version{
		file: f, digest: digest, paths: make([]string, len(entries)),
		missing: make(map[string]struct{}), excluded: make(map[string]struct{}),
	}
	for i, e := range entries {
		v.paths[i] = e.Path
		b.claims[e.Path] = append(b.claims[e.Path], &claim{v: v, Entry: e})
		if satisfied(e) {
			continue
		}
		v.missing[e.Path] = struct{}{}
		if excluded(e.Path) {
			v.excluded[e.Path] = struct{}{}
		}
	}
	b.named += len(entries)
	return v, nil
}

// remove forgets a version; nil is none.
func (b *indexBook) remove(v *version) {
	if v == nil {
		return
	}
	for _, p := range v.paths {
		rest := slices.DeleteFunc(b.claims[p], func(c *claim) bool { return c.v == v })
		if len(rest) == 0 {
			delete(b.claims, p)
			continue
		}
		b.claims[p] = rest
	}
	b.named -= len(v.paths)
	v.paths = nil // the paths of another may follow twice
}

// setNext makes v the version that is to be published; nil is none.
func (b *indexBook) setNext(f *indexFile, v *version) {
	b.mu.Lock()
	old := f.next
	f.next = v
	b.mu.Unlock()
	if old != v && old != f.shown {
		b.remove(old)
	}
}

// setShown makes v the published version; nil is none.
func (b *indexBook) setShown(f *indexFile, v *version) {
	b.mu.Lock()
	old := f.shown
	f.shown = v
	b.mu.Unlock()
	if old != v && old != f.next {
		b.remove(old)
	}
}

// drop forgets an index.
func (b *indexBook) drop(f *indexFile) {
	b.setNext(f, nil)
	b.setShown(f, nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.files, f.path)
	delete(b.pending, f)
}

// changed judges anew what is named at p, and returns the indexes for which
// that makes a difference.
func (b *indexBook) changed(p string, satisfied func(index.Entry) bool) []*indexFile {
	list := b.claims[p]
	if len(list) == 0 {
		return nil
	}
	var touched []*indexFile
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, c := range list {
		// An index may name a path twice: then it is as the last of them says
		// no, whichever that is.
		ok := satisfied(c.Entry)
		for _, other := range list[:i] {
			ok = ok && (other.v != c.v || satisfied(other.Entry))
		}
		if _, missing := c.v.missing[p]; missing == !ok {
			continue
		}
		if ok {
			delete(c.v.missing, p)
		} else {
			c.v.missing[p] = struct{}{}
		}
		touched = append(touched, c.v.file)
	}
	return touched
}

// note changes what a status may ask for.
func (b *indexBook) note(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// wait has f judged again at due, or when what it names changes.
func (b *indexBook) wait(f *indexFile, due time.Time) {
	b.note(func() { f.due = due })
	b.pending[f] = struct{}{}
}

func (b *indexBook) done(f *indexFile) { delete(b.pending, f) }

// next returns when the first of the pending indexes is due, zero when none is.
func (b *indexBook) next() (due time.Time) {
	for f := range b.pending {
		if due.IsZero() || f.due.Before(due) {
			due = f.due
		}
	}
	return due
}

// dueBy returns the indexes to be judged now, those that are named before those
// that name them.
func (b *indexBook) dueBy(now time.Time) []*indexFile {
	var list []*indexFile
	for f := range b.pending {
		if !f.due.After(now) {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(x, y *indexFile) int {
		if r := index.Rank(x.path) - index.Rank(y.path); r != 0 {
			return r
		}
		if x.path < y.path {
			return -1
		}
		return 1
	})
	return list
}

// The states of an index.
const (
	IndexComplete   = "complete"   // all that it names is published
	IndexWithheld   = "withheld"   // its newest version waits for what it names
	IndexIncomplete = "incomplete" // what is published names files that are missing here
	IndexUnreadable = "unreadable" // it is published without knowing what it names
)

// maxNames is how many missing names a status shows of an index.
const maxNames = 5

// IndexStatus is the state of one index of a share.
type IndexStatus struct {
	Path    string    `json:"path"`
	State   string    `json:"state"`
	Missing int       `json:"missing,omitempty"`
	First   []string  `json:"first,omitempty"`  // of the missing names, in their order
	Since   time.Time `json:"since,omitzero"`   // when it was first seen incomplete
	Cause   string    `json:"cause,omitempty"`  // why it cannot be read
	Until   time.Time `json:"until,omitzero"`   // when a withheld one is published all the same
	Files   int       `json:"files,omitempty"`  // that the newest version names
	Marked  bool      `json:"marked,omitempty"` // published with the mark that it is incomplete
}

// status returns the state of all indexes, those with troubles first.
func (b *indexBook) status() []IndexStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]IndexStatus, 0, len(b.files))
	for _, f := range b.files {
		s := IndexStatus{Path: f.path, State: IndexComplete, Since: f.since, Marked: f.excused != nil}
		v := f.next
		if v == nil {
			v = f.shown
		}
		switch {
		case f.broken != nil:
			s.State, s.Cause = IndexUnreadable, f.broken.Error()
		case v == nil:
			s.State = IndexUnreadable
		case !f.withheld.IsZero():
			s.State, s.Until = IndexWithheld, f.due
		case len(v.missing) > 0:
			s.State = IndexIncomplete
		}
		if v != nil {
			s.Files, s.Missing = len(v.paths), len(v.missing)
			s.First = firstNames(v.missing)
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(x, y IndexStatus) int {
		if (x.State == IndexComplete) != (y.State == IndexComplete) {
			if y.State == IndexComplete {
				return -1
			}
			return 1
		}
		if x.Path < y.Path {
			return -1
		}
		return 1
	})
	return list
}

// firstNames returns the first names in their order.
func firstNames(names map[string]struct{}) []string {
	var first []string
	for p := range names {
		i, _ := slices.BinarySearch(first, p)
		if i < maxNames {
			first = slices.Insert(first, i, p)
			first = first[:min(len(first), maxNames)]
		}
	}
	return first
}

// unreadable says why an index that should be one cannot be read, or nil: a
// file that merely has an index's name is none of this package's business.
func unreadable(err error) error {
	if err == nil || errors.Is(err, index.ErrUnknown) {
		return nil
	}
	return err
}

// matches says whether a published file is what an index names.
func matches(c bus.Content, e index.Entry) bool {
	return c.Size == e.Size &&
		(!e.HasSHA256 || e.SHA256 == [32]byte(c.Digest)) &&
		(!e.HasMD5 || !c.HasMD5 || e.MD5 == c.MD5)
}
