package subscriber

import (
	"errors"
	"io/fs"
	"os"
	"sync"
)

// mostLoose bounds the staged files without a name, each of which is an open file.
const mostLoose = 8192

// looseFiles are staged files that have no name yet, by the one that they would
// have. A small file that is new to the share needs none: it gets its place in the
// share by link(2), which spares making and removing a name in the stage, and
// nobody waits for the stage's folder. After a kill nothing of it is left.
type looseFiles struct {
	once sync.Once
	way  *looseWay // nil where the system cannot do it
	most int

	mu     sync.Mutex
	byName map[string]int // descriptors
}

// full says whether no more may be open.
func (l *looseFiles) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.byName) >= l.most
}

func (l *looseFiles) add(name string, fd int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName == nil {
		l.byName = make(map[string]int)
	}
	l.byName[name] = fd
}

func (l *looseFiles) get(name string) (fd int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fd, ok = l.byName[name]
	return fd, ok
}

// drop closes a file; it returns false when none of that name is loose.
func (l *looseFiles) drop(name string) bool {
	l.mu.Lock()
	fd, ok := l.byName[name]
	delete(l.byName, name)
	l.mu.Unlock()
	if ok {
		closeLoose(fd)
	}
	return ok
}

func (l *looseFiles) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fd := range l.byName {
		closeLoose(fd)
	}
	clear(l.byName)
	l.way.close()
}

// put stages a new file with all its attributes. fresh says that nothing lay at its
// place in the share.
func (s *stage) put(data []byte, a attributes, fresh bool) (name string, err error) {
	name = s.name()
	if fresh {
		s.loose.once.Do(func() { s.loose.way, s.loose.most = s.dir.looseWay(s.name()), looseLimit() })
		if s.loose.way != nil && !s.loose.full() {
			bay, _ := split(name)
			if fd, err := s.dir.openLoose(bay, a.mode); err == nil {
				if err := fillLoose(fd, data, a); err != nil {
					closeLoose(fd)
					return name, err
				}
				s.loose.add(name, fd)
				return name, nil
			}
		}
	}
	return name, s.dir.writeFile(name, data, a)
}

// tie gives a staged file its name in the stage, if it has none.
func (s *stage) tie(name string) error {
	fd, ok := s.loose.get(name)
	if !ok {
		return nil
	}
	err := s.loose.way.link(fd, s.dir, name)
	if err == nil {
		s.loose.drop(name)
	}
	return err
}

// open opens a staged file for reading.
func (s *stage) open(name string) (*os.File, error) {
	if err := s.tie(name); err != nil {
		return nil, err
	}
	return s.dir.openFile(name)
}

// bring moves a staged file or link into a folder, and looks at it there.
func (s *stage) bring(name string, to *folder, base string) (stat, error) {
	if fd, ok := s.loose.get(name); ok {
		err := s.loose.way.link(fd, to, base)
		if err == nil {
			st, err := statLoose(fd)
			s.loose.drop(name)
			return st, err
		}
		if !errors.Is(err, fs.ErrExist) {
			return stat{}, err
		}
		// Something came to its place: only a rename replaces it.
		if err := s.tie(name); err != nil {
			return stat{}, err
		}
	}
	if err := s.dir.rename(name, to, base); err != nil {
		return stat{}, err
	}
	return to.lstat(base)
}
