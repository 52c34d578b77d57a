//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// workload is something to do and to measure.
type workload struct {
	name  string
	about string
	run   func(ctx context.Context, t *trial) error
	wants func(kind) bool // which systems can do it; nil is all
	alone bool            // measures the machine, no system
	long  bool            // runs only when it is named
}

var workloads = []workload{
	{name: "big", about: "first copy of 2 GB of packages of 0.2 to 200 MB", run: big},
	{name: "small", about: "first copy of 20,000 host packages of 3 to 8 kB", run: small},
	{name: "floor", about: "what the machine needs to read, hash, write and sync the trees of big and small", run: floor, alone: true},
	{name: "latency", about: "a new file of 20 kB over quiet trees, 20 times", run: latency, wants: follows},
	{name: "upgrade", about: "next version of a 200 MB package, nine tenths the same", run: upgrade},
	{name: "catchup", about: "remote off while half of 10,000 host packages change four times, 1,000 go, 1,000 come", run: catchup},
	{name: "restart", about: "both sides restarted on 50,000 equal files, to the first new file", run: restart, wants: follows},
	{name: "idle", about: "processor and memory on 50,000 equal files", run: idle, wants: follows},
	{name: "releases", about: "real next versions of ten Go modules' zips, and Debian packages of them", run: releases},
	{name: "thin", about: "200 MB over 50 Mbit/s, and a host package amid", run: thin},
	{name: "lossy", about: "6 MB over 2 Mbit/s with 300 ms and 1 % loss, and a host package amid", run: lossy},
	{name: "fanout", about: "200 MB and 2,000 host packages to 50 remotes at once", run: fanout, wants: fans},
	{name: "scale", about: "10,000, 100,000 and 1,000,000 small files: first copy, restart, one change, memory", run: scale, wants: scales},
	{name: "rewrite", about: "200,000 host packages rewritten in one go", run: rewrite, wants: scales},
	{name: "huge", about: "one file of 10 GB, mostly holes", run: huge, wants: scales},
	{name: "share", about: "a share of 100 GB in files of 5 GB, mostly holes; only when named", run: share, wants: scales, long: true},
}

// follows are systems that see a change by themselves.
func follows(k kind) bool { return !k.oneShot }

// fans are systems with which one main can have many remotes here.
func fans(k kind) bool {
	_, can := k.open(nil).(fanOut)
	return can
}

// scales are systems for which a night is long enough.
func scales(k kind) bool { return k.name == "waptsync" || k.name == "rsync" }

// rest lets things come to rest, for a shorter time at small scales.
func (t *trial) rest(ctx context.Context, d time.Duration) error {
	return sleep(ctx, time.Duration(float64(d)*min(1, max(0.05, 5*t.scale))))
}

// room fails when the work folder's disk has fewer bytes free than are needed.
func (t *trial) room(bytes int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(t.work, &st); err != nil {
		return fmt.Errorf("looking for room: %w", err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < bytes {
		return fmt.Errorf("needs %.0f MB in %s, %.0f MB are free; -work names another folder", mega(bytes), t.work, mega(free))
	}
	return nil
}
