//go:build linux

package publisher

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func asNobody(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

func makeFifo(p string) error { return unix.Mkfifo(p, 0o644) }
