package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestARemoteJoinsByItselfWithAnInvitationsFile(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	main, remote := filepath.Join(dir, "main"), filepath.Join(dir, "remote")
	www, copied := filepath.Join(dir, "www"), filepath.Join(dir, "copy")
	file := filepath.Join(dir, "invitation")
	put(t, filepath.Join(www, "a"), "text", time.Unix(1_700_000_000, 0))
	service(t, "publish", "--data", main, "--listen", "127.0.0.1:0", "--share", "files="+www, "--window", "8MiB")
	answers(t, main)

	subscribe := []string{"subscribe", "--data", remote, "--share", "files=" + copied, "--invitation", file, "--min-free", "0"}
	if _, errs, code := command(t, "", subscribe...); code != exitError || !strings.Contains(errs, "invite NAME --output") {
		t.Errorf("without the file: code %d, %s", code, errs)
	}
	if out := must(t, "", "invite", "colmar", "--data", main, "--output", file); out != "" {
		t.Errorf("the line was printed as well: %s", out)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	stop := service(t, subscribe...)
	equal(t, www, copied)
	stop()

	// The next start needs it no more, and a second invitation changes nothing.
	must(t, "", "invite", "colmar", "--data", main, "--output", file)
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the file was written anew: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(www, "b"), "more", time.Unix(1_700_000_000, 0))
	service(t, subscribe...)
	equal(t, www, copied)
}
