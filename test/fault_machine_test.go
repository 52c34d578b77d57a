//go:build linux

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waptsync/bench/link"
)

// through starts a service by another program, which must end as the service
// itself (exec): its process is then the service's.
func through(t *testing.T, start func(), prefix ...string) {
	t.Helper()
	script := write(t, fmt.Appendf(nil, "#!/bin/sh\nexec %s %s \"$@\"\n", strings.Join(prefix, " "), lab.binary), t.TempDir(), "through")
	check(t, os.Chmod(script, 0o755))
	plain := lab.binary
	lab.binary = script
	defer func() { lab.binary = plain }()
	start()
}

// TestFewFileDescriptors runs both sides with few file descriptors: what
// cannot be opened waits, nothing is lost, and with more of them all is well.
func TestFewFileDescriptors(t *testing.T) {
	if _, err := exec.LookPath("prlimit"); err != nil {
		t.Skip(err)
	}
	for _, limit := range []int{256, 64, 40}[:scaled(2, 2, 3)] {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			s := stock(t)
			t.Cleanup(func() {
				if t.Failed() {
					st, err := s.r.status()
					t.Logf("the remote's status: %v: %s", err, st.raw)
				}
			})
			few := []string{"prlimit", fmt.Sprintf("--nofile=%d:%d", limit, limit)}
			s.m.stop()
			s.r.stop()
			through(t, s.m.launch, few...)
			through(t, s.r.start, few...)
			stop, seen := make(chan struct{}), make(chan []string, 1)
			go func() { seen <- watchIndex(s.r.dir("wapt"), stop) }()
			for range 10 {
				s.change()
			}
			equal := poll(5*time.Second, pollTreeEvery, func() bool {
				for _, share := range []string{"wapt", "wapt-host"} {
					if d, err := s.trees.differences(s.m.dir(share), s.r.dir(share)); err != nil || len(d) > 0 {
						return false
					}
				}
				return true
			})
			t.Logf("with %d file descriptors: equal: %v", limit, equal)
			for _, h := range []*host{&s.m.host, &s.r.host} {
				if h.proc.running() {
					h.stop()
				} else {
					t.Logf("%s did not run: %v", h.name, h.proc.outcome())
					h.proc = nil
				}
			}
			s.m.launch()
			s.r.start()
			s.equal()
			close(stop)
			if saw := <-seen; len(saw) > 0 {
				t.Errorf("an agent at the remote saw:%s", listed(saw))
			}
		})
	}
}

// TestFewWatches runs a main that may watch a few folders only, as where
// fs.inotify.max_user_watches is small: it says so and scans what it cannot watch.
func TestFewWatches(t *testing.T) {
	// In a user namespace the limit is ours alone, not the machine's.
	const limit = "echo 5 > /proc/sys/user/max_inotify_watches"
	own := []string{"unshare", "--user", "--map-root-user"}
	if out, err := exec.Command(own[0], append(own[1:], "sh", "-c", limit)...).CombinedOutput(); err != nil {
		t.Skipf("no user namespace with a limit of its own: %v: %s", err, out)
	}
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	for i := range 30 {
		makeDirs(t, filepath.Join(m.dir("wapt"), fmt.Sprintf("folder%02d", i)))
		write(t, rng.data(1000), m.dir("wapt"), fmt.Sprintf("folder%02d", i), "file")
	}
	script := write(t, []byte("#!/bin/sh\n"+limit+" && exec \"$@\"\n"), t.TempDir(), "limited")
	check(t, os.Chmod(script, 0o755))
	through(t, m.launch, append(own, script)...)
	m.waitStatus(readyWithin, "says that it cannot watch all", func(st status) bool {
		return strings.Contains(st.raw, "max_user_watches") || strings.Contains(st.raw, `"watch":"scan"`) || strings.Contains(st.raw, `"watch": "scan"`)
	})
	m.admit(r)
	r.start()
	waitEqual(t, time.Minute, m, r)
	for i := range 30 {
		write(t, rng.data(1000), m.dir("wapt"), fmt.Sprintf("folder%02d", i), "later")
	}
	t.Logf("changes in 30 folders with 5 watches came in %v", waitEqual(t, 2*time.Minute, m, r).Round(time.Second))
}

// TestBadLink follows a main over 1 Mbit/s, and over 300 ms with 5 % loss.
func TestBadLink(t *testing.T) {
	lab.net.needNamespaces(t)
	t.Run("1 Mbit/s", func(t *testing.T) {
		s := stock(t)
		lab.net.rate(t, 1)
		s.change()
		t.Logf("followed in %v", s.trees.wait(t, 2*time.Minute, s.m, s.r).Round(time.Millisecond))
	})
	t.Run("300 ms and 5 % loss", func(t *testing.T) {
		if _, err := os.Stat(link.TunDevice); err != nil {
			t.Skip(err)
		}
		s := stock(t)
		good := lab.net.badLine(t, s.rng, 150*time.Millisecond, 0.05)
		s.change()
		t.Logf("followed in %v", s.trees.wait(t, 2*time.Minute, s.m, s.r).Round(time.Millisecond))
		s.r.kill()
		s.change()
		s.r.start()
		t.Logf("caught up in %v", s.trees.wait(t, 2*time.Minute, s.m, s.r).Round(time.Millisecond))
		good()
	})
}
