package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pairOf starts a main that publishes www and a remote that copies it.
func pairOf(t *testing.T, www, copied string) (remoteData string) {
	t.Helper()
	dir := t.TempDir()
	mainData, remoteData := filepath.Join(dir, "main"), filepath.Join(dir, "remote")
	service(t, "publish", "--data", mainData, "--listen", "127.0.0.1:0", "--window", "0", "--share", "wapt="+www)
	answers(t, mainData)
	must(t, must(t, "", "invite", "colmar", "--data", mainData), "join", "-", "--data", remoteData)
	service(t, "subscribe", "--data", remoteData, "--share", "wapt="+copied)
	answers(t, remoteData)
	return remoteData
}

func TestWhatAFirstJoinMovesAsideCanBeListedRestoredAndEmptied(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	www, copied := filepath.Join(dir, "www"), filepath.Join(dir, "copy")
	for path, content := range map[string]string{www + "/a": "a", copied + "/d/local": "kept"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data := pairOf(t, www, copied)
	eventually(t, "the local file is in the trash", func() (bool, string) {
		out, errs, _ := command(t, "", "trash", "list", "wapt", "--data", data)
		return strings.Contains(out, "d/local"), out + errs
	})
	to := filepath.Join(dir, "restored")
	must(t, "", "trash", "restore", "wapt", "d/local", to, "--data", data)
	if b, err := os.ReadFile(to); err != nil || string(b) != "kept" {
		t.Errorf("restored %q, %v", b, err)
	}
	if _, errs, code := command(t, "", "trash", "restore", "wapt", "d/local", to, "--data", data); code == exitOK {
		t.Errorf("a file that is there was overwritten: %s", errs)
	}
	must(t, "", "trash", "empty", "wapt", "--data", data)
	if out := must(t, "", "trash", "list", "wapt", "--data", data); strings.Contains(out, "d/local") {
		t.Errorf("the emptied trash has:\n%s", out)
	}
	if _, _, code := command(t, "", "trash", "list", "other", "--data", data); code == exitOK {
		t.Error("a share that is not there has a trash")
	}
}

func TestVerifyTellsAFlippedBitByItsExitCodeAndHealsIt(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	www, copied := filepath.Join(dir, "www"), filepath.Join(dir, "copy")
	if err := os.MkdirAll(www, 0o755); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("content "), 10_000)
	if err := os.WriteFile(filepath.Join(www, "a"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	data := pairOf(t, www, copied)
	equal(t, www, copied)
	eventually(t, "the remote is up to date", func() (bool, string) {
		out, errs, code := command(t, "", "status", "--data", data)
		return code == exitOK, out + errs
	})
	must(t, "", "verify", "--data", data)
	path := filepath.Join(copied, "a")
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{content[777] ^ 1}, 777); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	out, _, code := command(t, "", "verify", "wapt", "--data", data)
	if code != exitBehind || !strings.Contains(out, "wapt: a: bad") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if out := must(t, "", "verify", "wapt", "--repair", "--data", data); !strings.Contains(out, "being repaired") {
		t.Errorf("not being repaired:\n%s", out)
	}
	equal(t, www, copied)
	eventually(t, "nothing differs any more", func() (bool, string) {
		out, errs, code := command(t, "", "verify", "wapt", "--data", data)
		return code == exitOK, out + errs
	})
}
