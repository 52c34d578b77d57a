//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// system replicates the source of a scene to its destination.
type system interface {
	// startMain and startRemote start one side and do not wait for it. Each
	// may be called again after its side was stopped.
	startMain(ctx context.Context) error
	startRemote(ctx context.Context) error
	// ready waits until the main knows its own tree and takes connections.
	ready(ctx context.Context) error
}

// fanOut is a system that can have many remotes at once.
type fanOut interface {
	// startNext starts the remote of that number, 1 and more, for a folder.
	startNext(ctx context.Context, number int, folder string) error
}

// kind describes a system.
type kind struct {
	name    string
	oneShot bool     // the remote's process ends when its copy is level
	pushes  bool     // the main connects to the remote, not the other way round
	needs   []string // programs
	open    func(*scene) system
}

func kinds(o *options) []kind {
	return []kind{
		{name: "waptsync", needs: []string{o.waptsync}, open: newWaptsync},
		{name: "rsync", needs: []string{"rsync"}, oneShot: true, open: newRsync},
		{name: "lsyncd", needs: []string{"lsyncd", "rsync"}, pushes: true, open: newLsyncd},
		{name: "syncthing", needs: []string{o.syncthing}, open: newSyncthing},
		{name: "rclone", needs: []string{"rclone"}, oneShot: true, open: newRclone},
	}
}

// missing names the program that the system lacks, or nothing.
func (k kind) missing() string {
	for _, p := range k.needs {
		if _, err := exec.LookPath(p); err != nil {
			return p
		}
	}
	return ""
}

// pick returns the kinds of the given names, in that order.
func pick(all []kind, names []string) ([]kind, error) {
	var picked []kind
	for _, n := range names {
		i := slices.IndexFunc(all, func(k kind) bool { return k.name == n })
		if i < 0 {
			return nil, fmt.Errorf("there is no system %q", n)
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

// rsync: a daemon on the main, and one pull of each share by the remote.
type rsync struct{ *scene }

const (
	rsyncPort = "8730"
	pushPort  = "8731"
	davPort   = "8733"
)

func newRsync(s *scene) system { return rsync{s} }

func (r rsync) startMain(context.Context) error {
	return r.rsyncDaemon(r.src, "main", "read only = yes", r.pair.Main.IP, rsyncPort)
}

func (r rsync) ready(ctx context.Context) error {
	return r.answers(ctx, r.pair.Main.IP+":"+rsyncPort)
}

func (r rsync) startRemote(ctx context.Context) error { return r.pull("remote", r.dst) }

func (r rsync) startNext(_ context.Context, number int, folder string) error {
	return r.pull(fmt.Sprintf("remote-%d", number), folder)
}

func (r rsync) pull(as, folder string) error {
	var pulls []string
	sparse := ""
	if r.sparse {
		sparse = "--sparse "
	}
	for _, share := range shares {
		pulls = append(pulls, fmt.Sprintf("rsync -a --delete --delete-delay --fuzzy %s'rsync://%s:%s/%s/' '%s/'",
			sparse, r.pair.Main.IP, rsyncPort, share, filepath.Join(folder, share)))
	}
	return r.start(r.pair.Remote, as, "sh", "-c", strings.Join(pulls, " && "))
}

// rsyncDaemon serves the shares below root on a host.
func (s *scene) rsyncDaemon(root, side, access, ip, port string) error {
	var conf strings.Builder
	conf.WriteString("use chroot = no\nuid = root\ngid = root\n")
	for _, share := range shares {
		fmt.Fprintf(&conf, "[%s]\npath = %s\n%s\n", share, filepath.Join(root, share), access)
	}
	file := filepath.Join(s.dir, "rsyncd-"+side+".conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		return err
	}
	h := s.pair.Main
	if side == "remote" {
		h = s.pair.Remote
	}
	return s.start(h, side, "rsync", "--daemon", "--no-detach", "--config="+file, "--address="+ip, "--port="+port)
}

// answers waits until somebody takes connections at the address.
func (s *scene) answers(ctx context.Context, address string) error {
	for range 600 {
		if c, err := s.pair.Remote.Dial(address, time.Second); err == nil {
			return c.Close()
		}
		if err := s.ended(); err != nil {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("nobody answers at %s", address)
}

// lsyncd: it watches on the main and pushes to an rsync daemon on the remote.
type lsyncd struct{ *scene }

func newLsyncd(s *scene) system { return lsyncd{s} }

func (l lsyncd) startRemote(ctx context.Context) error {
	if err := l.rsyncDaemon(l.dst, "remote", "read only = no", l.pair.Remote.IP, pushPort); err != nil {
		return err
	}
	return l.answers(ctx, l.pair.Remote.IP+":"+pushPort)
}

func (l lsyncd) ready(context.Context) error { return nil } // its first look is its first push

// A delay of 1 s is the least that lsyncd has.
func (l lsyncd) startMain(context.Context) error {
	var conf strings.Builder
	conf.WriteString("settings { nodaemon = true, statusInterval = 1 }\n")
	for _, share := range shares {
		fmt.Fprintf(&conf, "sync { default.rsync, source = %q, target = \"rsync://%s:%s/%s\", delay = 1, delete = true, rsync = { archive = true } }\n",
			filepath.Join(l.src, share), l.pair.Remote.IP, pushPort, share)
	}
	file := filepath.Join(l.dir, "lsyncd.lua")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		return err
	}
	return l.start(l.pair.Main, "main", "lsyncd", "-nodaemon", file)
}

// rclone: WebDAV on the main, and one sync by the remote.
type rclone struct{ *scene }

func newRclone(s *scene) system { return rclone{s} }

func (r rclone) startMain(context.Context) error {
	return r.start(r.pair.Main, "main", "rclone", "serve", "webdav", r.src,
		"--config=", "--addr", r.pair.Main.IP+":"+davPort, "--dir-cache-time", "10ms")
}

func (r rclone) ready(ctx context.Context) error {
	return r.answers(ctx, r.pair.Main.IP+":"+davPort)
}

func (r rclone) startRemote(context.Context) error {
	remote := fmt.Sprintf(":webdav,url='http://%s:%s':", r.pair.Main.IP, davPort)
	return r.start(r.pair.Remote, "remote", "rclone", "sync", remote, r.dst, "--config=", "--transfers", "8", "--checkers", "16")
}
