package publisher

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"waptsync/bus"
	"waptsync/objects"
)

func TestSpecialFilesAreSkippedAndReported(t *testing.T) {
	r := newRig(t)
	r.write("dir/ok", "ok")
	made := func(name string, mode uint32, dev uint64) bool {
		return unix.Mknod(r.path(name), mode|0o666, int(dev)) == nil
	}
	var odd []string
	for _, dir := range []string{"", "dir/"} {
		must(t, unix.Mkfifo(r.path(dir+"fifo"), 0o666))
		odd = append(odd, dir+"fifo")
		if !made(dir+"sock", unix.S_IFSOCK, 0) {
			t.Fatal("no socket can be made")
		}
		odd = append(odd, dir+"sock")
		// A container may forbid devices: the null device, and a disk that is none.
		if made(dir+"null", unix.S_IFCHR, unix.Mkdev(1, 3)) {
			odd = append(odd, dir+"null")
		}
		if made(dir+"disk", unix.S_IFBLK, unix.Mkdev(240, 99)) {
			odd = append(odd, dir+"disk")
		}
	}
	r.startLive()
	r.converges(odd...)
	must(t, unix.Mkfifo(r.path("later"), 0o666)) // and not by a scan alone
	odd = append(odd, "later")
	r.waitFor("all to be reported", func() bool {
		s := r.Status()
		return s.Skipped == len(odd) && s.Errors == 0 && s.Problems[0].Cause == errSpecial.Error()
	})
	r.converges(odd...)
}

// spy sees all that leaves the publisher.
type spy struct {
	EventLog
	ObjectWindow
	mu      sync.Mutex
	events  []bus.Event
	secret  []byte // what must not
	objects int
	leaked  int // objects of secret
}

func (s *spy) Append(ctx context.Context, events []*bus.Event) (uint64, error) {
	s.mu.Lock()
	for _, e := range events {
		s.events = append(s.events, *e)
	}
	s.mu.Unlock()
	return s.EventLog.Append(ctx, events)
}

func (s *spy) Put(ctx context.Context, id objects.ID, data []byte) error {
	s.mu.Lock()
	s.objects++
	if bytes.Contains(s.secret, data) {
		s.leaked++
	}
	s.mu.Unlock()
	return s.ObjectWindow.Put(ctx, id, data)
}

// A folder is swapped for a link out while what is in it is scanned, hashed and
// fetched. What lies outside has the same names, sizes and times.
func TestFolderSwappedForALinkGivesNothingAway(t *testing.T) {
	s := &spy{}
	r := newRig(t, func(o *Options) {
		s.EventLog, s.ObjectWindow = o.Log, o.Window
		o.Log, o.Window, o.Poll, o.DeleteDelay = s, s, 20*time.Millisecond, time.Millisecond
	})
	outside := filepath.Join(filepath.Dir(r.dir), "outside")
	must(t, os.MkdirAll(filepath.Join(outside, "sub"), 0o755))
	names := []string{"f0", "f1", "sub/f2", "sub/f3"}
	secrets, published := make(map[objects.ID]string), make(map[string]objects.ID)
	date := time.Unix(1_700_000_000, 0)
	for i, n := range names {
		secret := noise(100+i, 40_000)
		must(t, os.WriteFile(filepath.Join(outside, n), secret, 0o644))
		must(t, os.Chtimes(filepath.Join(outside, n), date, date))
		secrets[objects.Sum(secret)] = n
		s.secret = append(s.secret, secret...)
		r.write("d/"+n, string(noise(i, 40_000)))
		must(t, os.Chtimes(r.path("d/"+n), date, date))
		published["d/"+n] = objects.Sum(noise(i, 40_000))
	}
	must(t, os.WriteFile(filepath.Join(outside, "only-outside"), []byte("x"), 0o644))
	r.startLive()
	r.converges()

	aside := filepath.Join(filepath.Dir(r.dir), "aside")
	must(t, os.Symlink(outside, aside))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	swaps := 0
	var served atomic.Int64
	var group sync.WaitGroup
	group.Go(func() {
		for n := 0; ctx.Err() == nil || n%2 == 1; n++ { // ends with the folder in its place
			if err := unix.Renameat2(unix.AT_FDCWD, r.path("d"), unix.AT_FDCWD, aside, unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("swapping: %v", err)
				return
			}
			swaps++
			if n%2 == 1 { // the folder is in its place: a file of it is to be hashed again
				p := "d/" + names[n/2%len(names)]
				at := date.Add(time.Duration(n/2/len(names)) * time.Second)
				if err := os.Chtimes(r.path(p), at, at); err != nil {
					t.Errorf("dating: %v", err)
				}
				select {
				case r.recheck <- p:
				default:
				}
			}
			for range n % 11 * 20 { // so that some last
				_, _ = os.Lstat(aside)
			}
		}
	})
	group.Go(func() { // reads more often than changes would have it
		h := r.running().hasher
		for n := 0; ctx.Err() == nil; n++ {
			got := reading{path: "d/" + names[n%len(names)], window: true}
			h.read(ctx, &got)
			if got.outcome == hashed && got.content.Digest != published[got.path] {
				t.Errorf("%q was hashed with other content", got.path)
			}
		}
	})
	for range 2 {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				p := "d/" + names[n%len(names)]
				if r.fetches(p, published[p], secrets) {
					served.Add(1)
				}
				for id := range secrets {
					if r.fetches(p, id, secrets) {
						t.Errorf("%q was served with the digest of %q", p, secrets[id])
					}
				}
				r.readers.close() // so that the next one opens the file again
			}
		})
	}
	group.Wait()
	r.converges()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if n, leaked := secrets[e.Content.Digest]; leaked || filepath.Base(e.Path) == "only-outside" {
			t.Errorf("%q was published with the content of %q outside", e.Path, n)
		}
	}
	if s.leaked > 0 {
		t.Errorf("%d of %d objects that went into the window are from outside", s.leaked, s.objects)
	}
	t.Logf("%d swaps, %d events, %d objects, %d served", swaps, len(s.events), s.objects, served.Load())
}

// fetches says whether the content is served, and fails if other bytes are.
func (r *rig) fetches(p string, digest objects.ID, secrets map[objects.ID]string) bool {
	c, err := r.Open(p, digest.Short())
	if err != nil {
		return false
	}
	b, err := io.ReadAll(io.NewSectionReader(c, 0, 1<<20))
	closed := c.Close()
	got := objects.Sum(b)
	if n, leaked := secrets[got]; leaked {
		r.t.Errorf("%q served the content of %q outside", p, n)
	}
	if err != nil || closed != nil {
		return false
	}
	if got != digest {
		r.t.Errorf("%q was served with other bytes than its digest says", p)
	}
	return true
}
