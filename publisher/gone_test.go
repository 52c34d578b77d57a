package publisher

import (
	"os"
	"testing"

	"waptsync/bus"
)

// A remote makes a new version from the old one, so the old one's tombstone must
// not overtake it, however long the new one takes to be written and read.
func TestOldVersionGoesAfterTheNewOneCame(t *testing.T) {
	r := newRig(t)
	r.write("sub/pkg_1.wapt", "old")
	r.write("sub/other_1.wapt", "other")
	r.startLive()

	f, err := os.Create(r.path("sub/pkg_2.wapt"))
	must(t, err)
	_, err = f.WriteString("new")
	must(t, err)
	r.write("seen", "") // the watch tells of it behind the new version
	r.waitFor("the new version to be seen", func() bool { return r.events()["seen"] != nil })
	must(t, os.Remove(r.path("sub/pkg_1.wapt")))
	must(t, os.Remove(r.path("sub/other_1.wapt")))
	r.waitFor("another package to be deleted", func() bool { return r.events()["sub/other_1.wapt"].Kind == bus.KindDeleted })
	if e := r.events()["sub/pkg_1.wapt"]; e.Kind == bus.KindDeleted {
		t.Fatal("the old version went while the new one was written")
	}
	must(t, f.Close())
	r.converges()

	var came, went uint64
	must(t, r.log.Replay(t.Context(), func(seq uint64, e *bus.Event) error {
		switch {
		case e.Path == "sub/pkg_2.wapt":
			came = seq
		case e.Path == "sub/pkg_1.wapt" && e.Kind == bus.KindDeleted:
			went = seq
		}
		return nil
	}))
	if came == 0 || went < came {
		t.Errorf("the new version is event %d, the old one's end event %d", came, went)
	}
}
