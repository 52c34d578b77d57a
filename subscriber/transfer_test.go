package subscriber

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

func TestInterruptedTransferGoesOnWhereItStood(t *testing.T) {
	const size = 24 << 20
	m := startMain(t)
	m.put("big.wapt", random(size))
	r := newRemote(t, m, "colmar")
	had := r.interrupted(size/2, size/4)
	if got, rest := r.r.Report().Received, size-had; got > rest*12/10 {
		t.Errorf("%d bytes came where %d were missing", got, rest)
	}
}

// cutAfter lets no more than so many bytes be asked for, and tells when.
func cutAfter(r *testRemote, most int64) (cut chan struct{}) {
	cut = make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	r.faults.onFetch(func(items []bus.Item) error {
		mu.Lock()
		defer mu.Unlock()
		for _, it := range items {
			if !it.Manifest {
				most -= it.Length
			}
		}
		if most < 0 {
			once.Do(func() { close(cut) })
			return errors.New("cut by the test")
		}
		return nil
	})
	return cut
}

// interrupted lets a transfer end when so many bytes were asked for and some of what
// was under way has come, and lets it go on to its end. It returns what had come.
func (r *testRemote) interrupted(asked, came int64) (had int64) {
	r.t.Helper()
	cut := cutAfter(r, asked)
	r.start()
	<-cut
	waitFor(r.t, 10*time.Second, func() string {
		if got := r.r.Report().Received; got < came {
			return sprint("%d bytes came", got)
		}
		return ""
	})
	r.stop()
	had = r.r.Report().Received
	r.faults.onFetch(nil)
	r.start()
	r.reached()
	r.same()
	return had
}

func TestTransferThatBreaksIsTriedAgain(t *testing.T) {
	m := startMain(t)
	m.write("big.wapt", random(8<<20))
	m.write("small.wapt", random(3000))
	m.publishAll()
	r := newRemote(t, m, "colmar")
	var n atomic.Int32
	r.faults.onFetch(func([]bus.Item) error {
		if n.Add(1) <= 3 {
			return bus.ErrInterrupted
		}
		return nil
	})
	r.start()
	r.reached()
	r.same()
	if rep := r.r.Report(); rep.Errors != 0 {
		t.Errorf("a broken line is taken for a broken file: %+v", rep)
	}
}

func TestRenameCostsNoContentBytes(t *testing.T) {
	for _, size := range []int{2000, 200_000, 5 << 20} {
		t.Run(sprint("%d bytes", size), func(t *testing.T) {
			m := startMain(t)
			m.put("old.wapt", random(size))
			r := newRemote(t, m, "colmar")
			r.start()
			r.reached()
			before := r.r.Report().Received
			must(t, os.Rename(filepath.Join(m.dir, "old.wapt"), filepath.Join(m.dir, "new.wapt")))
			e := m.event("new.wapt")
			e.From = "old.wapt"
			m.append(e, m.event("old.wapt"))
			r.reached()
			r.same()
			if got := r.r.Report().Received - before; got != 0 {
				t.Errorf("%d bytes came over the wire", got)
			}
		})
	}
}

func TestSameContentTravelsOnce(t *testing.T) {
	const size = 4 << 20
	m := startMain(t)
	b := random(size)
	for _, p := range []string{"one", "two", "three", "four"} {
		m.write(p, b)
	}
	m.publishAll()
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.same()
	if got := r.r.Report().Received; got > size {
		t.Errorf("%d bytes came for a content of %d", got, size)
	}
}

func TestNextVersionReusesObjects(t *testing.T) {
	const size = 6 << 20
	for _, c := range []struct{ name, old, next string }{
		{"under the same name", "waptagent.exe", "waptagent.exe"},
		{"of a package", "tis-app_1_aaaa.wapt", "tis-app_2_bbbb.wapt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := startMain(t)
			b := random(size)
			m.put(c.old, b)
			r := newRemote(t, m, "colmar")
			r.start()
			r.reached()
			before := r.r.Report()
			next := bytes.Join([][]byte{b[:size/3], random(100_000), b[size/3:]}, nil)
			if c.next != c.old {
				must(t, os.Remove(filepath.Join(m.dir, c.old)))
			}
			m.write(c.next, next)
			m.publish(c.next, c.old)
			r.reached()
			r.same()
			rep := r.r.Report()
			if got := rep.Received - before.Received; got > 100_000+4*bus.KnownBlock {
				t.Errorf("%d bytes came for 100,000 new ones", got)
			}
			if got := rep.Reused - before.Reused; got < size*9/10 {
				t.Errorf("only %d bytes were reused", got)
			}
		})
	}
}

// A content that an event names and the main's files are not any more comes from
// the window, of one object and of several.
func TestWindowGivesWhatTheMainsFileIsNoMore(t *testing.T) {
	m := startMain(t)
	want := map[string][]byte{"live.wapt": random(900_000), "large.wapt": random(5 << 20), "tiny": random(900)}
	for p, content := range want {
		m.write(p, content)
		m.offer(p)
		e := m.event(p)
		e.InWindow = true
		m.append(e)
		m.write(p, append([]byte("overwritten"), content...))
		m.event(p) // the main knows, and the event of it is still to come
	}
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	for p, content := range want {
		r.has(p, content)
	}
	if got := m.files.served.Load(); got != 0 {
		t.Errorf("%d bytes were read from the main's files", got)
	}
}

func TestWindowThatForgotIsMadeUpFor(t *testing.T) {
	m := startMain(t)
	m.write("live.wapt", random(900_000))
	m.write("tiny", random(900))
	for _, p := range []string{"live.wapt", "tiny"} {
		e := m.event(p)
		e.InWindow = true
		m.append(e)
	}
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.same()
}

func TestSparseFileTravelsWithoutItsHoles(t *testing.T) {
	m := startMain(t)
	f, err := os.Create(filepath.Join(m.dir, "disk.img"))
	must(t, err)
	must(t, f.Truncate(80<<20))
	_, err = f.WriteAt(random(1<<20), 40<<20)
	must(t, err)
	must(t, f.Close())
	m.publish("disk.img")
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.same()
	if got := r.r.Report().Received; got > 3<<20 {
		t.Errorf("%d bytes came for 1 MiB in a hole", got)
	}
}

func TestContentThatIsGoneWaitsForTheNewerEvent(t *testing.T) {
	m := startMain(t)
	m.write("f", random(200_000))
	e := m.event("f")
	m.write("f", random(200_001))
	m.files.describe(t, "f") // the main's file changed before anybody fetched
	m.append(e)
	m.put("other", []byte("other"))
	r := newRemote(t, m, "colmar")
	r.start()
	r.has("other", []byte("other"))
	r.problem("f", "other content")
	m.publish("f")
	r.reached()
	r.same()
	if rep := r.r.Report(); rep.Errors != 0 || len(rep.Problems) != 0 {
		t.Errorf("the problem stays: %+v", rep)
	}
}

func TestSupersededTransferIsDropped(t *testing.T) {
	m := startMain(t)
	m.put("big", random(16<<20))
	r := newRemote(t, m, "colmar")
	held := make(chan struct{})
	ctx, release := context.WithCancel(context.Background())
	defer release()
	var once sync.Once
	r.faults.onFetch(func(items []bus.Item) error {
		if !items[0].Manifest {
			once.Do(func() {
				close(held)
				<-ctx.Done()
			})
		}
		return nil
	})
	r.start()
	<-held
	want := random(100)
	m.put("big", want)
	waitFor(t, 10*time.Second, func() string {
		if r.r.Report().LagEvents > 1 {
			return "the newer event was not seen"
		}
		return ""
	})
	release()
	r.has("big", want)
	r.reached()
	r.same()
}

// Contents of many GiB have objects that are larger than a request may be.
func TestObjectLargerThanARequestIsFetchedInParts(t *testing.T) {
	m := startMain(t)
	m.files.params = &objects.Params{Min: 1 << 20, Avg: 2 << 20, Max: 8 << 20}
	b := bytes.Repeat([]byte{1}, 20<<20) // one byte over and over has no boundary
	copy(b[9<<20:], random(100))
	m.put("huge", b)
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	r.same()
}
