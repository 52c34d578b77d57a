package subscriber

import (
	"context"
	"fmt"

	"waptsync/bus"
	"waptsync/objects"
)

// hashTo hashes the file up to end.
func (a *assembly) hashTo(ctx context.Context, end int64) error {
	for a.hashed < end {
		hole := a.holeFrom(a.hashed)
		if hole.offset > a.hashed {
			upTo := min(end, hole.offset)
			if err := a.whole.AddRange(ctx, a.f, a.hashed, upTo-a.hashed); err != nil {
				return fmt.Errorf("verifying what is staged: %w", err)
			}
			a.hashed = upTo
			continue
		}
		if err := a.hashHole(ctx, min(end, hole.offset+hole.length)); err != nil {
			return err
		}
	}
	return nil
}

// right says whether the staged file is what the event names.
func (a *assembly) right(ctx context.Context) (bool, error) {
	if err := a.hashTo(ctx, a.m.Size); err != nil {
		return false, err
	}
	return a.whole.Sum() == a.m.Digest, nil
}

// check marks the objects that are right in the staged file, by hashing them, and
// returns their bytes; of those that are zeroes it makes holes, and of all the rest.
func (a *assembly) check(ctx context.Context) (kept int64, err error) {
	a.markZeroes()
	err = objects.Check(ctx, a.f, a.m, func(i int) bool { return !a.have[i] }, func(i int) {
		a.mark(i)
		kept += int64(a.m.Objects[i].Size)
	})
	if err != nil {
		return 0, fmt.Errorf("checking what is staged: %w", err)
	}
	freed, err := a.clear()
	if err != nil {
		return 0, err
	}
	a.s.stage.disk.give(freed)
	return kept, nil
}

// recheck finds out which objects of a file that is not right are, and has the
// whole hashed anew. It returns how many are not.
func (a *assembly) recheck(ctx context.Context) (wrong int, err error) {
	a.hashed = 0
	a.whole.Reset()
	clear(a.have)
	a.holes = a.holes[:0]
	a.it.done.Store(0)
	if _, err := a.check(ctx); err != nil {
		return 0, err
	}
	for _, have := range a.have {
		if !have {
			wrong++
		}
	}
	return wrong, nil
}

// gather brings what the staged file lacks and verifies the whole. If that is
// wrong, it may be for a file of this host which is not what the state says: what
// is wrong then comes from the main.
func (a *assembly) gather(ctx context.Context, rels []relative) error {
	k, err := a.kin(ctx, rels)
	if err != nil {
		return err
	}
	defer k.close()
	for _, from := range []*kin{k, {}} {
		if err := a.land(ctx, from); err != nil {
			return err
		}
		right, err := a.right(ctx)
		if err != nil || right {
			return err
		}
		wrong, err := a.recheck(ctx)
		switch {
		case err != nil:
			return err
		case wrong == 0:
			return fmt.Errorf("verifying the whole: %w", objects.ErrDigest)
		case len(from.files) == 0:
			// The main answers by path and digest, so its file changed meanwhile.
			return &bus.FetchError{Code: bus.FetchGone, Text: fmt.Sprintf("%d objects came with other bytes than their names say", wrong)}
		}
	}
	panic("not reached: the second kin has no files")
}
