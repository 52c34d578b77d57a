package publisher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"waptsync/bus"
	"waptsync/objects"
)

func isGone(err error) bool {
	var f *bus.FetchError
	return errors.As(err, &f) && f.Code == bus.FetchGone
}

func TestFetchGivesPublishedContentOnly(t *testing.T) {
	r := newRig(t)
	content := noise(1, 300<<10)
	must(t, os.WriteFile(r.path("f"), content, 0o644))
	r.startLive()
	r.converges()
	set := Set{"wapt": r.Publisher}
	digest := objects.Sum(content)

	c, err := set.Open("wapt", "f", digest.Short())
	must(t, err)
	got, err := io.ReadAll(io.NewSectionReader(c, 0, 1<<30))
	must(t, err)
	must(t, c.Close())
	if !bytes.Equal(got, content) {
		t.Error("other bytes")
	}
	for name, f := range map[string]func() error{
		"another digest": func() error { _, err := set.Open("wapt", "f", objects.Sum(nil).Short()); return err },
		"another path":   func() error { _, err := set.Open("wapt", "g", digest.Short()); return err },
	} {
		if err := f(); !isGone(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, p := range []string{"../wapt/f", "/etc/passwd", "", "f/../f"} {
		var f *bus.FetchError
		if _, err := set.Open("wapt", p, digest.Short()); !errors.As(err, &f) || f.Code != bus.FetchRefused {
			t.Errorf("path %q: %v", p, err)
		}
	}
	if _, err := set.Open("other", "f", digest.Short()); err == nil {
		t.Error("another share")
	}

	// A change while it is open shows at the end, and leads to a new event.
	c, err = set.Open("wapt", "f", digest.Short())
	must(t, err)
	must(t, os.WriteFile(r.path("f"), content[:1000], 0o644))
	if err := c.Close(); !isGone(err) {
		t.Errorf("Close after a change: %v", err)
	}
	r.converges()
	if _, err := set.Open("wapt", "f", digest.Short()); !isGone(err) {
		t.Errorf("the old content: %v", err)
	}
}

func TestManifestIsTheOneTheEventNames(t *testing.T) {
	store, err := OpenManifests(filepath.Join(t.TempDir(), "manifests"))
	must(t, err)
	defer func() { must(t, store.Close()) }()
	r := newRig(t, func(o *Options) { o.Manifests = store })
	content := noise(1, 3<<20)
	must(t, os.WriteFile(r.path("f"), content, 0o644))
	r.startLive()
	r.converges()
	e := r.events()["f"]
	if e.Content.Objects < 2 {
		t.Fatalf("%d objects", e.Content.Objects)
	}
	ask := func() {
		t.Helper()
		encoded, err := r.Manifest(t.Context(), "f", e.Content.Digest.Short(), nil)
		must(t, err)
		if objects.Sum(encoded) != e.Content.Manifest {
			t.Error("another manifest")
		}
		m, err := objects.DecodeManifest(encoded)
		must(t, err)
		if len(m.Objects) != int(e.Content.Objects) || m.Digest != e.Content.Digest {
			t.Errorf("%d objects of %s", len(m.Objects), m.Digest)
		}
	}
	ask()
	r.restart(func() {})
	ask() // by the store
	if n := r.Status().HashedBytes; n != 0 {
		t.Errorf("%d bytes read", n)
	}
	r.o.Manifests = nil
	r.restart(func() {})
	var group sync.WaitGroup
	for range 8 {
		group.Go(ask) // by reading the file again
	}
	group.Wait()
	if _, err := r.Manifest(t.Context(), "g", e.Content.Digest.Short(), nil); !isGone(err) {
		t.Errorf("another path: %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	r.restart(func() {})
	if _, err := r.Manifest(stopped, "f", e.Content.Digest.Short(), nil); err == nil {
		t.Error("nobody waits for it")
	}
}

// Also against the manifest of a version that is deleted by now, and without one.
func TestManifestComesAsItsDeltaAgainstWhatARemoteKnows(t *testing.T) {
	store, err := OpenManifests(filepath.Join(t.TempDir(), "manifests"))
	must(t, err)
	defer func() { must(t, store.Close()) }()
	r := newRig(t, func(o *Options) { o.Manifests = store })
	r.startLive()
	old := noise(1, 3<<20)
	must(t, os.WriteFile(r.path("app_1.wapt"), old, 0o644))
	r.converges()
	before := r.events()["app_1.wapt"]
	must(t, os.WriteFile(r.path("app_2.wapt"), append(noise(2, 5000), old...), 0o644))
	must(t, os.Remove(r.path("app_1.wapt")))
	r.converges()
	e := r.events()["app_2.wapt"]
	ask := func(bases ...objects.ID) []byte {
		t.Helper()
		encoded, err := r.Manifest(t.Context(), "app_2.wapt", e.Content.Digest.Short(), bases)
		must(t, err)
		return encoded
	}
	whole := ask()
	base, ok := r.manifests.get(before.Content.Manifest)
	if !ok {
		t.Fatal("the old version's manifest is forgotten")
	}
	m, err := objects.DecodeManifest(base)
	must(t, err)
	unknown := objects.Sum([]byte("unknown"))
	for name, bases := range map[string][]objects.ID{
		"of the old version": {before.Content.Manifest},
		"and of another":     {unknown, before.Content.Manifest},
	} {
		delta := ask(bases...)
		if !objects.IsDelta(delta) || len(delta) > len(whole)/5 {
			t.Errorf("%s: %d bytes of %d", name, len(delta), len(whole))
		}
		got, err := objects.DecodeDelta(delta, []*objects.Manifest{m, m}[:len(bases)])
		must(t, err)
		if encoded, err := got.AppendBinary(nil); err != nil || !bytes.Equal(encoded, whole) {
			t.Errorf("%s: another manifest, %v", name, err)
		}
	}
	if got := ask(unknown); !bytes.Equal(got, whole) {
		t.Errorf("against an unknown one: %d bytes of %d", len(got), len(whole))
	}
}

func TestLiveContentGoesThroughTheWindow(t *testing.T) {
	r := newRig(t)
	must(t, os.WriteFile(r.path("first"), noise(1, 100<<10), 0o644))
	r.startLive()
	must(t, os.WriteFile(r.path("live"), noise(2, 100<<10), 0o644))
	must(t, os.WriteFile(r.path("large"), noise(3, 9<<20), 0o644)) // over an eighth of the window
	r.converges()
	must(t, os.Chmod(r.path("first"), 0o600))
	r.converges()
	events := r.events()
	for p, want := range map[string]bool{"first": false, "live": true, "large": false} {
		if events[p].InWindow != want {
			t.Errorf("%q in window: %v", p, !want)
		}
	}
}

func TestOpenFilesAreBounded(t *testing.T) {
	r := newRig(t)
	r.fill("", 2*maxReaders)
	r.startLive()
	r.converges()
	for p, e := range r.events() {
		if p == "" {
			continue
		}
		c, err := r.Open(p, e.Content.Digest.Short())
		must(t, err)
		must(t, c.Close())
	}
	if n := r.readers.order.Len(); n > maxReaders {
		t.Errorf("%d files are open", n)
	}
}
