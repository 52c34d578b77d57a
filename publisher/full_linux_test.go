package publisher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waptsync/bus"
	"waptsync/objects"
)

// fillDisk takes all space of the file system at dir and returns how to give it back.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	must(t, err)
	chunk := make([]byte, 1<<20)
	for size := len(chunk); size > 0; {
		if _, err := f.Write(chunk[:size]); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else {
			must(t, err)
		}
	}
	must(t, f.Close())
	return func() { must(t, os.Remove(name)) }
}

// TestFullStoreIsShownAndRecovers has the bus's store on a small disk of its own.
func TestFullStoreIsShownAndRecovers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a tmpfs needs root")
	}
	for _, sticky := range []bool{false, true} {
		t.Run(map[bool]string{false: "batch refused", true: "stream broken"}[sticky], func(t *testing.T) {
			disk := t.TempDir()
			if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=128m"); err != nil {
				t.Skipf("mounting a tmpfs: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
			testFullStore(t, disk, sticky)
		})
	}
}

func testFullStore(t *testing.T, disk string, sticky bool) {
	m := newMainRig(t, filepath.Join(disk, "store"))
	m.write("a", "one")
	m.begin()
	m.live()
	m.converges()
	was := m.log.Generation()

	free := fillDisk(t, disk)
	m.fill("dir", 30)
	// Single events are what the server breaks a stream with; a batch it refuses.
	broken := func() bool { return errors.Is(m.log.Check(t.Context()), bus.ErrLogBroken) }
	if sticky {
		m.waitFor("the stream to break", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, _ = m.log.Append(ctx, []*bus.Event{{Kind: bus.KindDir, Path: "dir", Mode: 0o755}})
			return broken()
		})
	}
	n := 0
	m.waitFor("the problem to be shown", func() bool {
		n++
		m.write(fmt.Sprint("more", n), "x") // until the last block is full
		for _, p := range m.Status().Problems {
			if p.Path == logProblem && strings.Contains(p.Cause, "full") && strings.Contains(p.Hint, "room") {
				return sticky || p.Op == "append"
			}
		}
		return false
	})
	// What is published is served all the same.
	r, err := m.Open("a", objects.Sum([]byte("one")).Short())
	must(t, err)
	must(t, r.Close())
	sticky = sticky || broken()

	free()
	m.waitFor("the problem to go", func() bool {
		return m.Status().Errors == 0 && m.Status().State == StateLive && (!sticky || m.Status().Generation != was)
	})
	m.most = 0
	m.converges()

	// The window takes objects again, once it has rested.
	deadline := time.Now().Add(2 * patience)
	for i := 0; ; i++ {
		p := fmt.Sprint("later", i)
		m.write(p, string(noise(1000+i, 20_000)))
		m.waitFor("the event", func() bool { return m.events()[p] != nil })
		if m.events()[p].InWindow {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the window takes no objects any more")
		}
	}
	m.converges()
	m.stop()
	m.begin()
	m.live()
	m.converges()
}
