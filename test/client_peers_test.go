//go:build linux

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"waptsync/bench/link"
)

// TestClientsOfOthers runs the same clients, steps and disturbances over rsync
// and Syncthing, one after the other and then over waptsync, and prints what
// each failed to do. It judges nobody: docs/reliability.md has the figures.
// WAPTSYNC_PEERS=1 asks for it; SYNCTHING names the program.
func TestClientsOfOthers(t *testing.T) {
	if os.Getenv("WAPTSYNC_PEERS") != "1" {
		t.Skip("compares with others: WAPTSYNC_PEERS=1")
	}
	lab.net.needNamespaces(t)
	for _, s := range []struct {
		name string
		make func(t *testing.T) *system
	}{
		{"rsync", rsyncSystem},
		{"Syncthing", syncthingSystem},
		{"waptsync", func(t *testing.T) *system { return waptsyncSystem(t, []string{"colmar", "ulm"}, "wapt", "wapt-host") }},
	} {
		t.Run(s.name, func(t *testing.T) {
			// The same seed for each: the same steps and disturbances.
			run := runClients(t, seeded(lab.seed), s.make(t))
			t.Log(run.tally)
		})
	}
}

// peer is a system made of programs that run until they are killed.
type peer struct {
	t     *testing.T
	dir   string
	sys   *system
	procs map[string]*exec.Cmd
}

func newPeer(t *testing.T, name string) *peer {
	t.Helper()
	p := &peer{t: t, dir: scratch(t), procs: map[string]*exec.Cmd{}}
	folder := func(host string) func(string) string {
		for _, share := range []string{"wapt", "wapt-host"} {
			makeDirs(t, filepath.Join(p.dir, host, share))
		}
		return func(share string) string { return filepath.Join(p.dir, host, share) }
	}
	p.sys = &system{name: name, dir: folder("main"), killMain: func() { p.end("main", syscall.SIGKILL) }}
	for _, host := range []string{"colmar", "ulm"} {
		p.sys.remotes = append(p.sys.remotes, replica{name: host, dir: folder(host),
			kill: func() { p.end(host, syscall.SIGKILL) }, stop: func() { p.end(host, syscall.SIGTERM) }})
	}
	p.sys.converged = func(within time.Duration) {
		if !poll(min(within, time.Minute), 100*time.Millisecond, p.same) {
			t.Logf("%s: the folders do not have the same names and sizes after %v", name, min(within, time.Minute))
		}
	}
	t.Cleanup(func() {
		for host := range p.procs {
			p.end(host, syscall.SIGKILL)
		}
	})
	return p
}

// begin starts a host's program, and all that it starts, in a process group.
func (p *peer) begin(host string, side *link.Host, args ...string) {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.dir, host+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(p.t, err)
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	check(p.t, side.Start(cmd))
	p.procs[host] = cmd
}

func (p *peer) end(host string, sig syscall.Signal) {
	cmd := p.procs[host]
	if cmd == nil {
		return
	}
	delete(p.procs, host)
	_ = syscall.Kill(-cmd.Process.Pid, sig)
	late := time.AfterFunc(15*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	_ = cmd.Wait()
}

// same says whether the remotes have the main's names and sizes.
func (p *peer) same() bool {
	for _, r := range p.sys.remotes {
		for _, share := range []string{"wapt", "wapt-host"} {
			want, err := readTree(p.sys.dir(share))
			if err != nil {
				return false
			}
			got, err := readTree(r.dir(share))
			if err != nil {
				return false
			}
			for path, e := range want {
				if got[path].size != e.size {
					return false
				}
			}
			for path := range got {
				if _, ok := want[path]; !ok && !strings.HasPrefix(path, ".") {
					return false
				}
			}
		}
	}
	return true
}

// rsyncSystem is an rsync daemon on the main and, on each remote, a loop as
// cron would run it, but every two seconds. WAPT's temporary names are left out.
func rsyncSystem(t *testing.T) *system {
	if _, err := exec.LookPath("rsync"); err != nil {
		t.Skip(err)
	}
	p := newPeer(t, "rsync")
	conf := "use chroot = no\nuid = root\ngid = root\n"
	for _, share := range []string{"wapt", "wapt-host"} {
		conf += fmt.Sprintf("[%s]\npath = %s\nread only = yes\n", share, p.sys.dir(share))
	}
	file := write(t, []byte(conf), p.dir, "rsyncd.conf")
	p.sys.startMain = func() {
		p.begin("main", lab.net.main, "rsync", "--daemon", "--no-detach", "--port=8730", "--config="+file, "--address="+lab.net.mainIP)
	}
	for i := range p.sys.remotes {
		r := &p.sys.remotes[i]
		r.start = func() {
			script := "while :; do "
			for _, share := range []string{"wapt", "wapt-host"} {
				script += fmt.Sprintf("rsync -a --delete --timeout=20 --exclude='wapt????????' --exclude='Packages.*' rsync://%s:8730/%s/ %s/; ", lab.net.mainIP, share, r.dir(share))
			}
			p.begin(r.name, lab.net.remote, "sh", "-c", script+"sleep 2; done")
		}
	}
	return p.sys
}

// syncthingSystem is Syncthing with a send-only main and receive-only remotes,
// its watcher's delay at one second instead of ten. WAPT's temporary names are
// left out.
func syncthingSystem(t *testing.T) *system {
	program := os.Getenv("SYNCTHING")
	if program == "" {
		t.Skip("SYNCTHING names no program")
	}
	p := newPeer(t, "Syncthing")
	remoteIP := lab.net.remote.IP
	hosts := []struct {
		name, ip string
		port     int
		dir      func(string) string
		id       string
	}{{"main", lab.net.mainIP, 22000, p.sys.dir, ""}, {"colmar", remoteIP, 22001, p.sys.remotes[0].dir, ""}, {"ulm", remoteIP, 22002, p.sys.remotes[1].dir, ""}}
	home := func(host string) string { return filepath.Join(p.dir, host+".home") }
	for i, h := range hosts {
		check(t, tool(program, "generate", "--home="+home(h.name), "--no-port-probing"))
		out, err := exec.Command(program, "device-id", "--home="+home(h.name)).Output()
		check(t, err)
		hosts[i].id = strings.TrimSpace(string(out))
	}
	for i, h := range hosts {
		kind, peers := "receiveonly", hosts[:1]
		if i == 0 {
			kind, peers = "sendonly", hosts[1:]
		}
		devices := fmt.Sprintf(`<device id="%s" name="%s"><address>dynamic</address></device>`, h.id, h.name)
		members := fmt.Sprintf(`<device id="%s"/>`, h.id)
		for _, o := range peers {
			devices += fmt.Sprintf(`<device id="%s" name="%s"><address>tcp://%s:%d</address></device>`, o.id, o.name, o.ip, o.port)
			members += fmt.Sprintf(`<device id="%s"/>`, o.id)
		}
		var folders string
		for _, share := range []string{"wapt", "wapt-host"} {
			write(t, []byte("wapt????????\nPackages.??????????????\n"), h.dir(share), ".stignore")
			folders += fmt.Sprintf(`<folder id="%s" label="%s" path="%s" type="%s" rescanIntervalS="60" fsWatcherEnabled="true" fsWatcherDelayS="1">%s<order>oldestFirst</order></folder>`,
				share, share, h.dir(share), kind, members)
		}
		config := fmt.Sprintf(`<configuration version="37">%s%s<gui enabled="false"></gui><options><listenAddress>tcp://%s:%d</listenAddress>`+
			`<globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled>`+
			`<natEnabled>false</natEnabled><reconnectionIntervalS>1</reconnectionIntervalS><urAccepted>-1</urAccepted>`+
			`<crashReportingEnabled>false</crashReportingEnabled><startBrowser>false</startBrowser></options></configuration>`, folders, devices, h.ip, h.port)
		write(t, []byte(config), home(h.name), "config.xml")
	}
	serve := func(host string, side *link.Host) func() {
		return func() {
			p.begin(host, side, program, "serve", "--home="+home(host), "--no-browser", "--no-restart", "--no-upgrade")
		}
	}
	p.sys.startMain = serve("main", lab.net.main)
	for i := range p.sys.remotes {
		p.sys.remotes[i].start = serve(p.sys.remotes[i].name, lab.net.remote)
	}
	return p.sys
}
