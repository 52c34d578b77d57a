package subscriber

import (
	"context"
	"fmt"
	"sync"

	"waptsync/bus"
	"waptsync/objects"
)

// end is where object i ends.
func (a *assembly) end(i int) int64 { return a.offsets[i] + int64(a.m.Objects[i].Size) }

// hashAlong hashes the staged file from its beginning, as far as it has no gap,
// until came is closed. What it reads was just written, so it comes from memory,
// and little is left to hash when the last byte came.
func (a *assembly) hashAlong(ctx context.Context, mu *sync.Mutex, came <-chan struct{}) error {
	for more := true; more; {
		mu.Lock()
		for a.solid < len(a.have) && a.have[a.solid] {
			a.solid++
		}
		end := int64(0)
		if a.solid > 0 {
			end = a.end(a.solid - 1)
		}
		mu.Unlock()
		if err := a.hashTo(ctx, end); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, more = <-came:
		}
	}
	return nil
}

// hashTo hashes the file up to end.
func (a *assembly) hashTo(ctx context.Context, end int64) error {
	if end <= a.hashed {
		return nil
	}
	if err := a.whole.AddRange(ctx, a.f, a.hashed, end-a.hashed); err != nil {
		return fmt.Errorf("verifying what is staged: %w", err)
	}
	a.hashed = end
	return nil
}

// verify makes sure that the staged file is what the event names.
func (a *assembly) verify(ctx context.Context) error {
	if err := a.hashTo(ctx, a.m.Size); err != nil {
		return err
	}
	if a.whole.Sum() == a.m.Digest {
		return nil
	}
	// Which objects are wrong is found out again when the transfer goes on; here
	// it only matters whether one is.
	good := 0
	if err := objects.Check(ctx, a.f, a.m, nil, func(int) { good++ }); err != nil {
		return fmt.Errorf("checking what is staged: %w", err)
	}
	if good < len(a.m.Objects) {
		// The main answers by path and digest, so its file changed meanwhile.
		return &bus.FetchError{Code: bus.FetchGone, Text: fmt.Sprintf("%d objects came with other bytes than their names say", len(a.m.Objects)-good)}
	}
	return fmt.Errorf("verifying the whole: %w", objects.ErrDigest)
}
