//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shiftedBinary builds the binary with a clock that a file sets: the time
// package is replaced (go build -overlay) by one that adds as many seconds as
// the file named by WAPTSYNC_TEST_CLOCK says, each time somebody asks. A
// preloaded library cannot do that, since the binary is static and Go asks the
// kernel itself; setting the machine's clock would disturb everybody on it.
// What the kernel stamps, mtime and ctime, keeps the true time.
func shiftedBinary(t *testing.T) string {
	t.Helper()
	if os.Getenv("WAPTSYNC_BINARY") != "" {
		t.Log("WAPTSYNC_BINARY is not used here: the clock is built in")
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	check(t, err)
	original := filepath.Join(strings.TrimSpace(string(out)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	check(t, err)
	const asks = "sec, nsec, mono := runtimeNow()"
	if strings.Count(string(source), asks) == 0 {
		t.Skip("this Go's time package asks the clock in another way")
	}
	dir := t.TempDir()
	source = []byte(strings.Replace(string(source), asks, asks+"\n\tsec += testClock()", 1) + `
var testClockFile = func() []byte {
	if name, ok := syscall.Getenv("WAPTSYNC_TEST_CLOCK"); ok {
		if fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err == nil {
			b, _ := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
			return b
		}
	}
	return nil
}()

// testClock must not call the kernel: time.Now is also called on small stacks.
func testClock() (v int64) {
	for _, c := range testClockFile {
		v = v<<8 | int64(c)
	}
	return v
}
`)
	source = []byte(strings.Replace(string(source), "import (", "import (\n\t\"syscall\"", 1))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: write(t, source, dir, "time.go")}})
	check(t, err)
	binary := filepath.Join(dir, "waptsync")
	cmd := exec.Command("go", "build", "-overlay", write(t, overlay, dir, "overlay.json"), "-o", binary, "../cmd/waptsync")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("the time package cannot be replaced: %v\n%s", err, tail(b, 500))
	}
	return binary
}

// TestClockSetBack sets the clocks of main and remote back and forth, by hours
// and by years, while they run and before they start; the trees stay equal and
// no agent misses a file.
func TestClockSetBack(t *testing.T) {
	if !long() {
		t.Skip("builds the binary anew with all of the standard library: WAPTSYNC_LONG=1")
	}
	plain := lab.binary
	lab.binary = shiftedBinary(t)
	defer func() { lab.binary = plain }()
	clock := write(t, make([]byte, 8), t.TempDir(), "clock")
	set := func(d time.Duration) {
		var b [8]byte
		v := uint64(d / time.Second)
		for i := range b {
			b[i] = byte(v >> (56 - 8*i))
		}
		f, err := os.OpenFile(clock, os.O_WRONLY, 0)
		check(t, err)
		_, err = f.WriteAt(b[:], 0) // in place: services have it open
		check(t, err)
		check(t, f.Close())
	}
	t.Setenv("WAPTSYNC_TEST_CLOCK", clock)
	s := stock(t)
	stop, seen := make(chan struct{}), make(chan []string, 1)
	go func() { seen <- watchIndex(s.r.dir("wapt"), stop) }()
	const year = 365 * 24 * time.Hour
	rounds := 0
	for _, d := range []time.Duration{-time.Minute, -3 * time.Hour, 0, -2 * year, time.Hour, -10 * time.Minute, year, 0} {
		for _, how := range []string{"both run", "main starts again", "remote starts again", "both start again", "main killed"} {
			set(d)
			rounds++
			switch how {
			case "main starts again":
				s.m.stop()
				s.m.launch()
			case "remote starts again":
				s.r.stop()
				s.r.start()
			case "both start again":
				s.m.stop()
				s.r.stop()
				s.r.start()
				s.m.launch()
			case "main killed":
				s.m.kill()
				s.m.launch()
			}
			s.change()
			// A certificate is not valid before it was made, nor long after:
			// there remotes wait until the clock is right again.
			if d <= -year || d >= year {
				wait(s.rng, 2000)
				set(0)
			}
			if !poll(time.Minute, pollTreeEvery, func() bool {
				for _, share := range []string{"wapt", "wapt-host"} {
					if diff, err := s.trees.differences(s.m.dir(share), s.r.dir(share)); err != nil || len(diff) > 0 {
						return false
					}
				}
				return true
			}) {
				t.Fatalf("clock by %v, %s: not equal after a minute", d, how)
			}
		}
	}
	// The clock must really be another one, or the test holds nothing.
	set(-2 * year)
	st, err := s.m.status()
	check(t, err)
	if want := fmt.Sprintf(`"time":"%d-`, time.Now().Add(-2*year).Year()); !strings.Contains(strings.ReplaceAll(st.raw, " ", ""), want) {
		t.Errorf("the main's clock was not set: %s", head([]byte(st.raw), 300))
	}
	close(stop)
	if saw := <-seen; len(saw) > 0 {
		t.Errorf("an agent at the remote saw:%s", listed(saw))
	}
	t.Logf("done %d times", rounds)
}
