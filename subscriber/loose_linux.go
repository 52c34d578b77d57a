package subscriber

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// looseWay gives a name to a file that has none.
type looseWay struct {
	proc *os.File // the process's descriptors by number; nil where none is needed
}

// looseWay finds out how files of the folder may be named later, or returns nil.
// Up to Linux 6.9 only root may name what a descriptor stands for; everybody may by
// way of proc(5), for some more time.
func (f *folder) looseWay(trial string) *looseWay {
	bay, _ := split(trial)
	for _, proc := range []string{"", "/proc/self/fd"} {
		w := &looseWay{}
		if proc != "" {
			dir, err := os.Open(proc)
			if err != nil {
				return nil
			}
			w.proc = dir
		}
		fd, err := f.openLoose(bay, 0o600)
		if err != nil {
			w.close()
			return nil
		}
		err = w.link(fd, f, trial)
		closeLoose(fd)
		if err == nil {
			_ = f.unlink(trial) // else the next session clears it
			return w
		}
		w.close()
	}
	return nil
}

func (w *looseWay) close() {
	if w != nil && w.proc != nil {
		w.proc.Close()
	}
}

func (w *looseWay) link(fd int, to *folder, name string) error {
	err := retryEINTR(func() error {
		if w.proc == nil {
			return unix.Linkat(fd, "", to.fd(), name, unix.AT_EMPTY_PATH)
		}
		return unix.Linkat(int(w.proc.Fd()), strconv.Itoa(fd), to.fd(), name, unix.AT_SYMLINK_FOLLOW)
	})
	return pathError("link", name, err)
}

// looseLimit is how many files without a name a share may have open: an eighth of
// what the process may have at most, so that several shares leave room.
func looseLimit() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return int(min(mostLoose, r.Cur/8))
}

// openLoose makes a file without a name, on the disk near the bay's.
func (f *folder) openLoose(bay string, mode uint32) (int, error) {
	if bay == "" {
		bay = "."
	}
	return f.openat(bay, unix.O_WRONLY|unix.O_TMPFILE, mode)
}

// fillLoose writes a file without a name.
func fillLoose(fd int, data []byte, a attributes) error {
	return pathError("write", "a file without a name", writeOpen(fd, data, a))
}

// writeOpen writes data to an open new file, made with a.mode, and gives it its
// attributes.
func writeOpen(fd int, data []byte, a attributes) error {
	if err := writeAll(fd, data); err != nil {
		return err
	}
	var st unix.Stat_t // asking costs less than setting what is right already
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&0o7777 != a.mode {
		if err := unix.Fchmod(fd, a.mode); err != nil {
			return err
		}
	}
	if a.uid >= 0 || a.gid >= 0 {
		if err := unix.Fchown(fd, a.uid, a.gid); err != nil {
			return err
		}
	}
	return setOpenMTime(fd, a.mtime)
}

// setOpenMTime is futimens(3).
func setOpenMTime(fd int, mtime int64) error {
	ts := [2]unix.Timespec{unix.NsecToTimespec(mtime), unix.NsecToTimespec(mtime)}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func statLoose(fd int) (stat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return stat{}, pathError("stat", "a file without a name", err)
	}
	return statOf(&st), nil
}

func syncLoose(fd int) error {
	return pathError("sync", "a file without a name", retryEINTR(func() error { return unix.Fsync(fd) }))
}

func closeLoose(fd int) { _ = unix.Close(fd) } // what could not be written the sync told
