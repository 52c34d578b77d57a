package publisher

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waptsync/bus"
)

func (r *rig) tombstones() int {
	r.t.Helper()
	n := 0
	for _, e := range r.events() {
		if e.Kind == bus.KindDeleted {
			n++
		}
	}
	return n
}

func (r *rig) fill(dir string, n int) {
	r.t.Helper()
	for i := range n {
		r.write(filepath.Join(dir, fmt.Sprint("f", i)), fmt.Sprint("content ", i))
	}
}

func (r *rig) waitHeld() {
	r.t.Helper()
	r.waitFor("the share to be held", func() bool { return r.Status().State == StateHeld })
}

func TestMassDeletionIsHeldUntilApproved(t *testing.T) {
	for _, live := range []bool{true, false} {
		t.Run(map[bool]string{true: "live", false: "while stopped"}[live], func(t *testing.T) {
			r := newRig(t)
			r.fill("doomed", 150)
			r.fill("kept", 50)
			r.startLive()
			r.converges()
			if live {
				must(t, os.RemoveAll(r.path("doomed")))
			} else {
				r.stopRun()
				must(t, os.RemoveAll(r.path("doomed")))
				r.start()
			}
			r.waitHeld()
			r.write("kept/new", "waits too")
			r.Rescan()
			if n := r.tombstones(); n != 0 {
				t.Errorf("%d tombstones", n)
			}
			if r.events()["kept/new"] != nil {
				t.Error("a new file was published while held")
			}
			must(t, r.Approve())
			r.converges()
			if n := r.tombstones(); n != 151 {
				t.Errorf("%d tombstones, want 151", n)
			}
			r.waitFor("live", func() bool { return r.Status().State == StateLive })
			if err := r.Approve(); err == nil {
				t.Error("approved what was not held")
			}
		})
	}
}

func TestSlowMassDeletionIsHeldToo(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Hold = HoldLimit{Paths: 10, Share: 0.2} })
	r.fill("dir", 100)
	r.startLive()
	r.converges()
	for i := range 60 {
		if r.Status().State == StateHeld {
			break
		}
		must(t, os.Remove(r.path(fmt.Sprint("dir/f", i))))
		r.waitFor("the deletion, or a hold", func() bool {
			return r.Status().State == StateHeld || r.tombstones() > i
		})
	}
	r.waitHeld()
	if n := r.tombstones(); n > 21 {
		t.Errorf("%d tombstones before the hold", n)
	}
}

func TestHoldEndsWhenWhatVanishedIsBack(t *testing.T) {
	r := newRig(t)
	r.fill("dir", 150)
	r.startLive()
	r.converges()
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.Rename(r.path("dir"), away))
	r.waitHeld()
	must(t, os.Rename(away, r.path("dir")))
	r.waitFor("live", func() bool { return r.Status().State == StateLive })
	r.converges()
	if n := r.tombstones(); n != 0 {
		t.Errorf("%d tombstones", n)
	}
}

func TestRenamedFolderIsNoMassDeletion(t *testing.T) {
	for _, live := range []bool{true, false} {
		t.Run(map[bool]string{true: "live", false: "while stopped"}[live], func(t *testing.T) {
			// In this time the new names have to be found, on a busy machine too.
			r := newRig(t, func(o *Options) { o.DeleteDelay = 3 * time.Second })
			r.fill("dir", 150)
			r.startLive()
			r.converges()
			rename := func() { must(t, os.Rename(r.path("dir"), r.path("moved"))) }
			if live {
				rename()
			} else {
				r.restart(rename)
			}
			r.converges()
		})
	}
}

func TestMissingFolderIsHeld(t *testing.T) {
	t.Run("while it runs", func(t *testing.T) {
		r := newRig(t)
		r.fill("dir", 5)
		r.startLive()
		r.converges()
		must(t, os.Rename(r.dir, r.dir+".away"))
		r.waitHeld()
		if err := r.Approve(); err == nil {
			t.Error("a missing folder was approved")
		}
		must(t, os.Rename(r.dir+".away", r.dir))
		r.waitFor("live", func() bool { return r.Status().State == StateLive })
		r.write("dir/new", "new")
		r.converges()
		if n := r.tombstones(); n != 0 {
			t.Errorf("%d tombstones", n)
		}
	})
	t.Run("at start", func(t *testing.T) {
		r := newRig(t)
		r.fill("dir", 5)
		r.startLive()
		r.converges()
		r.stopRun()
		must(t, os.Rename(r.dir, r.dir+".away"))
		r.start()
		r.waitHeld()
		must(t, os.Rename(r.dir+".away", r.dir))
		r.converges()
		if n := r.tombstones(); n != 0 {
			t.Errorf("%d tombstones", n)
		}
	})
}

func TestEmptyFolderIsHeld(t *testing.T) {
	empty := func(r *rig) {
		must(r.t, os.Rename(r.dir, r.dir+".away"))
		must(r.t, os.Mkdir(r.dir, 0o755))
	}
	t.Run("in its place while it runs", func(t *testing.T) {
		r := newRig(t)
		r.fill("dir", 5)
		r.startLive()
		r.converges()
		empty(r)
		r.waitHeld()
		if n := r.tombstones(); n != 0 {
			t.Errorf("%d tombstones", n)
		}
		must(t, r.Approve())
		r.converges()
		if n := r.tombstones(); n != 6 {
			t.Errorf("%d tombstones, want 6", n)
		}
	})
	t.Run("at start", func(t *testing.T) {
		r := newRig(t)
		r.fill("dir", 5)
		r.startLive()
		r.converges()
		r.stopRun()
		empty(r)
		r.start()
		r.waitHeld()
		if n := r.tombstones(); n != 0 {
			t.Errorf("%d tombstones", n)
		}
		must(t, r.Approve())
		r.converges()
	})
}

func TestHoldByHandKeepsEverythingBack(t *testing.T) {
	r := newRig(t)
	r.write("a", "a")
	r.startLive()
	must(t, r.Hold("maintenance"))
	r.waitFor("the reason", func() bool { return r.Status().Held == "maintenance" })
	r.write("b", "b")
	r.Rescan()
	r.waitFor("the scan to see it", func() bool { return r.Status().ScannedFiles >= 1 })
	if r.events()["b"] != nil {
		t.Error("published while held")
	}
	must(t, r.Approve())
	r.converges()
}
