package publisher

import (
	"os"
	"testing"
)

// away takes the share's folder from its place and puts another there, as an
// unmounted disk leaves its mount point; strangers are the files in that.
func (r *rig) away(strangers ...string) {
	r.t.Helper()
	must(r.t, os.Rename(r.dir, r.dir+".away"))
	must(r.t, os.Mkdir(r.dir, 0o755))
	for _, p := range strangers {
		r.write(p, "a stranger")
	}
}

func (r *rig) back() {
	r.t.Helper()
	must(r.t, os.RemoveAll(r.dir))
	must(r.t, os.Rename(r.dir+".away", r.dir))
}

// goesOn fails the test unless the share is published again, all of it and by
// watch events too, and nothing was deleted meanwhile.
func (r *rig) goesOn(what string) {
	r.t.Helper()
	r.waitFor("the share to go on after "+what, func() bool { return r.Status().State == StateLive })
	r.write("dir/after", "after "+what)
	r.write("dir/sub/after", "after "+what)
	r.converges()
	if n := r.tombstones(); n != 0 {
		r.t.Errorf("%d tombstones after %s", n, what)
	}
}

func TestReturnedFolderGoesOnByItself(t *testing.T) {
	for _, c := range []struct {
		name      string
		strangers []string
	}{{"empty in between", nil}, {"strangers in between", []string{"stranger", "dir/f0", "lost+found/x"}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			r := newRig(t, remembering(t))
			r.fill("dir", 20)
			r.startLive()
			r.converges()
			r.away(c.strangers...)
			r.waitHeld()
			r.back()
			r.goesOn("its folder was away")

			r.stopRun()
			r.away(c.strangers...)
			r.start()
			r.waitHeld()
			r.back()
			r.goesOn("a start without its folder")
			if e := r.events()["stranger"]; e != nil {
				t.Error("a file of the folder in between was published")
			}
		})
	}
}

// A disk that is mounted anew may have another device number, and a backup has
// other inodes: it is the content that counts, and is looked at before anything
// of it is published.
func TestReplacedFolderGoesOnIfItLacksLittle(t *testing.T) {
	for _, c := range []struct {
		name string
		kept int
		held bool
	}{{"all is there", 40, false}, {"little is missing", 38, false}, {"much is missing", 20, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			r := newRig(t, remembering(t))
			r.fill("dir", 40)
			r.startLive()
			r.converges()
			r.replaceFolder(c.kept)
			r.write("dir/new", "new")
			if !c.held {
				r.converges()
				return
			}
			r.waitHeld()
			r.Rescan()
			r.waitFor("the reason", func() bool { return r.Status().Held != "" })
			if r.events()["dir/new"] != nil || r.tombstones() != 0 {
				t.Error("something of a folder that lacks much was published")
			}
			r.takeOver(c.kept, 40) // the restoring goes on
			r.converges()
		})
	}
}
