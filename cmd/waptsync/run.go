package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rs/zerolog"
)

// unlessStopped is a start's error, but nil when the service was told to stop
// before it was up: then the start failed because it was asked to.
func unlessStopped(ctx context.Context, log zerolog.Logger, err error) error {
	if ctx.Err() == nil {
		return err
	}
	log.Info().Err(err).Msg("stopped while starting")
	return nil
}

// runner is a share's publisher or replica.
type runner interface {
	Run(ctx context.Context) error
}

// runAll runs every share until ctx ends, or until one returns an error: then
// the others are stopped too. It returns nil when ctx ended.
func runAll[R runner](ctx context.Context, shares map[string]R) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, len(shares))
	for name, s := range shares {
		wg.Go(func() {
			err := s.Run(inner)
			if err == nil && inner.Err() == nil {
				err = errors.New("stopped by itself")
			}
			if err != nil && !(errors.Is(err, context.Canceled) && inner.Err() != nil) {
				errs <- fmt.Errorf("share %s: %w", name, err)
				cancel()
			}
		})
	}
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// runTogether runs all until ctx ends or one of them ends; then the others are
// stopped too. It returns what they say, joined.
func runTogether(ctx context.Context, all ...runner) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() {
			defer cancel()
			errs[i] = r.Run(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
