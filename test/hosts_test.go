//go:build linux

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"waptsync/bench/link"
)

const readyWithin = 60 * time.Second

// share is a folder under its name.
type share struct{ name, dir string }

// host is one side: its folders, its data and, while it runs, its service.
type host struct {
	t      *testing.T
	name   string
	side   *link.Host
	data   string
	log    string
	shares []share
	who    *syscall.Credential // nil runs it as the test's own user
	proc   *process            // nil while it is not meant to run
}

// Main is a main host: `waptsync publish`.
type Main struct {
	host
	addr string
}

// Remote is a remote host: `waptsync subscribe`.
type Remote struct {
	host
}

// status is what `waptsync status --json` printed. The fields are those that
// the tests need; raw is all of it.
type status struct {
	raw    string
	Served int64                  `json:"served_bytes"` // a main's: content read from its own files for remotes
	Shares map[string]shareStatus `json:"shares"`
}

type shareStatus struct {
	State    string    `json:"state"`
	Held     string    `json:"held"` // of a main: why nothing is deleted
	Files    int64     `json:"files"`
	Received int64     `json:"received"`
	Reused   int64     `json:"reused"`
	Errors   int64     `json:"errors"`
	Problems []problem `json:"problems"`
}

type problem struct {
	Path  string `json:"path"`
	Op    string `json:"op"`
	Cause string `json:"cause"`
}

// newMain makes a main with empty folders of the given names. It is not started.
func newMain(t *testing.T, shares ...string) *Main {
	t.Helper()
	return &Main{host: newHost(t, "main", lab.net.main, shares), addr: lab.net.address(t)}
}

// newRemote makes a remote with empty folders of the given names. It has not joined.
func newRemote(t *testing.T, name string, shares ...string) *Remote {
	t.Helper()
	return &Remote{host: newHost(t, name, lab.net.remote, shares)}
}

func newHost(t *testing.T, name string, side *link.Host, shares []string) host {
	dir := scratch(t)
	h := host{t: t, name: name, side: side, data: filepath.Join(dir, "data"), log: filepath.Join(dir, "log")}
	for _, s := range shares {
		h.shares = append(h.shares, share{s, filepath.Join(dir, s)})
		makeDirs(t, filepath.Join(dir, s))
	}
	t.Cleanup(func() { checkLog(t, name, h.log) })
	return h
}

// dir is the folder of a share.
func (h *host) dir(name string) string {
	i := slices.IndexFunc(h.shares, func(s share) bool { return s.name == name })
	if i < 0 {
		h.t.Fatalf("%s has no share %q", h.name, name)
	}
	return h.shares[i].dir
}

func (h *host) shareFlags(withDir bool) []string {
	var flags []string
	for _, s := range h.shares {
		v := s.name
		if withDir {
			v += "=" + s.dir
		}
		flags = append(flags, "--share", v)
	}
	return flags
}

func (h *host) run(args ...string) {
	h.t.Helper()
	if h.proc != nil {
		h.t.Fatalf("%s already runs", h.name)
	}
	p, err := startProcess(h.side, h.log, h.who, args...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.proc = p
	h.t.Cleanup(func() {
		if p.running() { // the test failed half-way, or left it to us
			p.kill()
		}
	})
}

// stop ends the service in order; ending badly is a failure.
func (h *host) stop() {
	h.t.Helper()
	p := h.proc
	h.proc = nil
	if err := p.stop(); err != nil {
		h.t.Errorf("stopping %s: %v", h.name, err)
	}
}

// kill ends the service by SIGKILL.
func (h *host) kill() {
	h.t.Helper()
	h.checkRuns()
	h.proc.kill()
	h.proc = nil
}

// checkRuns fails the test if a service that should run has ended.
func (h *host) checkRuns() {
	h.t.Helper()
	if h.proc != nil && !h.proc.running() {
		h.t.Fatalf("%s ended by itself: %v", h.name, h.proc.outcome())
	}
}

// command runs one command on the host to its end and returns what it printed.
func (h *host) command(stdin string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(lab.binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: h.who}
	if err := h.side.Start(cmd); err != nil {
		return "", fmt.Errorf("starting waptsync %s: %w", args[0], err)
	}
	late := time.AfterFunc(readyWithin, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("waptsync %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// status asks the running service.
func (h *host) status() (status, error) {
	out, err := h.command("", "status", "--json", "--data", h.data)
	// A status that tells of problems may also exit with a code that says so.
	st := status{raw: out}
	if e := json.Unmarshal([]byte(out), &st); e != nil {
		if err == nil {
			err = e
		}
		return st, fmt.Errorf("status of %s: %w", h.name, err)
	}
	return st, nil
}

// waitStatus polls the status until ok is true of it.
func (h *host) waitStatus(within time.Duration, what string, ok func(status) bool) status {
	h.t.Helper()
	var last status
	var err error
	if !poll(within, 50*time.Millisecond, func() bool {
		h.checkRuns()
		last, err = h.status()
		return err == nil && ok(last)
	}) {
		h.t.Fatalf("%s: %s: not within %v; last error %v, last status %s", h.name, what, within, err, last.raw)
	}
	return last
}

// start starts the main and returns when it answers.
func (m *Main) start() {
	m.t.Helper()
	m.launch()
	m.waitStatus(readyWithin, "answers", func(status) bool { return true })
}

// launch starts the main without waiting for anything.
func (m *Main) launch() {
	m.t.Helper()
	m.run(append([]string{"publish", "--data", m.data, "--listen", m.addr}, m.shareFlags(true)...)...)
}

// waitKnows returns when the main has seen at least n files of a share.
func (m *Main) waitKnows(share string, n int, within time.Duration) {
	m.t.Helper()
	m.waitStatus(within, fmt.Sprintf("knows %d files of %s", n, share), func(st status) bool {
		return st.Shares[share].Files >= int64(n)
	})
}

// approveHeld plays the administrator who confirms a deletion of many files.
func (m *Main) approveHeld() {
	m.t.Helper()
	st, err := m.status()
	if err != nil {
		return // it is just starting
	}
	for name, s := range st.Shares {
		if s.Held == "" {
			continue
		}
		m.t.Logf("share %s is held (%s): approving", name, s.Held)
		if _, err := m.command("", "share", "approve", name, "--data", m.data); err != nil {
			m.t.Error(err)
		}
	}
}

// admit invites the remote and lets it join. The main must be running.
func (m *Main) admit(r *Remote) {
	m.t.Helper()
	args := append([]string{"invite", r.name, "--data", m.data, "--advertise", m.addr}, r.shareFlags(false)...)
	line, err := m.command("", args...)
	if err != nil {
		m.t.Fatalf("inviting: %v", err)
	}
	if line = strings.TrimSpace(line); line == "" || strings.Contains(line, "\n") {
		m.t.Fatalf("invite printed %q, want one line", line)
	}
	if _, err := r.command(line+"\n", "join", "-", "--data", r.data); err != nil {
		m.t.Fatalf("joining: %v", err)
	}
}

// start starts the remote without waiting for anything: the trees tell the rest.
func (r *Remote) start() {
	r.t.Helper()
	r.run(append([]string{"subscribe", "--data", r.data}, r.shareFlags(true)...)...)
}

// pair makes a running main and a running remote of it, both with empty
// folders of the given names.
func pair(t *testing.T, shares ...string) (*Main, *Remote) {
	t.Helper()
	m, r := newMain(t, shares...), newRemote(t, "remote", shares...)
	m.start()
	m.admit(r)
	r.start()
	return m, r
}

// poll calls ok until it is true or time is over; it waits longer where a
// look itself takes long, so that looking does not eat the machine.
func poll(within, every time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(within)
	for {
		begin := time.Now()
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(max(every, 2*time.Since(begin)))
	}
}
