package subscriber

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"
)

// Bays come and go: none is left behind when its files are, and what a
// predecessor left in one is cleared.
func TestBaysOfTheStageGoWhenTheyAreEmpty(t *testing.T) {
	dir := testFolder(t)
	if !dir.spread() {
		t.Skip("the file system does not spread folders")
	}
	s := &stage{dir: dir}
	first := s.name()
	must(t, dir.writeFile(first, []byte("x"), attributes{mode: 0o600, uid: -1, gid: -1}))
	for range 2 * bayNames {
		s.name()
	}
	bay, _ := split(first)
	if _, err := dir.lstat(first); err != nil {
		t.Fatalf("the file went with its bay: %v", err)
	}
	must(t, dir.unlink(first))
	for range bayNames {
		s.name()
	}
	if _, err := dir.lstat(bay); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty bay is still there: %v", err)
	}
	must(t, dir.writeFile(s.name(), []byte("left by a kill"), attributes{mode: 0o600, uid: -1, gid: -1}))
	must(t, s.clear(time.Now()))
	var left []string
	must(t, eachName(dir, func(name string) error { left = append(left, name); return nil }))
	if len(left) > 0 {
		t.Errorf("left: %s", strings.Join(left, ", "))
	}
}
