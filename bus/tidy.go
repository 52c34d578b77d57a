package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Tidy removes what the bus keeps for remotes that may not have it any more:
// the consumers of shares that were taken away, and consumers and report of
// who was revoked. It belongs after each [Server.Apply] that took something
// away, and at the start, for a main that was stopped in between.
func (v *Service) Tidy(ctx context.Context) error {
	var errs []error
	for share, log := range v.o.Logs {
		names, err := log.consumers(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, name := range names {
			if ValidName(name) == nil && !v.mayHave(name, share) { // other names are of the main's own readers
				errs = append(errs, log.Detach(ctx, name))
			}
		}
	}
	return errors.Join(append(errs, v.forgetReports(ctx))...)
}

// mayHave says whether a remote of that name is known and has the share. A
// paused one keeps its place.
func (v *Service) mayHave(remote, share string) bool {
	r, known := v.registry.RemoteByName(remote)
	return known && slices.Contains(r.Shares, share)
}

func (v *Service) forgetReports(ctx context.Context) error {
	s, err := v.js.Stream(ctx, remotesStream)
	if err != nil {
		return fmt.Errorf("looking at the reports: %w", err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(remotesPrefix+".*"))
	if err != nil {
		return fmt.Errorf("listing the reports: %w", err)
	}
	var errs []error
	for subject := range info.State.Subjects {
		if _, known := v.registry.RemoteByName(strings.TrimPrefix(subject, remotesPrefix+".")); known {
			continue
		}
		if err := s.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			errs = append(errs, fmt.Errorf("deleting the report %s: %w", subject, err))
		}
	}
	return errors.Join(errs...)
}
