package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"waptsync/alive"
)

// watchdogPeriod is what the service manager set: it kills the service when it
// hears nothing for longer (sd_watchdog_enabled(3)). 0 means that it does not watch,
// or watches another process.
func watchdogPeriod(env func(string) (string, bool), pid int) (time.Duration, error) {
	text, ok := env("WATCHDOG_USEC")
	if !ok {
		return 0, nil
	}
	if of, ok := env("WATCHDOG_PID"); ok && of != strconv.Itoa(pid) {
		return 0, nil
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(maxWatchdog/time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q: want microseconds above 0", text)
	}
	return time.Duration(usec) * time.Microsecond, nil
}

const maxWatchdog = 365 * day

// watchdog tells the service manager until ctx ends that this service goes on,
// as long as stuck, which is asked for it four times a period, agrees. What is
// stuck is logged; once it goes on in time the service manager is told again.
func (a *app) watchdog(ctx context.Context, log zerolog.Logger, stuck func(limit time.Duration) error) {
	period, err := watchdogPeriod(a.env, os.Getpid())
	if err != nil {
		log.Warn().Err(err).Msg("the service manager's watchdog is left alone")
	}
	if period == 0 {
		return
	}
	// Half, so that what goes on again soon after was never given up.
	limit := max(period/2, alive.Period+alive.Period/2)
	tick := time.NewTicker(period / 4)
	defer tick.Stop()
	for well := true; ; {
		err := stuck(limit)
		if err == nil {
			a.notify(log, "WATCHDOG=1")
		}
		// Logged in a goroutine: the log may be what everything waits for.
		switch {
		case err != nil && well:
			go log.Error().Err(err).Dur("watchdog", period).Msg("the service is stuck: its service manager will restart it unless it goes on")
		case err == nil && !well:
			go log.Info().Msg("the service goes on")
		}
		well = err == nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// guarded runs all until ctx ends, as runTogether does, under the watchdog, and
// gives memory back while they rest.
func (a *app) guarded(ctx context.Context, log zerolog.Logger, stuck func(time.Duration) error, all ...runner) error {
	watching, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.watchdog(watching, log, stuck)
	}()
	go restHeap(watching)
	err := runTogether(ctx, all...)
	cancel()
	<-ended
	return err
}
