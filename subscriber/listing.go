package subscriber

import (
	"crypto/md5"
	"fmt"
	"io"
	"os"
	"strings"

	"waptsync/bus"
	"waptsync/index"
)

// claim is what one index says about one path, and what is on disk there.
type claim struct {
	index.Entry
	l *listing
	// met: the records say that it is as the index names it, or an optional
	// name is not there. absent: nothing is there.
	met, absent bool
	// guard: met, or no record knows the path and what lies there may be right.
	// What a visible index guards may not be taken away.
	guard bool
	// counted: there is something at the path that is guarded.
	counted bool
}

// holds says whether the claim is true once an event is applied to its path.
// unsure: the event's content lacks the MD5 that would tell.
func (cl *claim) holds(ev *bus.Event) (ok, unsure bool) {
	switch ev.Kind {
	case bus.KindDeleted:
		return cl.Optional, false
	case bus.KindFile:
		return fits(&cl.Entry, &ev.Content)
	}
	return false, false
}

// fits says whether a content is what an index names. unsure: only an MD5 that
// the content lacks would tell.
func fits(e *index.Entry, c *bus.Content) (ok, unsure bool) {
	switch {
	case e.Size != c.Size:
		return false, false
	case e.HasSHA256:
		return e.SHA256 == [32]byte(c.Digest), false
	case !e.HasMD5:
		return true, false
	case !c.HasMD5:
		return false, true
	}
	return e.MD5 == c.MD5, false
}

// listing is what one version of an index names: of the visible one, or of one
// that is staged. A blind one could not be read.
type listing struct {
	path   string // of the index
	claims []*claim
	unmet  map[*claim]struct{}
	under  map[string]int // guarded claims beneath each folder
	blind  bool

	incomplete bool // of a visible one: the main lacks what it names, so it guards nothing

	item    *item           // of a staged one
	parked  map[string]bool // claimed paths that wait after a failure; true: with what is claimed
	blocker *claim          // what kept it back when it was last looked at
}

// blindListing stands for an index that cannot be read.
func blindListing(path string) *listing { return &listing{path: path, blind: true} }

func newListing(path string, entries []index.Entry) *listing {
	l := &listing{path: path, unmet: make(map[*claim]struct{}), under: make(map[string]int)}
	l.claims = make([]*claim, len(entries))
	all := make([]claim, len(entries))
	for i := range entries {
		all[i] = claim{Entry: entries[i], l: l}
		l.claims[i] = &all[i]
		l.unmet[&all[i]] = struct{}{}
	}
	return l
}

// guards says whether a visible listing keeps what it names from changing.
func (l *listing) guards() bool { return l.item == nil && !l.incomplete && !l.blind }

// ancestors calls fn for the folders above a path, but the share itself.
func ancestors(p string, fn func(dir string)) {
	for dir, _ := split(p); dir != ""; dir, _ = split(dir) {
		fn(dir)
	}
}

// reach is the folder beneath which lies all that an index at p can name: its
// own, or the one that holds "dists" of a Debian archive.
func reach(p string) string {
	if i := strings.Index("/"+p, "/dists/"); i >= 0 {
		return strings.TrimSuffix(p[:i], "/")
	}
	dir, _ := split(p)
	return dir
}

// inReach says whether an index at q can name p.
func inReach(q, p string) bool {
	dir := reach(q)
	return dir == "" || within(p, dir)
}

// readIndex reads what an index names that is about to be offered to the
// committer. One that cannot be read is ordered by its place in the stream.
func (s *session) readIndex(it *item) {
	if !it.index || it.fail != nil {
		return
	}
	it.entries, it.blind = nil, nil
	f, err := s.openItem(it)
	if err == nil {
		it.entries, err = readEntries(it.path, f)
		f.Close()
	}
	if it.blind = err; err != nil {
		s.r.log.Debug().Err(err).Str("path", it.path).Msg("an index cannot be read; it waits for all before it")
	}
}

// openItem opens the bytes that an item brings, or confirms.
func (s *session) openItem(it *item) (*os.File, error) {
	if it.plan == planReplace {
		return s.stage.open(it.staged)
	}
	v := s.tree.visit()
	defer v.close()
	return v.openFile(it.path)
}

// maxNamed bounds what one index may name: beyond, it is one that cannot be read.
const maxNamed = 1 << 20

func readEntries(path string, f *os.File) ([]index.Entry, error) {
	st, err := statFile(f)
	if err != nil {
		return nil, err
	}
	entries, err := index.Read(path, f, st.size)
	if err == nil && len(entries) > maxNamed {
		err = fmt.Errorf("it names %d files: at most %d", len(entries), maxNamed)
	}
	return entries, err
}

// md5Of reads a file whole.
func md5Of(f *os.File) (sum [md5.Size]byte, err error) {
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}
