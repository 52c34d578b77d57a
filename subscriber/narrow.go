package subscriber

import (
	"cmp"
	"context"
	"slices"

	"waptsync/bus"
)

// Where a file of this host has what stands before or behind a run of missing
// bytes, it mostly has some of the run too: objects are larger than most changes.
// So the main is asked which blocks beside such places are right, before any of
// them is fetched. A wrong yes shows as all that a file has other bytes than it
// should, by the digest of the whole.

const (
	// maxGuessed bounds the bytes that are compared for one content.
	maxGuessed = 64 << 20
	// leastGuess is what is fetched without asking.
	leastGuess = 2 * bus.KnownBlock
)

// narrow moves from the missing runs to own what files of this host turn out to
// have of them.
func (a *assembly) narrow(ctx context.Context, own []ownRun, missing []span) ([]ownRun, []span, error) {
	guesses := a.guesses(own, missing)
	found := own
	for len(guesses) > 0 {
		n, bytes := 0, int64(0)
		for n < len(guesses) && n < bus.MaxFetchItems && bytes+guesses[n].length <= bus.MaxFetchBytes {
			bytes += guesses[n].length
			n++
		}
		right, err := a.compare(ctx, guesses[:n])
		if err != nil {
			return nil, nil, err
		}
		found = append(found, right...)
		guesses = guesses[n:]
	}
	if len(found) == len(own) {
		return own, missing, nil
	}
	own, missing = without(found, missing)
	return own, missing, nil
}

// guesses are runs within missing ones that may be what lies in a file beside an
// own run: as it goes on behind the one before, and as it leads to the one behind.
// Behind a change cutting finds the old cuts again after a few objects.
func (a *assembly) guesses(own []ownRun, missing []span) (guesses []ownRun) {
	left := int64(maxGuessed)
	most := min(4*int64(a.m.Params.Max), bus.MaxFetchBytes)
	add := func(g ownRun) {
		if g.length >= leastGuess && g.length <= left {
			guesses, left = append(guesses, g), left-g.length
		}
	}
	next := 0 // the first own run behind the missing one
	for _, run := range missing {
		for next < len(own) && own[next].offset < run.offset {
			next++
		}
		var before, behind *ownRun
		if next > 0 && own[next-1].offset+own[next-1].length == run.offset {
			before = &own[next-1]
		}
		if next < len(own) && own[next].offset == run.offset+run.length {
			behind = &own[next]
		}
		n, inPlace := min(run.length, most), false
		if before != nil && behind != nil && before.file == behind.file {
			if gap := behind.at - before.at - before.length; gap >= 0 {
				n, inPlace = min(n, gap), gap == run.length
			}
		}
		if before != nil {
			add(ownRun{span{run.offset, n}, before.file, before.at + before.length})
		}
		if n == run.length && inPlace {
			continue // seen from behind it is the same
		}
		if behind != nil {
			n = min(n, behind.at)
			add(ownRun{span{run.offset + run.length - n, n}, behind.file, behind.at - n})
		}
	}
	return guesses
}

// compare returns what of the guesses is right.
func (a *assembly) compare(ctx context.Context, guesses []ownRun) (right []ownRun, err error) {
	var items []bus.Item
	var asked []ownRun
	for _, g := range guesses {
		b := make([]byte, g.length)
		n, _ := g.file.ReadAt(b, g.at) // what it has not is not asked for
		if g.length = int64(n); g.length < leastGuess {
			continue
		}
		asked = append(asked, g)
		items = append(items, bus.Item{Path: a.ev.Path, Digest: a.ev.Content.Digest, Offset: g.offset, Length: g.length, Known: bus.KnownSums(b[:n])})
	}
	if len(items) == 0 {
		return nil, nil
	}
	answers := make([][]byte, len(items))
	errs, err := a.s.fetch(ctx, items, func(p bus.Piece) error {
		answers[p.Item] = append(answers[p.Item], p.Data...)
		return nil
	})
	if err != nil {
		return nil, linkOr(ctx, err)
	}
	for i, g := range asked {
		if errs[i] != nil {
			continue // fetching meets it again
		}
		for block := int64(0); block*bus.KnownBlock < g.length; block++ {
			if bus.IsKnown(answers[i], int(block)) {
				skip := block * bus.KnownBlock
				right = append(right, ownRun{span{g.offset + skip, min(bus.KnownBlock, g.length-skip)}, g.file, g.at + skip})
			}
		}
	}
	return right, nil
}

// without puts own runs in order, as long as possible, and takes them out of the
// missing ones. Where two overlap, the one that begins first counts.
func without(own []ownRun, missing []span) (ordered []ownRun, rest []span) {
	slices.SortStableFunc(own, func(a, b ownRun) int { return cmp.Compare(a.offset, b.offset) })
	for _, run := range own {
		if n := len(ordered); n > 0 {
			last := &ordered[n-1]
			if over := last.offset + last.length - run.offset; over > 0 {
				run.offset, run.at, run.length = run.offset+over, run.at+over, run.length-over
			}
			if run.length <= 0 {
				continue
			}
			if last.offset+last.length == run.offset && last.file == run.file && last.at+last.length == run.at {
				last.length += run.length
				continue
			}
		}
		ordered = append(ordered, run)
	}
	next := 0 // the first own run that ends behind what was looked at
	for _, m := range missing {
		at, end := m.offset, m.offset+m.length
		for next < len(ordered) && ordered[next].offset+ordered[next].length <= at {
			next++
		}
		for _, run := range ordered[next:] {
			if run.offset >= end {
				break
			}
			if run.offset > at {
				rest = append(rest, span{at, run.offset - at})
			}
			at = run.offset + run.length
		}
		if at < end {
			rest = append(rest, span{at, end - at})
		}
	}
	return ordered, rest
}
