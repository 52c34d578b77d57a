package subscriber

import (
	"cmp"
	"slices"
	"time"

	"waptsync/bus"
	"waptsync/index"
)

// The planner decides what becomes visible together, here and nowhere else.
//
//   - What no index names goes as soon as it is staged.
//   - An index goes when all that it names is on disk as it names it, or goes
//     with it. One that the main marked as incomplete goes when nothing is under
//     way any more that could bring what it lacks.
//   - What a visible index names is replaced or taken away only together with
//     that index.
//   - An index that cannot be read goes behind all that stood before it in the
//     stream, and deletions in its reach go behind it.
//
// It takes the greatest set of items that these rules allow: it begins with all
// that is staged and strikes out what breaks a rule, until nothing does.

// selection is the search for that set.
type selection struct {
	w *window
	c *catalog
	// heads are staged items at the path of an index; tied are those that a
	// listing says something about, heads among them; watched are also those that
	// are not staged yet; rest are the staged ones that nobody cares for.
	heads, tied, watched, rest, failed, deletions []*item
	unsure                                        []*item
	preferred                                     bool // something was struck out in favour of a head
}

// take plans the committer's next batch and hands it out: files first, then
// indexes, then deletions, each in stream order. unsure are items whose MD5 has
// to be known first; then nothing is handed out.
func (w *window) take(c *catalog) (ops []op, unsure []*item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sweep()
	s := &selection{w: w, c: c}
	s.sort()
	s.cut()
	s.strikeHopeless()
	for s.round() {
	}
	if len(s.unsure) > 0 {
		return nil, s.unsure
	}
	s.noteHeld()
	return s.ops(), nil
}

// sort finds out what is staged, and chooses all of it.
func (s *selection) sort() {
	for _, it := range s.w.items {
		it.chosen, it.out, it.late, it.swap, it.broken, it.waitsFor = false, false, false, false, "", ""
		if it.phase != phaseWork && it.phase != phaseReady {
			continue
		}
		if it.failed() {
			s.failed = append(s.failed, it) // it only moves to the waiting bucket
			continue
		}
		claimed := len(s.c.claims[it.path]) > 0
		if claimed {
			s.watched = append(s.watched, it)
		}
		if it.phase != phaseReady {
			continue
		}
		it.chosen = true
		head := it.index || s.c.visible[it.path] != nil
		switch {
		case head:
			s.heads = append(s.heads, it)
			s.tied = append(s.tied, it)
		case claimed || s.c.guarded[it.path] > 0:
			s.tied = append(s.tied, it)
		default:
			s.rest = append(s.rest, it)
		}
		if it.deletion() && !head {
			s.deletions = append(s.deletions, it)
		}
	}
	inOrder(s.heads)
}

// cut leaves the later ones of what nobody cares for to the next batch.
func (s *selection) cut() {
	inOrder(s.rest)
	for _, it := range s.rest[min(len(s.rest), maxBatch):] {
		it.chosen, it.late = false, true
	}
}

// strikeHopeless strikes out the indexes that lack what is not even staged, so
// that the search has few left.
func (s *selection) strikeHopeless() {
	for _, x := range s.heads {
		l := x.listing
		if l == nil || l.blocker == nil || x.ev.Incomplete {
			continue
		}
		cl := l.blocker
		if _, still := l.unmet[cl]; !still {
			continue
		}
		if e := s.w.byPath[cl.Path]; e != nil && e.phase == phaseReady && e.fail == nil {
			continue
		}
		s.strike(x, cl.Path)
		x.out = true
	}
}

func (s *selection) strike(it *item, waitsFor string) {
	it.chosen, it.waitsFor = false, waitsFor
}

// round strikes out what breaks a rule while the heads are as they are. It
// returns true when a head was struck out, so that all has to be judged again.
func (s *selection) round() bool {
	s.preferred = false
	for _, it := range s.heads {
		it.broken = ""
	}
	for _, it := range s.tied {
		if !it.out {
			it.chosen, it.swap = true, false
		}
	}
	for _, it := range s.deletions {
		it.chosen = !it.out && !it.late
	}
	again := false
	for _, it := range s.tied {
		if it.out {
			continue
		}
		if waitsFor := s.breaks(it); waitsFor != "" {
			s.strike(it, waitsFor)
			if it.atIndex(s.c) {
				it.out, again = true, true
			}
		}
	}
	if again {
		return true
	}
	s.holdDeletions()
	s.awaitOptional()
	return s.strikeUnready()
}

// atIndex says whether the item is at the path of an index.
func (it *item) atIndex(c *catalog) bool { return it.index || c.visible[it.path] != nil }

// breaks returns the path of a visible index, or of one that goes now, that
// names the item's path otherwise than the item would leave it.
func (s *selection) breaks(it *item) (waitsFor string) {
	for _, cl := range s.c.claims[it.path] {
		ok, unsure := cl.holds(&it.ev)
		if unsure {
			s.unsure = append(s.unsure, it)
			return cl.l.path
		}
		if ok {
			if it.deletion() && cl.counted && s.w.byPath[cl.l.path] != nil && cl.l.guards() && !s.replaced(cl.l) {
				return cl.l.path // an optional name: the next index may not have it any more
			}
			continue
		}
		if l := s.against(cl.l, it, cl.guard); l != "" {
			return l
		}
	}
	if it.ev.Kind == bus.KindDir || s.c.guarded[it.path] == 0 {
		return ""
	}
	for _, l := range s.c.visible {
		if l.under[it.path] > 0 {
			if l := s.against(l, it, true); l != "" {
				return l
			}
		}
	}
	for l := range s.c.staged {
		if l.under[it.path] > 0 {
			if l := s.against(l, it, true); l != "" {
				return l
			}
		}
	}
	return ""
}

// against judges an item that makes a claim of l untrue; met says whether the
// disk makes it true now.
func (s *selection) against(l *listing, it *item, met bool) (waitsFor string) {
	switch x := l.item; {
	case l.guards():
		if !met {
			return ""
		}
		if s.replaced(l) {
			it.swap = true
			return ""
		}
		return l.path
	case x == nil || !x.chosen || x.ev.Incomplete || x == it:
		return ""
	case met && it.seq > x.seq:
		// The index is of before the item: it goes, and guards its file from then on.
		s.preferred = true
		return l.path
	default:
		x.broken = it.path
		return ""
	}
}

// replaced says whether another takes the place of a visible index now.
func (s *selection) replaced(l *listing) bool {
	x := s.w.byPath[l.path]
	return x != nil && x.chosen
}

// holdDeletions lets deletions in the reach of an index that cannot be read, or
// was not read yet, wait until it is visible; and those of which a file on its
// way may take a copy, as long as there are few.
func (s *selection) holdDeletions() {
	if len(s.deletions) == 0 {
		return
	}
	var blind []string
	oldest := ^uint64(0)
	for _, x := range s.w.items {
		if x.phase == phaseDone || x.phase == phaseCommitting || x.chosen || x.failed() {
			continue
		}
		if x.index && x.listing == nil && s.c.readable(x.path) == nil {
			blind = append(blind, x.path)
		}
		if !x.deletion() && x.phase == phaseWork {
			oldest = min(oldest, x.since)
		}
	}
	for p := range s.c.failing {
		if l := s.c.visible[p]; l != nil && l.blind {
			blind = append(blind, p)
		}
	}
	few := s.w.live < maxUnresolved/2
	for _, d := range s.deletions {
		if !d.chosen {
			continue
		}
		if i := slices.IndexFunc(blind, func(q string) bool { return inReach(q, d.path) }); i >= 0 {
			s.strike(d, blind[i])
		} else if few && d.seq > oldest {
			s.strike(d, "")
		}
	}
}

// failed says whether the item only moves to the waiting bucket.
func (it *item) failed() bool { return it.phase == phaseReady && it.fail != nil }

// readable returns the visible index at a path, if it could be read.
func (c *catalog) readable(path string) *listing {
	if l := c.visible[path]; l != nil && !l.blind {
		return l
	}
	return nil
}

// awaitOptional keeps an index back that has an optional name of which the file
// is on its way.
func (s *selection) awaitOptional() {
	for _, it := range s.watched {
		if it.chosen {
			continue
		}
		for _, cl := range s.c.claims[it.path] {
			if x := cl.l.item; x != nil && x.chosen && cl.absent && cl.Optional && !x.ev.Incomplete {
				if ok, _ := cl.holds(&it.ev); ok && !it.deletion() {
					x.broken = it.path
				}
			}
		}
	}
}

// strikeUnready strikes out the indexes that are ahead of their files.
func (s *selection) strikeUnready() bool {
	struck := false
	for _, x := range s.heads {
		if !x.chosen || !x.index {
			continue
		}
		waitsFor, ready := s.ready(x)
		if ready {
			continue
		}
		s.strike(x, waitsFor)
		x.out, struck = true, true
		if s.preferred {
			break // what was struck out for its sake may be what another needs
		}
	}
	return struck
}

// ready says whether an index may go with what is chosen, or what it waits for.
func (s *selection) ready(x *item) (waitsFor string, ready bool) {
	l := x.listing
	if l == nil {
		return beforeIt, x.seq <= s.w.last && s.oldest() >= x.seq
	}
	if x.broken != "" {
		return x.broken, false
	}
	if cl := l.blocker; cl != nil {
		if _, still := l.unmet[cl]; still && !s.meets(cl, x) {
			return cl.Path, false
		}
	}
	for cl := range l.unmet {
		if !s.meets(cl, x) {
			l.blocker = cl
			return cl.Path, false
		}
	}
	l.blocker = nil
	for p, right := range l.parked {
		if right && s.w.byPath[p] == nil && !x.ev.Incomplete {
			return p, false // an optional name of which the file failed so far
		}
	}
	return "", true
}

// meets says whether the batch makes a claim true that the disk does not, or
// whether nobody is to wait for it.
func (s *selection) meets(cl *claim, x *item) bool {
	e := s.w.byPath[cl.Path]
	if e != nil && e.chosen {
		ok, unsure := cl.holds(&e.ev)
		if unsure {
			s.unsure = append(s.unsure, e)
		}
		return ok || x.ev.Incomplete
	}
	if !x.ev.Incomplete || e != nil {
		return false
	}
	_, waits := cl.l.parked[cl.Path]
	return !waits && x.seq <= s.w.last
}

// oldest is the first place in the stream of what is not on disk and does not
// go there now, deletions and failures apart.
func (s *selection) oldest() uint64 {
	oldest := ^uint64(0)
	for _, it := range s.w.items {
		if it.phase != phaseDone && !it.chosen && !it.failed() && !it.deletion() {
			oldest = min(oldest, it.since)
		}
	}
	return oldest
}

// noteHeld remembers what waits for others, since it must not use up the room of
// what does not.
func (s *selection) noteHeld() {
	now := s.w.now()
	s.w.held, s.w.heldRetries = 0, 0
	for _, it := range s.w.items {
		it.counted = false
	}
	for _, it := range slices.Concat(s.tied, s.deletions) {
		if it.chosen || it.waitsFor == "" || it.counted {
			continue
		}
		it.counted = true
		if it.heldSince.IsZero() {
			it.heldSince = now
		}
		s.w.held++
		if it.retried {
			s.w.heldRetries++
		}
	}
	if s.w.held > 0 {
		poke(s.w.room)
	}
}

// ops hands out what is chosen.
func (s *selection) ops() []op {
	var plain, indexes, deletions []*item
	for _, it := range s.w.items {
		switch {
		case !it.chosen:
		case it.atIndex(s.c):
			indexes = append(indexes, it)
		case it.deletion():
			deletions = append(deletions, it)
		default:
			plain = append(plain, it)
		}
	}
	plain = append(plain, s.failed...)
	batch := slices.Concat(inOrder(plain), inOrder(indexes), inOrder(deletions))
	ops := make([]op, len(batch))
	for i, it := range batch {
		it.phase, it.heldSince = phaseCommitting, time.Time{}
		ops[i] = op{item: it, event: it.ev, seq: it.seq, head: it.fail == nil && it.atIndex(s.c)}
	}
	return ops
}

// beforeIt stands for all that an index which cannot be read waits for.
const beforeIt = "all that stood before it"

func inOrder(items []*item) []*item {
	slices.SortFunc(items, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
	return items
}

// readOrder is the order in which clients read the indexes of one archive: what
// names others comes before what it names.
func readOrder(path string) int {
	switch index.Rank(path) {
	case 2: // InRelease
		return 0
	case 1: // Release
		return 1
	case 3: // Release.gpg
		return 2
	}
	return 3
}
