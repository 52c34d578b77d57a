package subscriber

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

// The replica's own folder in the share holds these.
const (
	stageName = "stage"
	trashName = "trash"
	tokenName = "id"
	partEnd   = ".part"
)

// partAge is how long an interrupted transfer is kept at most. unwantedAge is how
// long when no event is known that wants its content: one may be on its way, of
// a file renamed meanwhile.
const (
	partAge     = 7 * 24 * time.Hour
	unwantedAge = 10 * time.Minute
)

// stage is the folder where contents are made ready, on the share's own file
// system so that a rename brings them in.
type stage struct {
	dir   *folder
	disk  disk
	loose looseFiles

	mu   sync.Mutex
	next uint64   // number of the last name
	left int      // names that the bay may still get
	bay  string   // folder of new names, "" for the stage itself
	old  []string // bays to be removed when they are empty
}

// openStage opens the stage, and clears it from what a predecessor left, except
// for transfers that may go on.
func openStage(t *tree, minFree int64, now time.Time) (*stage, error) {
	own, err := ownFolder(t.top, hidden)
	if err != nil {
		return nil, err
	}
	defer own.close()
	dir, err := ownFolder(own, stageName)
	if err != nil {
		return nil, err
	}
	if _, err := recoverJournal(t, dir); err != nil {
		dir.close()
		return nil, err
	}
	s := &stage{dir: dir, disk: disk{dir: dir, min: minFree}}
	if err := s.clear(now); err != nil {
		dir.close()
		return nil, err
	}
	return s, nil
}

// ownFolder opens a folder of the replica's own, and makes it if it is missing.
func ownFolder(parent *folder, name string) (*folder, error) {
	if err := parent.mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making own folder %q: %w", name, err)
	}
	f, err := parent.child(name)
	if err != nil {
		return nil, fmt.Errorf("opening own folder %q: %w", name, err)
	}
	return f, nil
}

func (s *stage) close() {
	s.loose.close()
	s.dir.close()
}

func (s *stage) clear(now time.Time) error {
	return eachName(s.dir, func(name string) error {
		st, err := s.dir.lstat(name)
		if err != nil {
			return nil // gone meanwhile
		}
		if strings.HasSuffix(name, partEnd) && now.Sub(time.Unix(0, st.mtime)) < partAge {
			return nil
		}
		if st.kind == bus.KindDir {
			err = s.clearBay(name)
		} else {
			err = s.dir.unlink(name)
		}
		if err != nil {
			return fmt.Errorf("clearing the stage: %w", err)
		}
		return nil
	})
}

func (s *stage) clearBay(name string) error {
	bay, err := s.dir.child(name)
	if err != nil {
		return err
	}
	defer bay.close()
	if err := eachName(bay, bay.unlink); err != nil {
		return err
	}
	return s.dir.rmdir(name)
}

// eachName calls fn for the names of a folder, a few at a time.
func eachName(f *folder, fn func(name string) error) error {
	d, err := f.entries()
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(512)
		for _, name := range names {
			if err := fn(name); err != nil {
				return err
			}
		}
		if err != nil || len(names) == 0 {
			return nil // io.EOF
		}
	}
}

// nameLength is how many digits a staged name has. A file system that looks a name
// up block by block, as ext4 does, has fewer names to pass where they are long.
const nameLength = 48

// bayNames is how many names one folder of the stage gets.
const bayNames = 8000

// name returns a name that nothing in the stage has. Of digits only, since
// letters would sooner or later make "con" and "nul", which Windows refuses. Where
// folders can be spread over the disk it lies in a bay, a folder that is changed
// for another from time to time: ext4 puts new files near their folder, and passes
// there, one by one, all that were deleted in the last minute (find_inode_bit in
// fs/ext4/ialloc.c). A night in which all host packages are replaced would cost
// several times as much.
func (s *stage) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	if s.left == 0 {
		s.changeBay()
	}
	s.left--
	return path.Join(s.bay, fmt.Sprintf("%0*d", nameLength, s.next))
}

// changeBay makes another bay. Without one names lie in the stage itself.
func (s *stage) changeBay() {
	s.left = bayNames
	old := s.old[:0]
	for _, bay := range s.old {
		if err := s.dir.rmdir(bay); err != nil && !errors.Is(err, fs.ErrNotExist) {
			old = append(old, bay)
		}
	}
	s.old = old
	if s.bay != "" {
		s.old = append(s.old, s.bay)
	}
	s.bay = ""
	if !s.dir.spread() {
		return
	}
	bay := fmt.Sprintf("%019d", rand.Uint64()>>1) // its place is made from its name
	if err := s.dir.mkdir(bay, 0o700); err == nil {
		s.bay = bay
	}
}

// partName is where a content of several objects is put together: the same name
// after a restart, so that it goes on.
func partName(digest objects.ID) string { return digest.String() + partEnd }

// clearParts removes interrupted transfers of contents that nobody wants any
// more.
func (s *session) clearParts() error {
	old := make(map[string]bool)
	err := eachName(s.stage.dir, func(name string) error {
		st, err := s.stage.dir.lstat(name)
		if err == nil && strings.HasSuffix(name, partEnd) && s.r.now().Sub(time.Unix(0, st.mtime)) > unwantedAge {
			old[name] = true
		}
		return nil
	})
	if err != nil {
		return broken("clearing the stage", err)
	}
	if len(old) == 0 {
		return nil
	}
	err = s.r.state.view(func(tx *stateTx) error {
		tx.walkDue(nil, func(_ []byte, w waiting) bool {
			delete(old, partName(w.Event.Content.Digest))
			return true
		})
		return nil
	})
	if err != nil {
		return broken("reading the state", err)
	}
	s.win.eachContent(func(digest objects.ID) { delete(old, partName(digest)) })
	for name := range old {
		s.stage.discard(name)
	}
	return nil
}

// discard removes a staged file that nobody wants any more.
func (s *stage) discard(name string) {
	if name != "" && !s.loose.drop(name) {
		_ = s.dir.unlink(name) // else the next session clears it
	}
}

// discardUnlessPart is discard for what is no interrupted transfer.
func (s *stage) discardUnlessPart(name string) {
	if !strings.HasSuffix(name, partEnd) {
		s.discard(name)
	}
}

// diskFresh is for how long the free space is taken as known.
const diskFresh = 200 * time.Millisecond

// disk keeps the free space from running out.
type disk struct {
	dir *folder
	min int64 // bytes to leave free

	mu   sync.Mutex
	at   time.Time
	free int64
}

// take returns errNoSpace, wrapped, unless n bytes can be written.
func (d *disk) take(n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.at) > diskFresh {
		free, ok := d.dir.free()
		if !ok {
			free = math.MaxInt64
		}
		d.at, d.free = now, free
	}
	if d.free-n < d.min {
		return fmt.Errorf("%w: %d bytes wanted, %d free of which %d are to stay so: %w", errNoSpace, n, d.free, d.min, syscall.ENOSPC)
	}
	d.free -= n
	return nil
}

// give says that n bytes became free.
func (d *disk) give(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = min(d.free, math.MaxInt64-n) + n
}
