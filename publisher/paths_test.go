package publisher

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

func TestFetchThroughALinkIsRefused(t *testing.T) {
	content := "what is published"
	digest := objects.Sum([]byte(content))
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "f"), []byte(content), 0o644))
	cases := map[string]func(r *rig) string{ // what replaces d/f, and its new target
		"folder for a link out":    func(r *rig) string { return r.linkInstead("d", outside) },
		"folder for a link inside": func(r *rig) string { return r.linkInstead("d", "twin") },
		"folder for a link up":     func(r *rig) string { return r.linkInstead("d", "..") },
		"folder for a loop":        func(r *rig) string { return r.linkInstead("d", "d") },
		"file for a link out":      func(r *rig) string { return r.linkInstead("d/f", filepath.Join(outside, "f")) },
		"file for a link inside":   func(r *rig) string { return r.linkInstead("d/f", "../twin/f") },
		"file for a folder":        func(r *rig) string { return r.folderInstead("d/f") },
		"folder for a file":        func(r *rig) string { return r.fileInstead("d", content) },
	}
	for name, replace := range cases {
		t.Run(name, func(t *testing.T) {
			// What was published stays so for the test's time: it is the fetch that
			// has to notice.
			r := newRig(t, func(o *Options) { o.DeleteDelay = time.Minute })
			r.write("d/f", content)
			r.write("twin/f", content)
			r.startLive()
			r.converges()
			p := replace(r)
			c, err := r.Open("d/f", digest.Short())
			if err == nil {
				_ = c.Close()
			}
			var f *bus.FetchError
			if !errors.As(err, &f) || f.Code != bus.FetchGone && f.Code != bus.FetchRefused {
				t.Errorf("with %s replaced: %v", p, err)
			}
			if f != nil && strings.Contains(f.Text, outside) {
				t.Errorf("%q tells where the link leads", f.Text)
			}
		})
	}
}

func (r *rig) linkInstead(p, target string) string {
	r.t.Helper()
	must(r.t, os.RemoveAll(r.path(p)))
	must(r.t, os.Symlink(target, r.path(p)))
	return p
}

func (r *rig) folderInstead(p string) string {
	r.t.Helper()
	must(r.t, os.RemoveAll(r.path(p)))
	must(r.t, os.Mkdir(r.path(p), 0o755))
	return p
}

func (r *rig) fileInstead(p, content string) string {
	r.t.Helper()
	must(r.t, os.RemoveAll(r.path(p)))
	must(r.t, os.WriteFile(r.path(p), []byte(content), 0o644))
	return p
}

// Each link of a chain may stay inside by its text, and the chain lead out.
func TestLinkWithAClimbBehindANameIsSkipped(t *testing.T) {
	r := newRig(t)
	must(t, os.WriteFile(filepath.Join(filepath.Dir(r.dir), "secret"), []byte("secret"), 0o644))
	r.write("d/sub/f", "f")
	must(t, os.Symlink("..", r.path("d/top")))
	must(t, os.Symlink("d/top/../secret", r.path("out")))
	must(t, os.Symlink("d/../d/sub", r.path("harmless"))) // today
	must(t, os.Symlink("../d/./sub//f", r.path("d/good")))
	r.startLive()
	r.converges("out", "harmless")
	if s := r.Status(); s.Skipped != 2 || s.Errors != 0 || len(s.Problems) != 2 {
		t.Errorf("%d skipped, %d errors, %+v", s.Skipped, s.Errors, s.Problems)
	}
}
