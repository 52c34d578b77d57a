package main

import (
	"context"
	"errors"
	"strings"
	"testing"
)

type runFunc func(ctx context.Context) error

func (f runFunc) Run(ctx context.Context) error { return f(ctx) }

func untilEnd(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestOneShareThatCannotGoOnStopsTheOthers(t *testing.T) {
	err := runAll(t.Context(), map[string]runFunc{
		"good": untilEnd,
		"bad":  func(context.Context) error { return errors.New("its store is gone") },
	})
	if err == nil || err.Error() != "share bad: its store is gone" {
		t.Errorf("got %v", err)
	}
	err = runAll(t.Context(), map[string]runFunc{"silent": func(context.Context) error { return nil }})
	if err == nil || !strings.Contains(err.Error(), "stopped by itself") {
		t.Errorf("a share that stopped without an error: %v", err)
	}
}

func TestAnOrderlyEndIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := runAll(ctx, map[string]runFunc{"a": untilEnd, "b": func(context.Context) error { return nil }}); err != nil {
		t.Errorf("got %v", err)
	}
}
