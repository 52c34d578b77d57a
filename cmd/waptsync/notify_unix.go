//go:build unix

package main

import (
	"fmt"
	"net"
)

// notify tells the service manager about the service's state: READY=1,
// STATUS=text, STOPPING=1 (sd_notify(3)). socket is $NOTIFY_SOCKET; without
// one, nobody is listening and nothing is sent.
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	c, err := net.Dial("unixgram", socket) // a leading @ is the abstract namespace, here as there
	if err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("telling the service manager: %w", err)
	}
	return nil
}
