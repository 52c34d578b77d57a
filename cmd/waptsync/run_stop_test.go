package main

import (
	"context"
	"path/filepath"
	"testing"
)

func TestAServiceStoppedWhileStartingEndsWell(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &app{in: nil, out: t.Output(), err: t.Output(), env: func(string) (string, bool) { return "", false }, version: "test"}
	args := []string{"publish", "--data", filepath.Join(t.TempDir(), "data"), "--share", "wapt=" + t.TempDir(), "--listen", "127.0.0.1:0"}
	code := a.execute(ctx, args)
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
