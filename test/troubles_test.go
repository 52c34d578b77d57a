//go:build linux

package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUnreplicableFileStopsNothing gives a remote a disk that is too small
// for one of the files: the others arrive, the status names the path and the
// cause, and when there is room the file comes by itself. A remote leaves 256
// MiB free unless told otherwise, so the disk is a little larger than that.
func TestUnreplicableFileStopsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	rng := newRandom(t)
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	if err := tool("mount", "-t", "tmpfs", "-o", "size=280m", "small", r.dir("wapt")); err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	t.Cleanup(func() { // before the test's folder goes; the service may still be in it
		if err := tool("umount", "--lazy", r.dir("wapt")); err != nil {
			t.Error(err)
		}
	})
	trees := &comparison{ignore: map[string]bool{"large": true}}
	write(t, rng.data(1_000_000), m.dir("wapt"), "first")
	m.start()
	m.admit(r)
	r.start()
	trees.wait(t, 30*time.Second, m, r)

	write(t, rng.data(40_000_000), m.dir("wapt"), "large")
	r.waitStatus(time.Minute, "reports the file for which there is no room", func(st status) bool {
		for _, p := range st.Shares["wapt"].Problems {
			if p.Path == "large" && strings.Contains(p.Cause, "no space") {
				return true
			}
		}
		return false
	})
	write(t, rng.data(100_000), m.dir("wapt"), "second")
	check(t, os.Remove(filepath.Join(m.dir("wapt"), "first")))
	trees.wait(t, time.Minute, m, r)

	check(t, tool("mount", "-o", "remount,size=400m", r.dir("wapt")))
	waitEqual(t, 2*time.Minute, m, r) // what waits is tried again, at growing distances
	r.waitStatus(time.Minute, "has no problem left", func(st status) bool { return len(st.Shares["wapt"].Problems) == 0 })
}

// TestUnreadableFileStopsNothing runs a main as a user who may not read one of
// the files.
func TestUnreadableFileStopsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("running the main as another user needs root")
	}
	rng := newRandom(t)
	const nobody = 65534
	m, r := newMain(t, "wapt"), newRemote(t, "remote", "wapt")
	m.who = &syscall.Credential{Uid: nobody, Gid: nobody}
	check(t, os.Chmod(filepath.Dir(filepath.Dir(m.data)), 0o755)) // t.TempDir keeps others out
	for dir := m.dir("wapt"); dir != "/"; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm()&0o005 != 0o005 {
			t.Skipf("another user cannot reach %s", dir)
		}
	}
	makeDirs(t, m.data)
	check(t, os.Chown(m.data, nobody, nobody))
	check(t, os.Chmod(m.data, 0o700))
	write(t, rng.data(1000), m.dir("wapt"), "readable")
	secret := write(t, rng.data(1000), m.dir("wapt"), "secret")
	check(t, os.Chmod(secret, 0o600))
	m.start()
	m.admit(r)
	r.start()
	trees := &comparison{ignore: map[string]bool{"secret": true}}
	trees.wait(t, 30*time.Second, m, r)
	write(t, rng.data(1000), m.dir("wapt"), "another")
	trees.wait(t, 30*time.Second, m, r)
	m.waitStatus(30*time.Second, "reports the unreadable file", func(st status) bool {
		return strings.Contains(st.raw, `"secret"`) && strings.Contains(st.raw, "permission denied")
	})
	check(t, os.Chmod(secret, 0o644))
	waitEqual(t, 30*time.Second, m, r)
}

// TestEmptiedMainIsHeld takes a main's folder away, as a lost mount would: the
// remotes keep what they have, also when the main starts again without it.
func TestEmptiedMainIsHeld(t *testing.T) {
	rng := newRandom(t)
	m, r := pair(t, "wapt-host")
	dir := m.dir("wapt-host")
	repo := newRepository(t, rng, "", dir)
	repo.addHosts(scaled(200, 500, 5000))
	waitEqual(t, time.Minute, m, r)
	want, err := readTree(r.dir("wapt-host"))
	check(t, err)
	away := dir + ".away"
	keeps := func(t *testing.T) {
		t.Helper()
		waitQuiet(t, 3*time.Second, time.Minute, r.dir("wapt-host"))
		got, err := readTree(r.dir("wapt-host"))
		check(t, err)
		if d := (&comparison{}).differ(want, got); len(d) > 0 {
			t.Errorf("the remote lost what the main had:%s", listed(d))
		}
	}
	restart := func() { // a main may also refuse to run without its folder
		if m.proc.running() {
			m.stop()
		}
		m.proc = nil
		m.launch()
	}
	for name, makeEmpty := range map[string]bool{"empty": true, "missing": false} {
		t.Run(name, func(t *testing.T) {
			check(t, os.Rename(dir, away))
			if makeEmpty {
				makeDirs(t, dir)
			}
			keeps(t)
			restart()
			keeps(t)
			if makeEmpty {
				check(t, os.Remove(dir))
			}
			check(t, os.Rename(away, dir))
			restart()
			waitEqual(t, time.Minute, m, r)
		})
	}
	repo.addHosts(5)
	waitEqual(t, time.Minute, m, r)
}
