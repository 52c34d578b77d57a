package publisher

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// writers asks the kernel whether anybody has f's file open for writing: a read
// lease is refused then (fcntl(2), F_SETLEASE). The lease is given back at once,
// and a writer that comes in between waits for no more than that.
func writers(f *os.File) settled {
	raw, err := f.SyscallConn()
	if err != nil {
		return settleUnknown
	}
	answer := settleUnknown
	err = raw.Control(func(fd uintptr) {
		switch _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK); {
		case err == nil:
			answer = settleDone
			_, _ = unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK)
		case errors.Is(err, unix.EAGAIN):
			answer = settleBusy
		}
		// EACCES: the file is another user's. EINVAL, EOPNOTSUPP: this file
		// system has no leases.
	})
	if err != nil {
		return settleUnknown
	}
	return answer
}
