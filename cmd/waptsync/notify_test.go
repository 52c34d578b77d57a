//go:build unix

package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := notify(path, "READY=1\nSTATUS=well"); err != nil {
		t.Fatal(err)
	}
	if err := l.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	n, err := l.Read(got)
	if err != nil || string(got[:n]) != "READY=1\nSTATUS=well" {
		t.Errorf("got %q, %v", got[:n], err)
	}
	if err := notify("", "READY=1"); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
}
