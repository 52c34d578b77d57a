package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// A socket's address holds 108 bytes of path (unix(7)). A longer one goes by
// the folder's descriptor in /proc, which needs no change of the process's
// working folder.
const maxSocketPath = 107

func viaShortPath(path string, do func(path string) error) error {
	if len(path) <= maxSocketPath {
		return do(path)
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", filepath.Dir(path), os.NewSyscallError("open", err))
	}
	defer unix.Close(dir)
	return do("/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path))
}

// peerUID is the user at the other end of a Unix socket, by the kernel's word.
func peerUID(c net.Conn) (uid uint32, known bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return 0, false
	}
	return cred.Uid, true
}

// mayControl says whether the peer is root or the service's own user.
func mayControl(c net.Conn) bool {
	uid, known := peerUID(c)
	return known && (uid == 0 || uid == uint32(os.Geteuid()))
}
