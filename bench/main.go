//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"waptsync/bench/link"
	"waptsync/bench/table"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 when all was measured, 1 when the bench could
// not run, 2 for wrong flags, 3 when a measurement failed.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	if o.list {
		for _, w := range workloads {
			fmt.Fprintf(stdout, "%-9s %s\n", w.name, w.about)
		}
		return 0
	}
	rows, err := measure(ctx, o, stderr)
	if len(rows) > 0 {
		err = errors.Join(err, write(o, rows, stdout))
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	for _, r := range rows {
		if r.Error != "" {
			return 3
		}
	}
	return 0
}

// measure runs all that was asked for and returns what it got, also when it
// was interrupted.
func measure(ctx context.Context, o *options, stderr io.Writer) ([]table.Row, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root: it makes network namespaces; run it with sudo")
	}
	for _, p := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(p); err != nil {
			return nil, fmt.Errorf("needs %s: install the package iproute2", p)
		}
	}
	work, err := os.MkdirTemp(o.work, "waptsync-bench-")
	if err != nil {
		return nil, fmt.Errorf("making the work folder: %w", err)
	}
	if o.keep {
		fmt.Fprintln(stderr, "bench: what is kept is in", work)
	} else {
		defer os.RemoveAll(work)
	}
	if o.waptsync == "" {
		o.waptsync = filepath.Join(work, "waptsync")
		fmt.Fprintln(stderr, "bench: building waptsync")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", o.waptsync, "waptsync/cmd/waptsync")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building waptsync (-waptsync names a binary instead): %w: %s", err, out)
		}
	}
	if _, err := exec.LookPath(o.waptsync); err != nil {
		return nil, fmt.Errorf("looking for the binary under test: %w", err)
	}
	present, err := pick(kinds(o), o.systems)
	if err != nil {
		return nil, err
	}
	s := &session{options: o, work: work, progress: stderr}
	for _, k := range present {
		if p := k.missing(); p != "" {
			fmt.Fprintf(stderr, "bench: %s is left out: %q is not installed\n", k.name, p)
			continue
		}
		s.kinds = append(s.kinds, k)
	}
	if len(s.kinds) == 0 {
		return nil, errors.New("no system to measure is installed")
	}
	if s.pair, err = link.Open(); err != nil {
		return nil, err
	}
	defer s.pair.Close()
	fmt.Fprintf(stderr, "bench: %s, %d cores, %s, scale %v\n", version(o.waptsync), runtime.NumCPU(), runtime.GOARCH, o.scale)
	err = s.all(ctx)
	return s.rows, err
}

// session is one run of the bench.
type session struct {
	*options
	pair     *link.Pair
	work     string
	kinds    []kind
	progress io.Writer
	rows     []table.Row
}

// trial is one run of one workload with one system.
type trial struct {
	*session
	workload workload
	kind     kind
	run      int
}

func (s *session) all(ctx context.Context) error {
	for _, w := range s.only {
		for run := range s.runs {
			for _, k := range s.kinds {
				if w.wants != nil && !w.wants(k) {
					continue
				}
				if err := s.once(ctx, &trial{session: s, workload: w, kind: k, run: run}); err != nil {
					return err
				}
				if w.alone {
					break
				}
			}
		}
	}
	return nil
}

// once runs a trial. What fails becomes a row; an error ends the bench.
func (s *session) once(ctx context.Context, t *trial) error {
	name := t.kind.name
	if t.workload.alone {
		name = table.Floor
	}
	fmt.Fprintf(s.progress, "%s %s, %s, run %d\n", time.Now().Format(time.TimeOnly), t.workload.name, name, t.run)
	if s.rate > 0 {
		if err := s.pair.Limit(s.rate); err != nil {
			return err
		}
	}
	err := t.workload.run(ctx, t)
	if restoring := s.pair.Restore(); restoring != nil {
		return restoring
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		t.report(table.Row{Workload: t.workload.name, Error: err.Error()})
	}
	return nil
}

// emit keeps a measurement under the workload's name, or another.
func (t *trial) emit(workload string, figures ...table.Figure) {
	t.report(table.Row{Workload: workload, Figures: figures})
}

func (t *trial) report(r table.Row) {
	r.System, r.Run, r.Scale = t.kind.name, t.run, t.scale
	if t.workload.alone {
		r.System = table.Floor
	}
	if t.rate > 0 {
		r.Workload += fmt.Sprintf(" at %g Mbit/s", float64(t.rate)/1e6)
	}
	t.rows = append(t.rows, r)
	b, err := json.Marshal(r)
	if err != nil {
		b = []byte(err.Error())
	}
	fmt.Fprintf(t.progress, "%s\n", b)
}

// write leaves the rows in the results file, the table beside it, and prints
// the table.
func write(o *options, rows []table.Row, stdout io.Writer) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("making the folder of results: %w", err)
	}
	var lines, text strings.Builder
	for _, r := range rows {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		lines.Write(b)
		lines.WriteByte('\n')
	}
	if err := table.Write(&text, rows); err != nil {
		return err
	}
	for name, content := range map[string]string{"results.jsonl": lines.String(), "table.md": text.String()} {
		if err := os.WriteFile(filepath.Join(o.out, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("writing the results: %w", err)
		}
	}
	_, err := io.WriteString(stdout, text.String())
	return err
}
