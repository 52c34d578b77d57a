//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waptsync/bench/link"
)

func TestProcessorTimeIsThatOfTheFamily(t *testing.T) {
	// A name may hold anything; 250 ticks of its own and 125 of its children.
	const stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 200 50 100 25 20 0 3 0 12345 0 0"
	if got := processorTime(stat); got != 3.75 {
		t.Errorf("%v s, want 3.75", got)
	}
	if got := processorTime("42 (gone"); got != 0 {
		t.Errorf("%v s of a cut line", got)
	}
}

func TestMemoryPeak(t *testing.T) {
	if got := memoryField("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n", "VmHWM:"); got != 2<<20 {
		t.Errorf("%d bytes, want 2 MiB", got)
	}
}

func TestFamilyHasTheChildren(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 600 & sleep 600; true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	for deadline := time.Now().Add(time.Minute); len(family(cmd.Process.Pid)) < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the family is %v", family(cmd.Process.Pid))
			break
		}
	}
	if _, rss := p.usage(); rss == 0 {
		t.Error("a running process has no memory")
	}
	children := family(cmd.Process.Pid)[1:]
	p.stop()
	for _, c := range children { // a killed process needs a moment to end
		ended := func() bool {
			state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c))
			return err != nil || bytes.Contains(state, []byte(") Z "))
		}
		for deadline := time.Now().Add(time.Minute); !ended(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("child %d still runs", c)
			}
		}
	}
}

func TestPauseLeavesTheCoresAlone(t *testing.T) {
	for _, c := range []struct{ cost, want time.Duration }{
		{0, 50 * time.Millisecond},
		{10 * time.Millisecond, 200 * time.Millisecond},
		{time.Second, 20 * time.Second},
		{time.Hour, time.Minute},
	} {
		if got := pause(c.cost); got != c.want {
			t.Errorf("after a look of %v: %v, want %v", c.cost, got, c.want)
		}
	}
}

func TestFilling(t *testing.T) {
	// 1000 bytes in 10 packets of 50 bytes of headers, and one answer, in 2 s at 8 kbit/s.
	w := link.Wire{ToRemote: 1550, PacketsToRemote: 10, ToMain: 50, PacketsToMain: 1}
	f := filling(w, 1000, 8000, 50, 2)
	for i, want := range []float64{77.5, 50, 5} {
		if got := f[i].Value; got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%s is %v, want %v", f[i].Name, got, want)
		}
	}
}

func TestChangedMembersAreThoseWithOtherBytes(t *testing.T) {
	dir := t.TempDir()
	pack := func(name string, members ...string) string {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := 0; i < len(members); i += 2 {
			w, err := z.CreateHeader(&zip.FileHeader{Name: members[i], Method: zip.Store})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, members[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := pack("1.zip", "x@1/a", "same", "x@1/b", "old")
	after := pack("2.zip", "x@2/a", "same", "x@2/b", "newer", "x@2/c", "newer")
	all, new, err := changedMembers(before, after)
	if err != nil || all != 14 || new != 5 {
		t.Errorf("%d bytes, %d new, %v; want 14 and 5", all, new, err)
	}
}

func TestSeriesNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range released {
		n := s.name()
		if seen[n] || n == "v2" || len(s.versions) != 5 {
			t.Errorf("%s is called %q and has %d versions", s.module, n, len(s.versions))
		}
		seen[n] = true
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct{ args, fault string }{
		{"", ""},
		{"-only big,idle -systems rsync -scale 0.1", ""},
		{"-only large", `no workload "large"`},
		{"-systems cp", `no system "cp"`},
		{"-scale 0", "more than 0"},
		{"-files 10,x", `"x" is no number`},
		{"big", `unknown argument "big"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			o, err := parse(strings.Fields(c.args), io.Discard)
			if c.fault == "" {
				if err != nil || len(o.only) == 0 {
					t.Errorf("%v", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("says %v, want %q", err, c.fault)
			}
		})
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to come so far")
	}
	if _, err := exec.LookPath("tc"); err != nil {
		t.Skip(err)
	}
	for _, c := range []struct{ args, fault string }{
		{"-waptsync /nowhere/waptsync -only big", "/nowhere/waptsync"},
		{"-systems syncthing -syncthing /nowhere/syncthing -waptsync /bin/true -only big", "no system"},
	} {
		t.Run(c.args, func(t *testing.T) {
			var progress bytes.Buffer
			code := run(t.Context(), append(strings.Fields(c.args), "-work", t.TempDir(), "-out", t.TempDir()), io.Discard, &progress)
			if code != 1 || !strings.Contains(progress.String(), c.fault) {
				t.Errorf("ended with %d and said %s", code, progress.Bytes())
			}
		})
	}
}

// TestSmoke runs workloads of every kind at a tiny scale: that they work, not
// how fast.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	pair, err := link.Open()
	if err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	limiting := pair.Limit(1e6)
	pair.Close()
	if limiting != nil {
		t.Skip(limiting)
	}
	only := "floor,fanout,scale"
	if os.Getenv("WAPTSYNC_LONG") == "1" {
		only = "" // all, releases from the module proxy too
	}
	work, out := t.TempDir(), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var table, progress bytes.Buffer
	code := run(ctx, []string{
		"-scale", "0.002", "-only", only, "-systems", "waptsync,rsync", "-files", "100000",
		"-work", work, "-out", out, "-timeout", "2m",
	}, &table, &progress)
	if code != 0 {
		t.Fatalf("ended with %d\n%s", code, progress.Bytes())
	}
	lines, err := os.ReadFile(filepath.Join(out, "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(lines) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil || row["workload"] == "" || row["error"] != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, want := range []string{"| big | seconds |", "| fanout | new_hashed_MB |", "| scale 200 | restart_s |"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
