//go:build !linux

package main

import (
	"fmt"
	"net"
)

const maxSocketPath = 103 // of the BSDs and of macOS; Windows takes 107

func viaShortPath(path string, do func(path string) error) error {
	if len(path) > maxSocketPath {
		return withHint(fmt.Errorf("the control socket's path %s is longer than %d bytes", path, maxSocketPath),
			"use a data folder with a shorter path")
	}
	return do(path)
}

// mayControl relies on the socket's mode and its folder's: both are the owner's alone.
func mayControl(net.Conn) bool { return true }
