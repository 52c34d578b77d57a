package subscriber

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"waptsync/bus"
)

// looseStage opens a stage in which files need no name, or skips the test.
func looseStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: testFolder(t)}
	t.Cleanup(s.loose.close)
	name, err := s.put([]byte("first"), attributes{mode: 0o600, uid: -1, gid: -1}, true)
	must(t, err)
	if _, ok := s.loose.get(name); !ok {
		t.Skip("the file system has no files without a name")
	}
	s.discard(name)
	return s
}

func namesIn(t *testing.T, f *folder) (names []string) {
	t.Helper()
	must(t, eachName(f, func(name string) error {
		if st, err := f.lstat(name); err == nil && st.kind == bus.KindFile {
			names = append(names, name)
		}
		return nil
	}))
	return names
}

func TestStagedFilesWithoutANameGetTheirPlace(t *testing.T) {
	s, to := looseStage(t), testFolder(t)
	a := attributes{mode: 0o640, uid: -1, gid: -1, mtime: 1_700_000_000_000_000_005}
	tests := []struct {
		name    string
		prepare func(staged string)
		fresh   bool
	}{
		{"fresh", func(string) {}, true},
		{"not-fresh", func(string) {}, false},
		{"tied", func(staged string) { must(t, s.tie(staged)) }, true},
		{"read", func(staged string) {
			f, err := s.open(staged)
			must(t, err)
			defer f.Close()
			if got, err := io.ReadAll(f); err != nil || string(got) != "read" {
				t.Errorf("it reads %q, %v", got, err)
			}
		}, true},
		{"taken", func(string) {
			must(t, to.writeFile("taken", []byte("of somebody else"), attributes{mode: 0o600, uid: -1, gid: -1}))
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			staged, err := s.put([]byte(tt.name), a, tt.fresh)
			must(t, err)
			tt.prepare(staged)
			must(t, s.sync([]string{staged}))
			st, err := s.bring(staged, to, tt.name)
			must(t, err)
			if now, err := to.lstat(tt.name); err != nil || now != st {
				t.Errorf("bring says %+v, lstat %+v, %v", st, now, err)
			}
			if st.kind != bus.KindFile || st.mode != a.mode || st.mtime != a.mtime || st.size != int64(len(tt.name)) {
				t.Errorf("it has %+v", st)
			}
			if _, ok := s.loose.get(staged); ok {
				t.Error("it is still open")
			}
			if _, err := s.dir.lstat(staged); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its name in the stage is still there: %v", err)
			}
		})
	}
}

func TestStagedFilesWithoutANameAreBoundedAndLeaveNothing(t *testing.T) {
	s := looseStage(t)
	s.loose.most = 2
	a := attributes{mode: 0o600, uid: -1, gid: -1}
	var staged []string
	for range 3 {
		name, err := s.put([]byte("x"), a, true)
		must(t, err)
		staged = append(staged, name)
	}
	if _, ok := s.loose.get(staged[2]); ok {
		t.Error("a third file without a name is open")
	}
	if _, err := s.dir.lstat(staged[2]); err != nil {
		t.Errorf("the third has no name: %v", err)
	}
	s.discard(staged[0])
	if name, err := s.put([]byte("x"), a, true); err != nil {
		t.Error(err)
	} else if _, ok := s.loose.get(name); !ok {
		t.Error("there was room again, and the next has a name")
	}
	s.discard(staged[2])
	s.loose.close()
	if names := namesIn(t, s.dir); len(names) > 0 {
		t.Errorf("left: %q", names)
	}
}

// A mask must not take bits from what is staged either way.
func TestStagedFilesHaveTheirModeWhateverTheMask(t *testing.T) {
	s := looseStage(t)
	before := unix.Umask(0o077)
	defer unix.Umask(before)
	for _, fresh := range []bool{true, false} {
		staged, err := s.put([]byte("x"), attributes{mode: 0o664, uid: os.Getuid(), gid: os.Getgid()}, fresh)
		must(t, err)
		must(t, s.tie(staged))
		if st, err := s.dir.lstat(staged); err != nil || st.mode != 0o664 {
			t.Errorf("fresh %v: mode %o, %v", fresh, st.mode, err)
		}
	}
}
