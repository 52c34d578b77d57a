package publisher

import (
	"fmt"
)

// lack is what a folder lacks of what is published.
type lack struct {
	how         string // how it is not the folder that was published last
	gone, known int
	stopped     bool // counting, since gone was too many already
	over        bool
}

func (l lack) reason() string {
	least := ""
	if l.stopped {
		least = "at least "
	}
	return fmt.Sprintf("%s: %s%d of %d known paths are not in it", l.how, least, l.gone, l.known)
}

// lastFolder is the folder that was published last, as far as anybody knows.
func (s *session) lastFolder() folderMemory {
	if last := s.p.remembered().Folder; last != (folderMemory{}) {
		return last
	}
	return memoryOf(s.folder)
}

// lookForFolder has the session begin anew if the folder at the share's path may
// be published. It never goes on with what it has open: the disk may be another
// one, or the same one mounted again. The folder that was published last is
// taken as it is, and what it may have lost is judged by the next session.
// Another is looked at before anything of it is published, and twice, since it
// may just be filled.
func (s *session) lookForFolder() {
	if s.looking {
		return
	}
	f, err := openFolder(s.o.Dir, s.folder.exclude)
	if err != nil {
		s.lacked = -1
		s.hold(holdFolder, fmt.Sprintf("the folder is not there: %v", err))
		return
	}
	how := s.lastFolder().another(memoryOf(f))
	if how == "" {
		f.close()
		s.beginAgain("the folder is back")
		return
	}
	s.looking = true
	s.group.Go(func() {
		defer f.close()
		l := s.lacking(f, how)
		select {
		case s.looked <- l:
		case <-s.ctx.Done():
		}
	})
}

func (s *session) folderLooked(l lack) {
	s.looking = false
	if s.holding != holdFolder {
		return
	}
	before := s.lacked
	s.lacked = l.gone
	switch {
	case l.over:
		s.hold(holdFolder, l.reason())
	case l.gone == before:
		s.beginAgain("another folder holds what was published")
	}
}

func (s *session) beginAgain(why string) {
	s.release(why)
	s.ended = errAgain
}

// lacksAtStart says why a session may not begin with its folder, or "".
func (s *session) lacksAtStart() string {
	if s.another == "" || s.approved {
		return ""
	}
	l := s.lacking(s.folder, s.another)
	if !l.over {
		return ""
	}
	return l.reason()
}

// lacking counts the published paths that are not in f. It stops where they are
// too many by any measure.
func (s *session) lacking(f *folder, how string) lack {
	l := lack{how: how, known: int(s.tree.sum().paths())}
	s.countLacking(f, "", false, &l)
	l.over = s.over(l.gone, l.known, true)
	return l
}

func (s *session) countLacking(f *folder, dir string, absent bool, l *lack) {
	for _, name := range s.tree.list(dir) {
		if l.stopped = l.gone < l.known && s.over(l.gone, l.known, false) || s.ctx.Err() != nil; l.stopped {
			return
		}
		p := join(dir, name)
		here := false
		if !absent {
			_, err := f.root.Lstat(p)
			here = err == nil
		}
		if _, published := s.tree.get(p); published && !here {
			l.gone++
		}
		if names, _ := s.tree.size(p); names > 0 {
			s.countLacking(f, p, !here, l)
		}
	}
}
