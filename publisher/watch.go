package publisher

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// watcher watches a share's directories, one inotify watch each. What it tells
// are hints. Its methods may be called concurrently.
//
// fsnotify knows watches by path, the kernel by inode: a directory that was
// moved would keep its watch under the old path, and adding the new path would
// silently give events of the old one. So the watcher remembers which
// directory each watched path is and lets go of the old path first.
type watcher struct {
	folder *folder
	fs     *fsnotify.Watcher
	refuse func(dir string) error // may be nil
	errors chan error             // closed when the watcher is

	mu        sync.Mutex
	watched   map[string]identity // by path of the share, "" being its top
	paths     map[identity]string
	unwatched map[string]struct{} // directories that the kernel refused
	refusal   error               // the newest reason for it
}

func newWatcher(f *folder, refuse func(dir string) error) (*watcher, error) {
	if refuse != nil {
		if err := refuse(wholeWatcher); err != nil {
			return nil, err
		}
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watcher{
		folder:    f,
		errors:    make(chan error),
		fs:        notify,
		refuse:    refuse,
		watched:   make(map[string]identity),
		paths:     make(map[identity]string),
		unwatched: make(map[string]struct{}),
	}
	go w.passErrors()
	return w, nil
}

// passErrors takes errors from fsnotify whatever the session does: fsnotify
// waits for that with its lock held, which add and drop need.
func (w *watcher) passErrors() {
	defer close(w.errors)
	var pending error
	for {
		var out chan error
		if pending != nil {
			out = w.errors
		}
		select {
		case err, ok := <-w.fs.Errors:
			switch {
			case !ok:
				return
			case errors.Is(err, syscall.EINVAL):
				// A watch was to be removed that the kernel had dropped already.
			case pending == nil || errors.Is(pending, fsnotify.ErrEventOverflow):
				pending = err
			}
		case out <- pending:
			pending = nil
		}
	}
}

// wholeWatcher is what a watcher's refuse is asked for the watcher itself; no
// path of a share is so called.
const wholeWatcher = "./watcher"

func (w *watcher) close() { _ = w.fs.Close() }

// add watches the directory at p; what is in it must be scanned afterwards. It
// returns the kernel's refusal; a directory that is gone is no error.
func (w *watcher) add(p string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	// The directory can be replaced between looking and watching.
	for range 3 {
		before, ok := w.identify(p)
		if !ok {
			w.forget(p)
			return nil
		}
		if other, ok := w.paths[before]; ok && other != p && before != (identity{}) {
			w.forget(other)
		}
		if known, ok := w.watched[p]; ok && known != before {
			w.forget(p)
		}
		if err := w.register(p); err != nil {
			if absent(err) == nil || errors.Is(err, fs.ErrPermission) {
				w.forget(p) // what is not readable is the scan's trouble
				return nil
			}
			w.unwatched[p], w.refusal = struct{}{}, err
			return err
		}
		delete(w.unwatched, p)
		w.watched[p], w.paths[before] = before, p
		if after, ok := w.identify(p); ok && after == before {
			return nil
		}
		w.forget(p)
	}
	return nil // it changes faster than it can be watched, so more events follow
}

func (w *watcher) register(p string) error {
	if w.refuse != nil {
		if err := w.refuse(p); err != nil {
			return err
		}
	}
	return w.fs.Add(w.absolute(p))
}

// identify says which directory is at p now, if any.
func (w *watcher) identify(p string) (identity, bool) {
	if p == "" {
		return w.folder.id, true
	}
	fi, err := w.folder.root.Lstat(p)
	if err != nil || !fi.IsDir() {
		return identity{}, false
	}
	id, _ := folderIdentity(fi)
	return id, true
}

// forget drops the watch of p alone. Callers hold mu.
func (w *watcher) forget(p string) {
	delete(w.unwatched, p)
	id, ok := w.watched[p]
	if !ok {
		return
	}
	delete(w.watched, p)
	if w.paths[id] == p {
		delete(w.paths, id)
	}
	// The kernel may have dropped it already, with the directory.
	_ = w.fs.Remove(w.absolute(p))
}

// drop forgets the watch of p, and with beneath those of all directories in it.
func (w *watcher) drop(p string, beneath bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, watched := w.watched[p]
	_, refused := w.unwatched[p]
	if !watched && !refused {
		return
	}
	w.forget(p)
	if !beneath {
		return
	}
	prefix := p + "/"
	for q := range w.watched {
		if strings.HasPrefix(q, prefix) {
			w.forget(q)
		}
	}
	for q := range w.unwatched {
		if strings.HasPrefix(q, prefix) {
			delete(w.unwatched, q)
		}
	}
}

// watches says whether the directory at p, being the inode, is watched.
func (w *watcher) watches(p string, inode uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.watched[p]
	return ok && known.inode == inode
}

// complete says whether every directory known is watched.
func (w *watcher) complete() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.unwatched) == 0
}

func (w *watcher) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watched)
}

// refused returns the directories that are not watched, and why.
func (w *watcher) refused() ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]string, 0, len(w.unwatched))
	for p := range w.unwatched {
		list = append(list, p)
	}
	return list, w.refusal
}

// relative returns the share's path of a watch event; ok is false when the event
// is not about something in the share.
func (w *watcher) relative(name string) (p string, ok bool) {
	p, ok = strings.CutPrefix(name, w.folder.dir+string(filepath.Separator))
	return filepath.ToSlash(p), ok && p != ""
}

func (w *watcher) absolute(p string) string {
	return filepath.Join(w.folder.dir, filepath.FromSlash(p))
}

// watchAdvice explains the kernel's refusal in words that help.
func watchAdvice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "raise the limit: sysctl fs.inotify.max_user_watches"
	case errors.Is(err, syscall.EMFILE):
		return "raise the limit: sysctl fs.inotify.max_user_instances, or the service's LimitNOFILE"
	}
	return fmt.Sprintf("the kernel refuses to watch: %v", err)
}
