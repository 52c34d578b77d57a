//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"waptsync/bench/link"
)

const (
	stopWithin = 30 * time.Second // from SIGTERM to SIGKILL
	clockTicks = 100              // USER_HZ, which Linux has for every architecture of today
)

// process is one that a system started on a host. Its children are its own:
// they are measured and stopped with it.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed at its end; then err is valid
	err    error
	peak   int64 // bytes; the most that sample saw
}

func startProcess(h *link.Host, log string, name string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	defer f.Close()
	p := &process{cmd: exec.Command(name, args...), log: log, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := h.Start(p.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
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

// wait waits for the end of a process that ends by itself.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends the process and its children.
func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopWithin):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// usage is the processor time in seconds and the peak of resident memory in
// bytes of the process and its children, those that ended included.
func (p *process) usage() (cpu float64, rss int64) {
	p.sample()
	if !p.running() {
		// Its memory is what sample saw: the kernel's own account of an ended
		// process counts that of its parent at the fork.
		s := p.cmd.ProcessState
		return (s.UserTime() + s.SystemTime()).Seconds(), p.peak
	}
	for _, pid := range family(p.cmd.Process.Pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil {
			cpu += processorTime(string(stat))
		}
	}
	return cpu, p.peak
}

// sample looks how much memory the process and its children have. Only with
// looks now and then are children seen that come and go.
func (p *process) sample() {
	if !p.running() {
		return
	}
	p.peak = max(p.peak, p.memory("VmHWM:"))
}

// resident is the memory that the process and its children have now.
func (p *process) resident() int64 { return p.memory("VmRSS:") }

func (p *process) memory(field string) (sum int64) {
	for _, pid := range family(p.cmd.Process.Pid) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err == nil {
			sum += memoryField(string(status), field)
		}
	}
	return sum
}

// family is the process and all below it.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", all[i]))
		if err != nil {
			continue // it ended
		}
		for _, t := range tasks {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", all[i], t.Name()))
			if err != nil {
				continue
			}
			for _, f := range strings.Fields(string(b)) {
				if child, err := strconv.Atoi(f); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// processorTime reads proc_pid_stat(5): seconds in user and system mode, also
// of the children that were waited for.
func processorTime(stat string) float64 {
	_, after, found := strings.Cut(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	fields := strings.Fields(after)
	if !found || len(fields) < 15 {
		return 0
	}
	var ticks int64
	for _, f := range fields[11:15] {
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return float64(ticks) / clockTicks
}

// memoryField reads proc_pid_status(5): bytes.
func memoryField(status, field string) int64 {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, field); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// tail is the end of the process's log, on one line.
func (p *process) tail() string {
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if i, err := f.Stat(); err == nil {
		_, _ = f.Seek(max(0, i.Size()-400), io.SeekStart)
	}
	b, _ := io.ReadAll(f)
	return strings.Join(strings.Fields(string(b)), " ")
}

// output runs a short command on the host and returns what it prints.
func output(ctx context.Context, h *link.Host, stdin string, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, faults bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &faults
	err := h.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err), errors.New(strings.TrimSpace(faults.String())))
	}
	return out.Bytes(), nil
}

// sleep waits, but not longer than the context lasts.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
