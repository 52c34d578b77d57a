//go:build linux

package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"waptsync/bench/link"
)

const (
	stopWithin  = 20 * time.Second // from SIGTERM to the exit
	raceExit    = 66               // the race detector's exit code
	logTailSize = 6 << 10          // bytes of a log that a failed test prints
)

// process is a running waptsync service.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone; then err is valid
	err    error
}

// startProcess starts the binary in the namespace, its output appended to log.
func startProcess(side *link.Host, log string, who *syscall.Credential, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	defer f.Close()
	fmt.Fprintf(f, "--- %s waptsync %s\n", time.Now().Format("15:04:05.000"), strings.Join(args, " "))
	cmd := exec.Command(lab.binary, args...)
	cmd.Stdout, cmd.Stderr = f, f
	// A test binary that is killed takes its services along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Credential: who}
	if err := side.Start(cmd); err != nil {
		return nil, fmt.Errorf("starting waptsync %s: %w", args[0], err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop asks the process to end and returns why it did not end well.
func (p *process) stop() error {
	if !p.running() {
		return fmt.Errorf("had already ended by itself: %w", p.outcome())
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending SIGTERM: %w", err)
	}
	select {
	case <-p.exited:
		if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() && ws.Signal() == syscall.SIGTERM {
			return nil // it had not come to its signal handler yet
		}
		return p.err
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // Go prints its goroutines to the log
		select {
		case <-p.exited:
		case <-time.After(5 * time.Second):
			p.kill()
		}
		return fmt.Errorf("still ran %v after SIGTERM", stopWithin)
	}
}

func (p *process) outcome() error {
	if p.err != nil {
		return p.err
	}
	return errors.New("exit status 0")
}

// kill ends the process at once, as a power cut would as far as it can see.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// readBytes returns what the process has read so far, by read calls of any kind.
func (p *process) readBytes(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("reading the process's counters: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "rchar: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				t.Fatalf("reading the process's counters: %v", err)
			}
			return n
		}
	}
	t.Fatalf("no rchar in %s", b)
	return 0
}

// checkLog fails the test if the log tells of a crash or a data race, and
// prints its end if the test failed for any reason.
func checkLog(t *testing.T, name, log string) {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		return // never started
	}
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if i := bytes.Index(b, []byte(bad)); i >= 0 {
			t.Errorf("%s: %s", name, head(b[i:], logTailSize))
			break
		}
	}
	if t.Failed() {
		t.Logf("end of the log of %s:\n%s", name, tail(b, logTailSize))
	}
}

func head(b []byte, n int) []byte { return b[:min(n, len(b))] }
func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// scratch returns a folder for the test: kept, and named, when WAPTSYNC_KEEP=1.
func scratch(t *testing.T) string {
	t.Helper()
	if os.Getenv("WAPTSYNC_KEEP") != "1" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "waptsync-kept-")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kept: %s", dir)
	return dir
}

func makeDirs(t *testing.T, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// write writes a file in place: opened, truncated, written, closed.
func write(t *testing.T, data []byte, elem ...string) string {
	t.Helper()
	name := filepath.Join(elem...)
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
