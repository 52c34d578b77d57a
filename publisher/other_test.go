//go:build !linux

package publisher

import (
	"errors"
	"os/exec"
)

func asNobody(*exec.Cmd) {}

func makeFifo(string) error { return errors.ErrUnsupported }
