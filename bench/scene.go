//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"waptsync/bench/link"
	"waptsync/bench/tree"
)

// The shares that every workload has, and where they are below a host's folder.
const (
	packages = "wapt"
	hosts    = "wapt-host"
)

var shares = []string{packages, hosts}

// scene is one system between one source and its copy. Its files go with it.
type scene struct {
	*trial
	dir      string // all of the scene
	src, dst string
	make     *tree.Maker
	system   system
	procs    map[string]*process
	copies   []*mirror // of dst; further ones of workloads with many remotes
	source   map[string]*tree.Digests
	sparse   bool // its files have holes
}

// mirror is a folder that shall become equal to the source.
type mirror struct {
	folder string
	sums   map[string]*tree.Digests
}

// open makes a scene whose source has bytes of packages and so many host packages.
func (t *trial) open(bytes int64, hostPackages int) (*scene, error) {
	dir, err := os.MkdirTemp(t.work, "scene-")
	if err != nil {
		return nil, fmt.Errorf("making the scene's folder: %w", err)
	}
	s := &scene{
		trial: t, dir: dir, src: filepath.Join(dir, "main"), dst: filepath.Join(dir, "remote"),
		make: tree.NewMaker(uint64(t.run) + 1), procs: make(map[string]*process), source: make(map[string]*tree.Digests),
	}
	s.system = t.kind.open(s)
	for _, share := range shares {
		s.source[share] = tree.NewDigests(filepath.Join(s.src, share))
		if err := os.MkdirAll(filepath.Join(s.src, share), 0o755); err != nil {
			return nil, err
		}
	}
	if err := s.mirror(s.dst); err != nil {
		return nil, err
	}
	if bytes > 0 {
		if err := s.make.Packages(filepath.Join(s.src, packages), bytes); err != nil {
			return nil, err
		}
	}
	if _, err := s.make.Hosts(filepath.Join(s.src, hosts), hostPackages); err != nil {
		return nil, err
	}
	return s, nil
}

// mirror adds a copy that must become equal too.
func (s *scene) mirror(folder string) error {
	m := &mirror{folder: folder, sums: make(map[string]*tree.Digests)}
	for _, share := range shares {
		m.sums[share] = tree.NewDigests(filepath.Join(folder, share))
		if err := os.MkdirAll(filepath.Join(folder, share), 0o755); err != nil {
			return err
		}
	}
	s.copies = append(s.copies, m)
	return nil
}

func (s *scene) close() {
	s.stop()
	if !s.keep {
		os.RemoveAll(s.dir)
	}
}

// settle writes to disk what the making of the source left in memory, so that
// no system pays for it.
func (s *scene) settle() {
	unix.Sync()
}

// start starts a process of the system, to be found and stopped by its name.
func (s *scene) start(h *link.Host, as, name string, args ...string) error {
	p, err := startProcess(h, filepath.Join(s.dir, as+".log"), name, args...)
	if err != nil {
		return err
	}
	s.procs[as] = p
	return nil
}

// stop ends the named processes, or all.
func (s *scene) stop(which ...string) {
	for name, p := range s.procs {
		if len(which) == 0 || which[0] == name {
			p.stop()
			delete(s.procs, name)
		}
	}
}

// first starts the side that waits for the other and returns when it is ready:
// its first look at its own tree is its own work, for every system alike.
func (s *scene) first(ctx context.Context) error {
	if s.kind.pushes {
		return s.system.startRemote(ctx)
	}
	if err := s.system.startMain(ctx); err != nil {
		return err
	}
	return s.system.ready(ctx)
}

// second starts the side that makes the transfer begin.
func (s *scene) second(ctx context.Context) error {
	if s.kind.pushes {
		return s.system.startMain(ctx)
	}
	return s.system.startRemote(ctx)
}

// begin starts both and returns when they are level and at rest.
func (s *scene) begin(ctx context.Context) error {
	s.settle()
	if err := s.first(ctx); err != nil {
		return err
	}
	since := time.Now()
	if err := s.second(ctx); err != nil {
		return err
	}
	if _, err := s.level(ctx, since); err != nil {
		return err
	}
	if err := s.finish(ctx); err != nil {
		return err
	}
	return s.rest(ctx, time.Second)
}

// again makes a system of single runs run; others follow by themselves.
func (s *scene) again(ctx context.Context) error {
	if !s.kind.oneShot {
		return nil
	}
	s.stop("remote")
	return s.system.startRemote(ctx)
}

// finish waits until a single run has ended, so that all of it is measured.
func (s *scene) finish(ctx context.Context) error {
	if !s.kind.oneShot {
		return nil
	}
	for name, p := range s.procs {
		if strings.HasPrefix(name, "remote") {
			if err := p.wait(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }
