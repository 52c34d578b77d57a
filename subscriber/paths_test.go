package subscriber

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waptsync/bus"
	"waptsync/objects"
)

// forge stores an event that the main's own code would refuse to encode: good is
// encoded, and from replaced by as many other bytes.
func (m *testMain) forge(good *bus.Event, from, to string) {
	m.t.Helper()
	good.Generation = m.log.Generation()
	data, err := good.AppendBinary(nil)
	must(m.t, err)
	forged := bytes.Replace(data, []byte(from), []byte(to), 1)
	if bytes.Equal(forged, data) || len(forged) != len(data) {
		m.t.Fatalf("%q is not in the event, or %q longer", from, to)
	}
	_, err = m.server.JetStream().Publish(context.Background(), "ev."+testShare+"."+objects.Sum(forged).String(), forged)
	must(m.t, err)
}

func TestForgedPathsAreRefusedBeforeUse(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	must(t, os.Mkdir(r.dir, 0o755))
	outside := filepath.Dir(r.dir)
	canary := filepath.Join(outside, "canary")
	must(t, os.WriteFile(canary, []byte("untouched"), 0o600))
	before := snapshot(t, outside)

	// A file, a directory, a link and a deletion for each bad path.
	paths := []string{
		"../evil", "../canary", "a/../../canary", "/tmp/waptsync-evil", canary, "./evil", "evil/.", "evil//x", "evil/", "ev\x00il",
		"ok/../.waptsync/id", strings.Repeat("n", 256),
	}
	for _, bad := range paths {
		good := strings.Repeat("g", min(len(bad), 200))
		if rest := len(bad) - len(good); rest > 0 {
			good += "/" + strings.Repeat("h", rest-1)
		}
		for _, e := range []*bus.Event{
			{Kind: bus.KindFile, Mode: 0o644, Content: bus.Content{Digest: objects.Sum(nil)}},
			{Kind: bus.KindDir, Mode: 0o755},
			{Kind: bus.KindSymlink, Mode: 0o777, Target: "x"},
			{Kind: bus.KindDeleted},
		} {
			e.Path = good
			m.forge(e, good, bad)
		}
	}
	// One byte more than a path may have, its length told as it is.
	long := strings.Repeat(strings.Repeat("p", 240)+"/", 16) + strings.Repeat("q", 240)
	m.forge(&bus.Event{Kind: bus.KindDir, Mode: 0o755, Path: long}, "\x80\x20", "\x81\x20")
	m.put("good", []byte("good"))
	r.start()
	r.has("good", []byte("good"))
	r.reached()
	r.same()
	after := snapshot(t, outside)
	for p, was := range before {
		if p != "share" && after[p] != was {
			t.Errorf("%q was changed", p)
		}
	}
	for p := range after {
		if _, ok := before[p]; !ok && !strings.HasPrefix(p, "share/") && p != "state.db" {
			t.Errorf("%q appeared outside", p)
		}
	}
	if _, err := os.Lstat("/tmp/waptsync-evil"); err == nil {
		t.Error("an absolute path was used")
	}
}

// Each link of a chain may stay inside by its text, and the chain lead out.
func TestLinksThatLeaveTheShareThroughOthersAreRefused(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	must(t, os.Mkdir(r.dir, 0o755))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(r.dir), "secret"), []byte("secret"), 0o600))
	link := func(p, target string) *bus.Event {
		return &bus.Event{Kind: bus.KindSymlink, Path: p, Target: target, Mode: 0o777}
	}
	m.append(
		&bus.Event{Kind: bus.KindDir, Path: "d", Mode: 0o755},
		link("d/top", ".."),
		link("out", "d/top/../secret"),
		link("d/out", "../d/top/./../secret"),
		link("other", "d/top/good"),
	)
	m.put("good", []byte("good"))
	r.start()
	r.has("good", []byte("good"))
	r.problem("out", "out of the share")
	r.problem("d/out", "out of the share")
	for _, p := range []string{"out", "d/out"} {
		if b, err := os.ReadFile(r.path(p)); err == nil {
			t.Errorf("%q shows %q", p, b)
		}
	}
	r.has("other", []byte("good"))
}

func TestContentThatIsNotWhatItsEventSaysIsNeverShown(t *testing.T) {
	lie := objects.Sum([]byte("lie"))
	cases := map[string]func(m *testMain, e *bus.Event){
		"objects that do not make the digest": func(m *testMain, e *bus.Event) {
			man, err := m.files.manifest("f")
			must(t, err)
			man.Digest = lie
			encoding, err := man.AppendBinary(nil)
			must(t, err)
			m.files.mu.Lock()
			defer m.files.mu.Unlock()
			m.files.digests["f"], m.files.manifests[lie] = lie, encoding
			e.Content.Digest, e.Content.Manifest = lie, objects.Sum(encoding)
		},
		"a manifest of another digest": func(m *testMain, e *bus.Event) {
			m.files.mu.Lock()
			defer m.files.mu.Unlock()
			m.files.digests["f"], m.files.manifests[lie] = lie, m.files.manifests[e.Content.Digest]
			e.Content.Digest = lie
		},
		"another manifest": func(m *testMain, e *bus.Event) {
			e.Content.Manifest = lie
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			m := startMain(t)
			m.write("f", random(2<<20)) // above what comes as a whole
			e := m.event("f")
			spoil(m, e)
			m.append(e)
			r := newRemote(t, m, "colmar")
			r.start()
			r.problem("f", "")
			if _, err := os.Lstat(r.path("f")); err == nil {
				t.Error("it became visible")
			}
		})
	}
}
