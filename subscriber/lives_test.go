package subscriber

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A stream that was made anew counts from 1 again. What an earlier life of it
// numbered higher is not newer.
func TestPathThatFailsAfterTheStreamWasMadeAnewComesLater(t *testing.T) {
	m := startMain(t)
	r := newRemote(t, m, "colmar")
	for i := range 30 { // so that the first life's numbers are high
		m.put(sprint("f%d", i%3), random(100))
	}
	m.put("late", random(100))
	m.mark()
	r.start()
	r.reached()
	r.same()
	r.stop()

	m.options.Listen = m.server.Addr()
	m.stop()
	must(t, os.RemoveAll(m.options.Dir))
	m.start()
	m.write("late", random(120))
	m.publishAll()
	// The content is announced, and cannot be had.
	want := m.read("late")
	must(t, os.Remove(filepath.Join(m.dir, "late")))
	r.start()
	waitFor(t, 20*time.Second, func() string {
		if rep := r.r.Report(); rep.State != "live" || rep.Errors != 1 {
			return sprint("not live with one error: %+v", rep)
		}
		return ""
	})
	r.stop()

	must(t, os.WriteFile(filepath.Join(m.dir, "late"), want, 0o644))
	r.start()
	waitFor(t, 20*time.Second, func() string {
		if b, err := os.ReadFile(r.path("late")); err != nil || string(b) != string(want) {
			return sprint("still the old content: %v, %+v", err, r.r.Report())
		}
		return ""
	})
}
