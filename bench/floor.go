//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"waptsync/bench/table"
	"waptsync/bench/tree"
)

// floor does in one process, with two goroutines and no network, what no copy
// can do without: read, hash, write, and sync at the end.
func floor(ctx context.Context, t *trial) error {
	for _, c := range []struct {
		workload string
		bytes    int64
		hosts    int
	}{{"big", t.scaled(2e9), 0}, {"small", 0, t.count(20_000)}} {
		if err := t.room(2 * c.bytes); err != nil {
			return err
		}
		if err := t.floorOf(ctx, c.workload, c.bytes, c.hosts); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) floorOf(ctx context.Context, workload string, bytes int64, hostPackages int) error {
	s, err := t.open(bytes, hostPackages)
	if err != nil {
		return err
	}
	defer s.close()
	s.settle()
	begin, before := time.Now(), ownTime()
	for _, share := range shares {
		files, _, err := tree.List(filepath.Join(s.src, share))
		if err != nil {
			return err
		}
		if err := copyAll(ctx, filepath.Join(s.src, share), filepath.Join(s.dst, share), files); err != nil {
			return fmt.Errorf("measuring the floor: %w", err)
		}
	}
	took, worked := time.Since(begin), ownTime()-before
	if _, err := s.level(ctx, begin); err != nil {
		return err
	}
	t.emit(workload, table.Figure{Name: "seconds", Value: took.Seconds()}, table.Figure{Name: "cpu_s", Value: worked})
	return nil
}

// copyAll ends with a sync of the whole file system, as of many files it is
// the cheapest.
func copyAll(ctx context.Context, from, to string, files tree.Tree) error {
	var wait sync.WaitGroup
	faults := make(chan error, 2)
	paths := make(chan string)
	for range 2 {
		wait.Go(func() {
			buf := make([]byte, 1<<20)
			var fault error
			for p := range paths {
				if fault == nil {
					fault = copyFile(filepath.Join(from, p), filepath.Join(to, p), buf)
				}
			}
			faults <- fault
		})
	}
	for p := range files {
		if ctx.Err() != nil {
			break
		}
		paths <- p
	}
	close(paths)
	wait.Wait()
	for range 2 {
		if err := <-faults; err != nil {
			return err
		}
	}
	d, err := os.Open(to)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

func copyFile(from, to string, buf []byte) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	// The bare interfaces keep the copy from being left to the kernel: then
	// nothing would have been read.
	_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(w, sha256.New())}, struct{ io.Reader }{r}, buf)
	if closing := w.Close(); err == nil {
		err = closing
	}
	return err
}

// ownTime is the processor time of this process in seconds.
func ownTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
