package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"waptsync/objects"
)

// smallDisk has the bus's store on a disk of that many MiB.
func smallDisk(t *testing.T, size int) ServerOptions {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a tmpfs needs root")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Skipf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	data := t.TempDir()
	authority, err := LoadAuthority(filepath.Join(data, "authority"))
	if err != nil {
		t.Fatal(err)
	}
	registry, err := LoadRegistry(data)
	if err != nil {
		t.Fatal(err)
	}
	return ServerOptions{
		Dir: filepath.Join(disk, "store"), Listen: "127.0.0.1:0", Authority: authority, Registry: registry,
		Shares: []string{"wapt", "wapt-host"}, Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel),
	}
}

// fillDisk takes all space of the disk that has the store, and returns how to give it back.
func fillDisk(t *testing.T, store string) (free func()) {
	t.Helper()
	name := filepath.Join(filepath.Dir(store), "filler")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func startServer(t *testing.T, o ServerOptions) *Server {
	t.Helper()
	s, err := StartServer(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func openServerLog(t *testing.T, s *Server, share string) *Log {
	t.Helper()
	l, err := OpenLog(testContext(t), s.JetStream(), LogOptions{Share: share, Server: s, Log: s.log})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTheWindowIsMadeToFit opens windows of 2 GiB where there is little room.
func TestTheWindowIsMadeToFit(t *testing.T) {
	for _, c := range []struct {
		size int // of the disk, MiB
		fits bool
	}{{30, false}, {64, false}, {300, true}} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			o := smallDisk(t, c.size)
			for range 2 {
				s := startServer(t, o)
				for _, share := range o.Shares {
					w, err := s.OpenWindow(testContext(t), share, 2<<30)
					switch {
					case c.fits && err != nil:
						t.Error(err)
					case c.fits && (w.MaxBytes() < MinWindow || w.MaxBytes() > int64(c.size)<<20/8):
						t.Errorf("a window of %d bytes", w.MaxBytes())
					case !c.fits && !errors.Is(err, ErrNoWindow):
						t.Errorf("got %v", err)
					}
					mustAppend(t, openServerLog(t, s, share), fileEvents("file", 100)...)
				}
				s.Close()
			}
		})
	}
}

// TestALargeWindowGivesWay starts with a window of an earlier start that takes
// more than the whole store may have now.
func TestALargeWindowGivesWay(t *testing.T) {
	b := startBus(t)
	o := b.options
	b.service.Close()
	b.Server.Close()
	o.MaxStore = 12 << 20 // less than the window of 16 MiB
	s := startServer(t, o)
	if _, err := s.OpenWindow(testContext(t), "wapt", 16<<20); !errors.Is(err, ErrNoWindow) {
		t.Errorf("got %v", err)
	}
	mustAppend(t, openServerLog(t, s, "wapt"), fileEvents("file", 10)...)
	s.Close()

	o.MaxStore = 40 << 20
	s = startServer(t, o)
	w, err := s.OpenWindow(testContext(t), "wapt", 18<<20)
	if err != nil || w.MaxBytes() >= 18<<20 || w.MaxBytes() < MinWindow {
		t.Errorf("a window of %v, %v", w, err)
	}
}

// TestAStartOnAFullDisk starts where nothing can be written, and goes on when
// there is room.
func TestAStartOnAFullDisk(t *testing.T) {
	o := smallDisk(t, 200)
	s := startServer(t, o)
	open := func() (*Log, *Service) {
		t.Helper()
		if _, err := s.OpenWindow(testContext(t), "wapt", 16<<20); err != nil && !errors.Is(err, ErrNoWindow) {
			t.Fatal(err)
		}
		l := openServerLog(t, s, "wapt")
		v, err := StartService(testContext(t), s, ServiceOptions{Files: newTestFiles(t), Logs: map[string]*Log{"wapt": l}, Log: s.log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Close)
		return l, v
	}
	l, v := open()
	mustAppend(t, l, fileEvents("file", 100)...)
	v.Close()
	s.Close()

	free := fillDisk(t, o.Dir)
	s = startServer(t, o)
	l, v = open()
	if paths, _ := replayed(t, l); len(paths) != 100 {
		t.Errorf("%d events are read back", len(paths))
	}
	// What is there has room for its next configuration now and then. Each start
	// makes that larger, until it has not.
	for i := 0; !errors.Is(l.Check(testContext(t)), ErrLogLost); i++ {
		if i == maxGenerations+10 {
			t.Fatal("the log can be opened on a full disk")
		}
		fillDisk(t, o.Dir)
		l = openServerLog(t, s, "wapt")
	}
	if _, err := l.Append(testContext(t), fileEvents("more", 1)); !errors.Is(err, ErrLogLost) || !errors.Is(err, ErrStoreFull) {
		t.Errorf("an append: %v", err)
	}
	if err := l.Check(testContext(t)); !errors.Is(err, ErrStoreFull) {
		t.Errorf("a look: %v", err)
	}
	if paths, _ := replayed(t, l); len(paths) != 100 {
		t.Errorf("%d events are read back", len(paths))
	}
	free()
	if err := l.Check(testContext(t)); !errors.Is(err, ErrLogLost) || errors.Is(err, ErrStoreFull) {
		t.Errorf("with room: %v", err)
	}
	if err := l.Reopen(testContext(t)); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, fileEvents("more", 10)...)
	if err := l.Check(testContext(t)); err != nil {
		t.Error(err)
	}
	if paths, _ := replayed(t, l); len(paths) != 110 {
		t.Errorf("%d events are read back", len(paths))
	}
	v.Close()
}

// TestReportsAreStoredAgainAfterAFullDisk breaks the stream of reports for good.
func TestReportsAreStoredAgainAfterAFullDisk(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(map[bool]string{false: "it filled up while it ran", true: "it was full at the start"}[restart], func(t *testing.T) {
			o := smallDisk(t, 200)
			s := startServer(t, o)
			v, err := StartService(testContext(t), s, ServiceOptions{Files: newTestFiles(t), Log: s.log})
			if err != nil {
				t.Fatal(err)
			}
			stored := func() bool {
				stream, err := s.JetStream().Stream(testContext(t), remotesStream)
				if err != nil {
					return false
				}
				before := stream.CachedInfo().State.LastSeq
				v.takeReport("colmar", []byte(`{"host":"`+fmt.Sprint(time.Now())+`"}`))
				info, err := stream.Info(testContext(t))
				return err == nil && info.State.LastSeq > before
			}
			if !stored() {
				t.Fatal("a report was not stored")
			}
			free := fillDisk(t, o.Dir)
			if restart {
				v.Close()
				s.Close()
				if err := os.RemoveAll(s.messagesDir(remotesStream)); err != nil { // so that it must be made
					t.Fatal(err)
				}
				s = startServer(t, o)
				if v, err = StartService(testContext(t), s, ServiceOptions{Files: newTestFiles(t), Log: s.log}); err != nil {
					t.Fatal(err)
				}
			} else {
				waitFor(t, "the stream to break", func() bool {
					ctx, cancel := contextFor(t, 200*time.Millisecond)
					defer cancel()
					_, _ = s.JetStream().Publish(ctx, remotesPrefix+".colmar", make([]byte, 32<<10))
					return s.checkStream(remotesStream, nil) != nil
				})
			}
			t.Cleanup(v.Close)
			free()
			waitFor(t, "a report is stored again", func() bool { return stored() })
			if err := s.checkStream(remotesStream, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// A disk that is smaller than what a large one keeps free is not always full.
func TestASmallDiskIsNotAlwaysFull(t *testing.T) {
	o := smallDisk(t, 64)
	s := startServer(t, o)
	l := openServerLog(t, s, "wapt")
	mustAppend(t, l, fileEvents("file", 10)...)
	if err := s.Health(); err != nil {
		t.Errorf("with room: %v", err)
	}
	if err := l.Check(testContext(t)); err != nil {
		t.Errorf("with room: %v", err)
	}
	free := fillDisk(t, o.Dir)
	waitFor(t, "the stream to break", func() bool {
		ctx, cancel := contextFor(t, 200*time.Millisecond)
		defer cancel()
		_, _ = l.Append(ctx, []*Event{{Kind: KindDir, Path: "dir", Mode: 0o755}})
		return errors.Is(l.Check(testContext(t)), ErrLogBroken)
	})
	if err := s.Health(); err == nil {
		t.Error("a full disk is called well")
	}
	if err := l.Remake(testContext(t)); !errors.Is(err, ErrStoreFull) {
		t.Errorf("made anew on a full disk: %v", err)
	}
	free()
	if err := l.Remake(testContext(t)); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, fileEvents("file", 10)...)
	if err := s.Health(); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestNoPutIsLeftToAStreamThatWasMadeAnew has a put without an answer when the
// window is mended: nobody answers it any more.
func TestNoPutIsLeftToAStreamThatWasMadeAnew(t *testing.T) {
	o := smallDisk(t, 200)
	s := startServer(t, o)
	w, err := s.OpenWindow(testContext(t), "wapt", 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	free := fillDisk(t, o.Dir)
	for i := 0; s.checkStream(objectsStream("wapt"), nil) == nil; i++ {
		data := fmt.Appendf(make([]byte, 64<<10), "%d", i)
		if err := w.Put(testContext(t), objects.Sum(data), data); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	free()
	w.mu.Lock()
	w.resting = time.Now() // over
	w.mu.Unlock()
	if err := w.rested(testContext(t)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := w.Flush(testContext(t)); err == nil {
		t.Error("objects without an answer are called stored")
	}
	if took := time.Since(began); took > putTimeout/2 {
		t.Errorf("the flush took %v", took)
	}
	data := []byte("new")
	if err := errors.Join(w.Put(testContext(t), objects.Sum(data), data), w.Flush(testContext(t))); err != nil {
		t.Error(err)
	}
}
