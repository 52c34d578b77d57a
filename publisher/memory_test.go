package publisher

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func remembering(t *testing.T) func(*Options) {
	file := filepath.Join(t.TempDir(), "state.json")
	return func(o *Options) { o.StateFile = file }
}

func TestHoldByHandSurvivesARestart(t *testing.T) {
	r := newRig(t, remembering(t))
	r.write("a", "a")
	r.startLive()
	must(t, r.Hold("maintenance"))
	r.stopRun()
	r.write("b", "b")
	r.start()
	r.waitFor("the scan to see it", func() bool { return r.Status().ScannedFiles >= 1 })
	if s := r.Status(); s.State != StateHeld || s.Held != "maintenance" || r.events()["b"] != nil {
		t.Errorf("status %+v", s)
	}
	must(t, r.Approve())
	r.converges()
	r.restart(func() {})
}

func TestDamagedStateHoldsTheShare(t *testing.T) {
	r := newRig(t, remembering(t))
	r.write("a", "a")
	must(t, os.WriteFile(r.o.StateFile, []byte(`{"hold":"ma`), 0o600))
	r.start()
	r.waitHeld()
	r.waitFor("the session", func() bool { return r.Approve() == nil })
	r.converges()
	r.restart(func() {})
}

// replaceFolder puts another folder in the share's place, with a copy of n of
// its files in it.
func (r *rig) replaceFolder(n int) {
	r.t.Helper()
	must(r.t, os.Rename(r.dir, r.dir+".away"))
	r.takeOver(0, n)
}

// takeOver copies files of the folder that was replaced to the one in its place.
func (r *rig) takeOver(from, end int) {
	r.t.Helper()
	for i := from; i < end; i++ {
		b, err := os.ReadFile(filepath.Join(r.dir+".away", "dir", fmt.Sprint("f", i)))
		must(r.t, err)
		r.write(fmt.Sprint("dir/f", i), string(b))
	}
}

func TestAnotherFolderAtStartIsHeldOnlyIfItLacksMuch(t *testing.T) {
	for _, c := range []struct {
		name string
		kept int
		held bool
	}{{"all is there", 40, false}, {"little is missing", 38, false}, {"much is missing", 20, true}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, remembering(t))
			r.fill("dir", 40)
			r.startLive()
			r.converges()
			r.stopRun()
			r.replaceFolder(c.kept)
			if !c.held {
				r.startLive()
				r.converges()
				// It is the share's folder from now on: the same loss counts as usual.
				r.restart(func() {
					for i := range 15 {
						must(t, os.Remove(r.path(fmt.Sprint("dir/f", i))))
					}
				})
				r.converges()
				return
			}
			r.start()
			r.waitHeld()
			if s := r.Status(); !strings.Contains(s.Held, "another folder is at") || !strings.Contains(s.Held, "20 of 41") {
				t.Errorf("held because %q", s.Held)
			}
			if n := r.tombstones(); n != 0 {
				t.Errorf("%d tombstones", n)
			}
			must(t, r.Approve())
			r.converges()
			r.restart(func() {})
		})
	}
}
