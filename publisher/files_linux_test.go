package publisher

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const outOfFiles = "WAPTSYNC_TEST_OUT_OF_FILES"

// TestOutOfFileDescriptors runs itself in a process of its own, whose limit it
// then lowers to what is open.
func TestOutOfFileDescriptors(t *testing.T) {
	if os.Getenv(outOfFiles) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), outOfFiles+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	r := newRig(t)
	r.write("a", "a")
	r.startLive()
	r.converges()
	// What happens from here on needs no descriptor of the test's own.
	aside := filepath.Join(filepath.Dir(r.dir), "aside")
	must(t, os.Mkdir(aside, 0o755))
	must(t, os.WriteFile(filepath.Join(aside, "f"), []byte("f"), 0o644))
	must(t, os.Mkdir(filepath.Join(aside, "dir"), 0o755))
	must(t, os.WriteFile(filepath.Join(aside, "dir", "g"), []byte("g"), 0o644))

	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
	must(t, os.Rename(filepath.Join(aside, "f"), r.path("f")))
	must(t, os.Rename(filepath.Join(aside, "dir"), r.path("dir")))
	r.waitFor("the problem to be shown", func() bool {
		for _, p := range r.Status().Problems {
			if p.Path == "f" && strings.Contains(p.Hint, "LimitNOFILE") {
				return true
			}
		}
		return false
	})
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	r.converges()
	r.waitFor("the problems to go", func() bool { return r.Status().Errors == 0 })
}
