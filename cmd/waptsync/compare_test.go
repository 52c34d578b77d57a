package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDifferencesAreFound(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)
	write := func(t *testing.T, dir, name, text string, at time.Time) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string
	}{
		{"none", func(*testing.T, string) {}, ""},
		{"hidden folder", func(t *testing.T, d string) { write(t, d, ".waptsync/trash/x", "x", when) }, ""},
		{"content", func(t *testing.T, d string) { write(t, d, "a/b", "other", when) }, "a/b has another content"},
		{"size", func(t *testing.T, d string) { write(t, d, "a/b", "longer", when) }, "a/b has another content"},
		{"time", func(t *testing.T, d string) { write(t, d, "a/b", "bytes", when.Add(time.Nanosecond)) }, "a/b has time 2026-01-02 03:04:05.00000679 +0000 UTC instead of 2026-01-02 03:04:05.000006789 +0000 UTC"},
		{"time of a second change within a second", func(t *testing.T, d string) { write(t, d, "a/b", "bytes", when.Add(time.Second)) }, ""},
		{"earlier time", func(t *testing.T, d string) { write(t, d, "a/b", "bytes", when.Add(-time.Second)) }, "a/b has time 2026-01-02 03:04:04.000006789 +0000 UTC instead of 2026-01-02 03:04:05.000006789 +0000 UTC"},
		{"stranger", func(t *testing.T, d string) { write(t, d, "z", "z", when) }, "z should not be there"},
		{"missing", func(t *testing.T, d string) {
			if err := os.RemoveAll(filepath.Join(d, "a")); err != nil {
				t.Fatal(err)
			}
		}, "a is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			left, right := t.TempDir(), t.TempDir()
			write(t, left, "a/b", "bytes", when)
			write(t, right, "a/b", "bytes", when)
			c.change(t, right)
			got, err := firstDifference(left, right, true)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
