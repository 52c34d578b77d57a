package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waptsync/cmd/waptsync/sample"
)

const patience = 60 * time.Second

// lines is a buffer that a service writes while the test reads.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// command runs one command line to its end.
func command(t *testing.T, stdin string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e lines
	a := &app{in: strings.NewReader(stdin), out: &o, err: &e, env: noEnv, version: "test"}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code = a.execute(ctx, args)
	return o.String(), e.String(), code
}

// must runs a command that has to succeed.
func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errs, code := command(t, stdin, args...)
	if code != exitOK {
		t.Fatalf("waptsync %s: exit code %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// service runs a command until stop, or the test's end.
func service(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	log := &lines{}
	a := &app{in: strings.NewReader(""), out: log, err: log, env: noEnv, version: "test"}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- a.execute(ctx, args) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case code := <-ended:
			if code != exitOK {
				t.Errorf("waptsync %s ended with %d", args[0], code)
			}
		case <-time.After(patience):
			t.Errorf("waptsync %s does not end", args[0])
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", args[0], log)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually polls until ok, and fails with what it last said.
func eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		done, state := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %s", what, patience, state)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func answers(t *testing.T, data string) {
	t.Helper()
	eventually(t, data+" answers", func() (bool, string) {
		_, errs, code := command(t, "", "status", "--data", data)
		return code != exitNotRunning, errs
	})
}

func equal(t *testing.T, main, remote string) {
	t.Helper()
	eventually(t, "the copy is equal", func() (bool, string) {
		diff, err := firstDifference(main, remote, true)
		if err != nil {
			diff = err.Error()
		}
		return diff == "", diff
	})
}

func TestFromInvitationToEqualTrees(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	repo, err := sample.Create(filepath.Join(dir, "www"), sample.Options{Packages: 4, Hosts: 10, Payload: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	mainData, remoteData := filepath.Join(dir, "main"), filepath.Join(dir, "remote")
	publish := []string{"publish", "--data", mainData, "--listen", "127.0.0.1:0", "--window", "16MiB"}
	subscribe := []string{"subscribe", "--data", remoteData}
	copies := make(map[string]string)
	for name, folder := range repo.Shares() {
		copies[folder] = filepath.Join(dir, "copy", name)
		publish = append(publish, "--share", name+"="+folder)
		subscribe = append(subscribe, "--share", name+"="+copies[folder])
	}
	if err := os.MkdirAll(filepath.Join(dir, "copy"), 0o755); err != nil {
		t.Fatal(err)
	}

	service(t, publish...)
	answers(t, mainData)
	line := must(t, "", "invite", "colmar", "--data", mainData)
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Errorf("invite printed %q, want one line", line)
	}
	must(t, line, "join", "-", "--data", remoteData)
	stopRemote := service(t, subscribe...)
	answers(t, remoteData)
	allEqual := func() {
		t.Helper()
		for folder, copied := range copies {
			equal(t, folder, copied)
		}
	}
	allEqual()
	for name, change := range map[string]func() (string, error){
		"upgrade": repo.Upgrade, "edit": repo.EditHost, "delete": repo.Delete,
	} {
		if _, err := change(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	allEqual()

	for _, data := range []string{mainData, remoteData} {
		eventually(t, "status of "+data+" says up to date", func() (bool, string) {
			out, errs, code := command(t, "", "status", "--data", data)
			return code == exitOK, out + errs
		})
	}
	if out := must(t, "", "status", "colmar", "--data", mainData); !strings.Contains(out, "colmar is up to date (0 s behind)") {
		t.Errorf("status does not answer the question:\n%s", out)
	}
	var s struct {
		Role    string
		Shares  map[string]struct{ Files, Bytes int64 }
		Remotes map[string]struct {
			Connected bool
			Shares    map[string]map[string]any
		}
	}
	if err := json.Unmarshal([]byte(must(t, "", "status", "--json", "--data", mainData)), &s); err != nil {
		t.Fatal(err)
	}
	colmar := s.Remotes["colmar"]
	if s.Role != rolePublisher || s.Shares["wapt"].Files < 4 || s.Shares["wapt"].Bytes == 0 || !colmar.Connected {
		t.Errorf("status: %+v", s)
	}
	for _, key := range []string{"lag_events", "lag_bytes", "lag_seconds", "state", "errors"} {
		if _, there := colmar.Shares["wapt"][key]; !there {
			t.Errorf("remotes.colmar.shares.wapt has no %s", key)
		}
	}
	must(t, "", "verify", "--data", remoteData)

	stopRemote()
	if _, _, code := command(t, "", "status", "--data", remoteData); code != exitNotRunning {
		t.Errorf("status of a stopped remote: exit code %d", code)
	}
	eventually(t, "the main sees the remote go", func() (bool, string) {
		must(t, "", "status", "--json", "--data", mainData) // its text tells, not its exit code
		out, _, code := command(t, "", "status", "--data", mainData)
		return code == exitBehind, out
	})
	must(t, "", "remote", "revoke", "colmar", "--data", mainData)
	if list := must(t, "", "remote", "list", "--data", mainData); strings.Contains(list, "colmar") {
		t.Errorf("a revoked remote is listed:\n%s", list)
	}
}

func TestARemoteThatWasAddedByItsIDNeedsNoInvitation(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	www, copied := filepath.Join(dir, "www"), filepath.Join(dir, "copy")
	if err := os.Mkdir(www, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(www, "a"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	mainData, remoteData := filepath.Join(dir, "main"), filepath.Join(dir, "remote")
	service(t, "publish", "--data", mainData, "--listen", "127.0.0.1:0", "--window", "0", "--share", "wapt="+www)
	answers(t, mainData)
	id := strings.TrimSpace(must(t, "", "id", "--data", remoteData))
	membership := must(t, "", "remote", "add", "colmar", "--id", id, "--data", mainData)
	must(t, membership, "join", "--data", remoteData)
	service(t, "subscribe", "--data", remoteData, "--share", "wapt="+copied)
	answers(t, remoteData)
	equal(t, www, copied)
}

func TestErrorsSayWhatToDo(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name string
		args []string
		code int
		text string
	}{
		{"no command of that name", []string{"publich"}, exitUsage, "unknown command"},
		{"no flag of that name", []string{"publish", "--shares", "x"}, exitUsage, "unknown flag"},
		{"no argument", []string{"invite"}, exitUsage, "accepts 1 arg"},
		{"a group alone", []string{"remote"}, exitUsage, "which one?"},
		{"no share", []string{"publish", "--data", missing}, exitUsage, "--share wapt=/var/www/wapt"},
		{"not running", []string{"status", "--data", missing}, exitNotRunning, "start `waptsync publish`"},
		{"not joined", []string{"subscribe", "--data", filepath.Join(t.TempDir(), "d"), "--share", "wapt=" + missing}, exitError, "join first"},
		{"folder missing", []string{"publish", "--data", filepath.Join(t.TempDir(), "d"), "--listen", "127.0.0.1:0", "--share", "wapt=" + missing}, exitError, missing},
		{"no invitation", []string{"join", "-", "--data", filepath.Join(t.TempDir(), "d")}, exitUsage, "waptsync invite"},
		{"no ID", []string{"remote", "add", "colmar", "--data", missing}, exitUsage, "waptsync id"},
		{"bad role", []string{"config", "check", "both"}, exitUsage, "both"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs, code := command(t, "", c.args...)
			if code != c.code || !strings.Contains(errs, c.text) {
				t.Errorf("exit code %d, want %d; it should say %q:\n%s", code, c.code, c.text, errs)
			}
		})
	}
}

func TestEveryCommandShowsExamples(t *testing.T) {
	a := &app{out: &lines{}, err: &lines{}, in: strings.NewReader(""), env: noEnv}
	for _, c := range a.newRootCommand().Commands() {
		for _, leaf := range append(c.Commands(), c) {
			if leaf.Runnable() && !leaf.HasSubCommands() && leaf.Example == "" {
				t.Errorf("%s has no example", leaf.CommandPath())
			}
		}
	}
}

func TestDemoEndsWithEqualCopies(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	out := must(t, "", "demo", "--once")
	if strings.Count(out, " yes\n") != 2 {
		t.Errorf("the table does not say that both copies are equal:\n%s", out)
	}
}
