//go:build unix

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestWatchdogIsForThisProcessOnly(t *testing.T) {
	for _, c := range []struct {
		name, usec, pid string
		want            time.Duration
		bad             bool
	}{
		{name: "none"},
		{name: "this process", usec: "30000000", pid: "7", want: 30 * time.Second},
		{name: "no process named", usec: "1", want: time.Microsecond},
		{name: "another process", usec: "30000000", pid: "8"},
		{name: "no number", usec: "30s", pid: "7", bad: true},
		{name: "nothing", usec: "0", bad: true},
		{name: "beyond all", usec: "9223372036854775807", bad: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
			got, err := watchdogPeriod(func(key string) (string, bool) { return env[key], env[key] != "" }, 7)
			if got != c.want || (err != nil) != c.bad {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// blockable is a log that can stop taking lines, as a pipe does whose reader
// stopped: whoever logs then stands still.
type blockable struct {
	lines
	gate chan struct{} // holds one token; without it, writing waits
}

func (b *blockable) Write(p []byte) (int, error) {
	b.gate <- <-b.gate
	return b.lines.Write(p)
}

// managed is a service manager's socket.
type managed struct {
	t    *testing.T
	conn *net.UnixConn
}

// heard waits for a message that begins with text.
func (m *managed) heard(text string, within time.Duration) bool {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	got := make([]byte, 1000)
	for {
		n, err := m.conn.Read(got)
		if err != nil {
			return false
		}
		if strings.HasPrefix(string(got[:n]), text) {
			return true
		}
	}
}

// TestAStuckServiceStopsTellingItsWatchdog has a whole main: its session stands
// still because its log takes no lines, as with a pipe that nobody reads.
func TestAStuckServiceStopsTellingItsWatchdog(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	manager := &managed{t, conn}
	env := map[string]string{"NOTIFY_SOCKET": filepath.Join(dir, "notify"), "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}
	log := &blockable{gate: make(chan struct{}, 1)}
	log.gate <- struct{}{}
	a := &app{in: strings.NewReader(""), out: log, err: log, version: "test",
		env: func(key string) (string, bool) { v, ok := env[key]; return v, ok }}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	data, www := filepath.Join(dir, "data"), filepath.Join(dir, "www")
	if err := os.Mkdir(www, 0o755); err != nil {
		t.Fatal(err)
	}
	go func() {
		ended <- a.execute(ctx, []string{"publish", "--data", data, "--listen", "127.0.0.1:0", "--http", "", "--window", "0", "--share", "wapt=" + www})
	}()
	defer func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("it ended with %d:\n%s", code, log)
		}
	}()
	for _, text := range []string{"READY=1\nSTATUS=publishing", "WATCHDOG=1", "WATCHDOG=1"} {
		if !manager.heard(text, patience) {
			t.Fatalf("never heard %s:\n%s", text, log)
		}
	}

	<-log.gate
	if _, errs, code := command(t, "", "share", "hold", "wapt", "--data", data); code != exitOK { // which the session logs
		t.Fatalf("exit code %d: %s", code, errs)
	}
	quiet := func() bool { return !manager.heard("WATCHDOG=1", 4*time.Second) }
	for end := time.Now().Add(patience); !quiet(); {
		if time.Now().After(end) {
			t.Fatal("a session that stands still is called alive")
		}
	}
	log.gate <- struct{}{}
	if !manager.heard("WATCHDOG=1", patience) {
		t.Errorf("it goes on, and nobody is told:\n%s", log)
	}
	eventually(t, "the log says so", func() (bool, string) {
		s := log.String()
		return strings.Contains(s, "the publisher is stuck") && strings.Contains(s, "the service goes on"), s
	})
}
