package publisher

import (
	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

var overflow = fsnotify.ErrEventOverflow

func makeFifo(p string) error { return unix.Mkfifo(p, 0o644) }
