package subscriber

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"waptsync/bus"
)

func TestIndexWaitsForWhatStandsBeforeItAndDeletionsForTheIndex(t *testing.T) {
	m := startMain(t)
	m.write("app_1.wapt", random(1000))
	m.write("Packages", []byte("names app_1"))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	gate := make(chan struct{})
	asked := make(chan struct{}, 1000)
	r.faults.onFetch(func(items []bus.Item) error {
		for _, it := range items {
			if it.Path == "large_2.wapt" {
				asked <- struct{}{}
				<-gate
			}
		}
		return nil
	})
	m.write("large_2.wapt", random(3<<20))
	m.write("app_2.wapt", random(1000))
	must(t, os.Remove(filepath.Join(m.dir, "app_1.wapt")))
	m.publish("large_2.wapt", "app_2.wapt", "app_1.wapt")
	m.put("Packages", []byte("names app_2 and large_2"))
	m.put("behind", []byte("behind"))
	<-asked
	r.has("app_2.wapt", m.read("app_2.wapt"))
	r.has("behind", []byte("behind"))
	if b, _ := os.ReadFile(r.path("Packages")); string(b) != "names app_1" {
		t.Errorf("the index is %q while a file before it is missing", b)
	}
	if _, err := os.Stat(r.path("app_1.wapt")); err != nil {
		t.Error("a file that the visible index names was deleted")
	}
	close(gate)
	r.reached()
	r.same()
}

func TestIndexIsAheadOfNothingAtAnyMoment(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	done := make(chan struct{})
	seen := make(chan string, 1)
	go func() { // a reader that looks all the time
		defer close(seen)
		for {
			select {
			case <-done:
				return
			default:
			}
			b, err := os.ReadFile(r.path("Packages"))
			if err != nil || len(b) == 0 {
				continue
			}
			if _, err := os.Stat(r.path(string(b))); err != nil {
				// The index may have been replaced between the two looks.
				if now, _ := os.ReadFile(r.path("Packages")); string(now) == string(b) {
					seen <- sprint("%q is named and missing", b)
					return
				}
			}
		}
	}()
	const kept = 4 // versions: what the index names is still at the main when it is fetched
	for i := range 40 {
		if i%kept == 0 {
			r.reached()
		}
		name := sprint("pkg_%d.wapt", i)
		m.write(name, random(20_000+i*5000))
		m.write("Packages", []byte(name))
		paths := []string{name, "Packages"}
		if old := sprint("pkg_%d.wapt", i-kept); i >= kept {
			must(t, os.Remove(filepath.Join(m.dir, old)))
			paths = append(paths, old)
		}
		m.publish(paths...)
	}
	r.reached()
	close(done)
	if why := <-seen; why != "" {
		t.Error(why)
	}
	r.same()
}

// One slow file must not keep the bus from delivering: its event moves to the
// waiting bucket, and is not lost with a restart.
func TestSlowFileIsOvertaken(t *testing.T) {
	if testing.Short() {
		t.Skip("needs many events")
	}
	m := startMain(t)
	m.mark()
	r := newRemote(t, m, "colmar")
	gate := make(chan struct{})
	r.faults.onFetch(func(items []bus.Item) error {
		for _, it := range items {
			if it.Path == "slow" {
				<-gate
			}
		}
		return nil
	})
	r.start()
	r.reached()
	slow := m.put("slow", random(3<<20))
	events := make([]*bus.Event, 0, 1000)
	for i := range 2*maxUnresolved + 4000 {
		events = append(events, &bus.Event{Kind: bus.KindDir, Path: sprint("d%d", i%1000), Mode: 0o755, MTime: int64(i)})
		if len(events) == cap(events) {
			m.append(events...)
			events = events[:0]
		}
		_ = slow
	}
	m.append(append(events, m.event("slow2"))...)
	waitFor(t, time.Minute, func() string {
		if rep := r.r.Report(); rep.Seq <= slow {
			return sprint("the position stands at %d, before the slow file's %d", rep.Seq, slow)
		}
		return ""
	})
	r.faults.onFetch(nil)
	r.cancel()
	close(gate)
	r.stop()
	r.start()
	r.has("slow", m.read("slow"))
}

// A superseded item that had brought a content for others too must not leave
// them waiting for it.
func TestContentWantedElsewhereOutlivesASupersededFile(t *testing.T) {
	m := startMain(t)
	m.mark()
	r := newRemote(t, m, "colmar")
	gate := make(chan struct{})
	asked := make(chan struct{}, 1000)
	r.faults.onFetch(func(items []bus.Item) error {
		for _, it := range items {
			if it.Path == "slow" {
				asked <- struct{}{}
				<-gate
			}
		}
		return nil
	})
	r.start()
	r.reached()
	b := random(2 << 20)
	m.put("slow", random(2<<20))
	<-asked
	m.put("Packages", b) // staged, and held by slow
	waitFor(t, 10*time.Second, func() string {
		if got := r.r.Report().Received; got < int64(len(b)) {
			return sprint("%d bytes came", got)
		}
		return ""
	})
	m.put("copy", b)
	m.put("Packages", []byte("another"))
	r.has("copy", b)
	close(gate)
	r.reached()
	r.same()
}

func TestStageThatIsDeletedIsMadeAgain(t *testing.T) {
	m := startMain(t)
	m.put("a", random(100))
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	must(t, os.RemoveAll(filepath.Join(r.dir, hidden, stageName)))
	m.put("b", random(200)) // new, so it may need no stage: XFS and btrfs make files without a name in a folder that is gone
	m.put("c", random(300_000))
	m.put("a", random(200))
	r.reached()
	r.same()
}
