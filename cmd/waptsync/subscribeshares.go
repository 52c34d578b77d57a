package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"waptsync/bus"
	"waptsync/subscriber"
)

// Reconcile compares a share with the main now.
func (s *subscribeService) Reconcile(share string) error {
	r, err := s.share(share)
	if err != nil {
		return err
	}
	r.Reconcile()
	return nil
}

// Verify reads a share's files and compares them with what the main published.
// It calls report for each difference.
func (s *subscribeService) Verify(ctx context.Context, share string, repair bool, report func(subscriber.Finding)) (subscriber.Summary, error) {
	r, err := s.share(share)
	if err != nil {
		return subscriber.Summary{}, err
	}
	return r.Verify(ctx, repair, report)
}

// serveVerify streams a verification as JSON lines while it goes on.
func (s *subscribeService) serveVerify(w http.ResponseWriter, r *http.Request, in verifyRequest) {
	shares := in.Shares
	if len(shares) == 0 {
		shares = slices.Sorted(maps.Keys(s.shares))
	}
	for _, share := range shares {
		if _, err := s.share(share); err != nil {
			writeError(w, statusOf(err), err)
			return
		}
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(w)
	say := func(line verifyLine) {
		// A client that went away ends the request's context, and Verify with it.
		_ = out.Encode(line)
		_ = http.NewResponseController(w).Flush()
	}
	var all bus.Verification
	whole := len(shares) == len(s.shares)
	for _, share := range shares {
		sum, err := s.Verify(r.Context(), share, in.Repair, func(f subscriber.Finding) {
			say(verifyLine{Share: share, Difference: &difference{f.Path, f.What, f.Detail, f.Repaired}})
		})
		if err != nil {
			say(verifyLine{Share: share, apiError: apiError{err.Error(), hintOf(err)}})
			whole = false
			continue
		}
		say(verifyLine{Share: share, Done: &verified{
			Files: sum.Files, Bytes: sum.Bytes, Seconds: sum.Took.Seconds(),
			Differences: differences(sum), Repaired: sum.Repaired,
		}})
		all.Files += sum.Files
		all.Differences += differences(sum)
	}
	if whole {
		s.noteVerified(all)
	}
}
