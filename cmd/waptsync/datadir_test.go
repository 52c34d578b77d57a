package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestTwoServicesNeverShareADataFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	first, err := openData(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openData(path); err == nil || !strings.Contains(err.Error(), "in use") || hintOf(err) == "" {
		t.Errorf("the second service got: %v (hint %q)", err, hintOf(err))
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := openData(path)
	if err != nil {
		t.Fatalf("the folder stays locked after its service ended: %v", err)
	}
	second.Close()
}

func TestDataFolderIsItsOwnersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are not kept there")
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	d, err := openData(fresh)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a new data folder has mode %v, %v", info.Mode(), err)
	}
	for _, mode := range []os.FileMode{0o750, 0o701, 0o777} {
		open := t.TempDir()
		if err := os.Chmod(open, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := openData(open); err == nil || hintOf(err) != "chmod 700 "+open {
			t.Errorf("mode %o: %v, hint %q", mode, err, hintOf(err))
		}
	}
}
