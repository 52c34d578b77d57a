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
	dir := t.TempDir()
	code := a.execute(ctx, []string{"publish", "--data", filepath.Join(dir, "data"), "--share", "wapt=" + dir, "--listen", "127.0.0.1:0"})
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
