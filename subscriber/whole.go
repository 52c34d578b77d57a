package subscriber

import (
	"context"
	"fmt"

	"waptsync/bus"
	"waptsync/objects"
)

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
