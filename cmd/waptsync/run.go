package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

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
