//go:build linux

package deploy

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildPackages makes all packages, of version 1.2.3, and returns their folder.
func buildPackages(t *testing.T) string {
	t.Helper()
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "package/build.sh", "1.2.3")
	cmd.Env = append(os.Environ(), "OUT="+out)
	text, err := cmd.CombinedOutput()
	if err != nil && bytes.Contains(text, []byte("dial tcp")) {
		t.Skipf("the packager cannot be had here: %s", text)
	}
	if err != nil {
		t.Fatalf("building the packages: %v\n%s", err, text)
	}
	return out
}

// upgraded makes version 1.2.4 of the .deb files, with the same files.
func upgraded(t *testing.T, dir string) string {
	t.Helper()
	out := t.TempDir()
	for _, deb := range debs(t, dir) {
		tree := filepath.Join(t.TempDir(), "tree")
		run(t, "dpkg-deb", "-R", deb, tree)
		run(t, "sed", "-i", "/^Version:\\|^Depends:/s/1\\.2\\.3/1.2.4/", filepath.Join(tree, "DEBIAN", "control"))
		run(t, "dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, out)
	}
	return out
}

func debs(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(list) != 3 {
		t.Fatalf("packages %q, %v: want three", list, err)
	}
	return list
}

// debian is a bare Debian in a folder.
type debian struct{ root string }

// newDebian makes one with what the test machine's own release has.
func newDebian(t *testing.T) *debian {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a Debian root: not tested here")
	}
	need(t, "debootstrap", "chroot")
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?m)^VERSION_CODENAME="?(\w+)`).FindSubmatch(release)
	if code == nil || !bytes.Contains(release, []byte("ID=debian")) {
		t.Skip("this machine is no Debian: not tested here")
	}
	// Its files belong to other users, and are many: not in t.TempDir, whose
	// removal would fail the test over a stray mount.
	d := new(debian)
	if d.root, err = os.MkdirTemp("", "waptsync-debian-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d.root) })
	if err := os.Chmod(d.root, 0o755); err != nil {
		t.Fatal(err)
	}
	cache, err := filepath.Abs("../.cache/debootstrap")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := try(t, "debootstrap", "--variant=minbase", "--include=systemd-sysv", "--cache-dir="+cache, string(code[1]), d.root); err != nil {
		t.Skipf("no Debian can be had here: %s", out[max(0, len(out)-500):])
	}
	return d
}

func (d *debian) path(elem ...string) string {
	return filepath.Join(append([]string{d.root}, elem...)...)
}

// command prepares one that runs inside, as who, USER:GROUP, or as root.
func (d *debian) command(ctx context.Context, who string, args ...string) *exec.Cmd {
	if who != "" {
		args = append([]string{"--userspec=" + who, d.root}, args...)
	} else {
		args = append([]string{d.root}, args...)
	}
	cmd := exec.CommandContext(ctx, "chroot", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

func (d *debian) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.command(t.Context(), "", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// install installs the packages of a folder, as apt would after resolving.
func (d *debian) install(t *testing.T, dir string) {
	t.Helper()
	args := []string{"dpkg", "--force-confold", "-i"}
	for _, deb := range debs(t, dir) {
		to := d.path("tmp", filepath.Base(deb))
		run(t, "cp", deb, to)
		args = append(args, "/tmp/"+filepath.Base(deb))
	}
	d.run(t, args...)
}

func (d *debian) has(t *testing.T, path string, want bool) {
	t.Helper()
	_, err := os.Lstat(d.path(path))
	if (err == nil) != want {
		t.Errorf("%s: %v, want it to be there: %v", path, err, want)
	}
}

func TestPackages(t *testing.T) {
	if testing.Short() {
		t.Skip("builds packages and makes a Debian")
	}
	dir := buildPackages(t)
	t.Run("Debian's install, run, upgrade, go and leave data", func(t *testing.T) { checkDebs(t, dir) })
	t.Run("RPM's hold the same", func(t *testing.T) { checkRPMs(t, dir) })
}

// checkDebs installs, upgrades, removes and purges the real packages in a bare
// Debian, and runs both services between as the packages' user.
func checkDebs(t *testing.T, dir string) {
	d := newDebian(t)
	d.install(t, dir)

	if got := strings.TrimSpace(d.run(t, "waptsync", "version")); got != "waptsync 1.2.3" {
		t.Errorf("version: %q", got)
	}
	for _, path := range []string{
		"/usr/bin/waptsync", "/usr/share/man/man1/waptsync.1.gz", "/usr/share/man/man5/waptsync.toml.5.gz",
		"/usr/share/bash-completion/completions/waptsync", "/lib/systemd/system/waptsync-publisher.service",
		"/lib/systemd/system/waptsync-subscriber.service", "/etc/waptsync/publish.toml", "/etc/waptsync/subscribe.toml",
		"/usr/share/doc/waptsync/copyright", "/usr/share/doc/waptsync-subscriber/nginx.conf",
		"/usr/share/doc/waptsync/prometheus-alerts.yml", "/usr/share/doc/waptsync/grafana-waptsync.json",
		"/etc/systemd/system/multi-user.target.wants/waptsync-publisher.service",
	} {
		d.has(t, path, true)
	}
	if got := d.run(t, "stat", "-c", "%a %U %G", "/var/lib/waptsync"); got != "700 wapt www-data\n" {
		t.Errorf("the data folder is %s", got)
	}
	// As long as there is no licence, whoever has the package shall know.
	d.run(t, "grep", "-q", "No licence has been chosen", "/usr/share/doc/waptsync/copyright")
	for _, role := range []string{"publish", "subscribe"} {
		d.run(t, "waptsync", "config", "check", role, "-c", "/etc/waptsync/"+role+".toml")
	}

	d.checkUnits(t)
	d.replicate(t)

	conf := d.path("etc/waptsync/publish.toml")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	changed := append(text, "# changed here\n"...)
	if err := os.WriteFile(conf, changed, 0o644); err != nil {
		t.Fatal(err)
	}
	keeps := func(when string) {
		t.Helper()
		if got, err := os.ReadFile(conf); err != nil || !bytes.Equal(got, changed) {
			t.Errorf("%s: the changed configuration is gone: %v", when, err)
		}
		d.has(t, "/var/lib/waptsync/membership.json", true)
		if got := d.run(t, "stat", "-c", "%a %U", "/var/lib/waptsync"); got != "700 wapt\n" {
			t.Errorf("%s: the data folder is %s", when, got)
		}
	}
	d.install(t, upgraded(t, dir))
	if got := d.run(t, "dpkg-query", "-W", "-f", "${Version} ", "waptsync*"); got != "1.2.4 1.2.4 1.2.4 " {
		t.Errorf("versions after the upgrade: %q", got)
	}
	keeps("after the upgrade")
	d.run(t, "dpkg", "--remove", "waptsync-publisher", "waptsync-subscriber", "waptsync")
	d.has(t, "/usr/bin/waptsync", false)
	d.has(t, "/lib/systemd/system/waptsync-publisher.service", false)
	keeps("after the removal")
	d.run(t, "dpkg", "--purge", "waptsync-publisher", "waptsync-subscriber", "waptsync")
	for _, path := range []string{"/var/lib/waptsync", "/etc/waptsync", "/etc/systemd/system/multi-user.target.wants/waptsync-publisher.service"} {
		d.has(t, path, false)
	}
	d.has(t, "/srv/copy/Packages", true) // the copies are no package's
}

// replicate joins as root, runs both services as the packages' user and waits
// for the copy.
func (d *debian) replicate(t *testing.T) {
	put(t, d.path("srv/wapt/Packages"), "not an index, but a file", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	d.run(t, "chown", "-R", "wapt:www-data", "/srv/wapt")
	d.run(t, "install", "-d", "-m", "755", "-o", "wapt", "/srv/copy")
	d.run(t, "install", "-d", "-m", "700", "-o", "wapt", "/srv/main")
	d.service(t, "publish", "--data", "/srv/main", "--listen", "127.0.0.1:0", "--share", "wapt=/srv/wapt", "--window", "8MiB")
	var line string
	eventually(t, "the main invites", patience, func() (bool, string) {
		out, err := d.command(t.Context(), "", "waptsync", "invite", "colmar", "--data", "/srv/main").CombinedOutput()
		line = string(out)
		return err == nil, line
	})
	join := d.command(t.Context(), "", "waptsync", "join", "-")
	join.Stdin = strings.NewReader(line)
	if out, err := join.CombinedOutput(); err != nil {
		t.Fatalf("joining as root: %v\n%s", err, out)
	}
	if got := d.run(t, "sh", "-c", "stat -c '%a %U' /var/lib/waptsync/*"); strings.Contains(got, "root") || !strings.Contains(got, "600 wapt") {
		t.Errorf("what root's join made is %s", got)
	}
	d.service(t, "subscribe", "--share", "wapt=/srv/copy", "--min-free", "0")
	eventually(t, "the copy is there", patience, func() (bool, string) {
		out, err := d.command(t.Context(), "", "waptsync", "status").CombinedOutput()
		return err == nil, string(out)
	})
	if got, want := d.run(t, "stat", "-c", "%Y %s %U", "/srv/copy/Packages"), d.run(t, "stat", "-c", "%Y %s %U", "/srv/wapt/Packages"); got != want {
		t.Errorf("the copy is %s, the main's file %s", got, want)
	}
}

// service runs a service as the packages' user until the test ends.
func (d *debian) service(t *testing.T, args ...string) {
	t.Helper()
	cmd := d.command(context.Background(), "wapt:www-data", append([]string{"waptsync"}, args...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("waptsync %s: %v\n%s", args[0], err, log.Bytes())
		}
	})
}

// TestUnitsAreWhatSystemdKnows has systemd read the units.
func TestUnitsAreWhatSystemdKnows(t *testing.T) {
	need(t, "systemd-analyze")
	dir := t.TempDir()
	for _, unit := range []string{"waptsync-publisher.service", "waptsync-subscriber.service"} {
		text, err := os.ReadFile(filepath.Join("systemd", unit))
		if err != nil {
			t.Fatal(err)
		}
		// The program and its manual are not installed on this machine.
		text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAll(text, nil)
		text = bytes.ReplaceAll(text, []byte("/usr/bin/waptsync"), []byte(program))
		path := filepath.Join(dir, unit)
		put(t, path, string(text), time.Now())
		if out := run(t, "systemd-analyze", "verify", "--man=no", path); strings.TrimSpace(out) != "" {
			t.Errorf("%s: %s", unit, out)
		}
	}
}

// TestEveryLineOfHardeningIsExplained holds what docs/installing.md says.
func TestEveryLineOfHardeningIsExplained(t *testing.T) {
	for _, unit := range []string{"waptsync-publisher.service", "waptsync-subscriber.service"} {
		text, err := os.ReadFile(filepath.Join("systemd", unit))
		if err != nil {
			t.Fatal(err)
		}
		_, service, _ := strings.Cut(string(text), "[Service]\n")
		service, _, _ = strings.Cut(service, "[Install]")
		explained := false
		for line := range strings.Lines(service) {
			switch line = strings.TrimSpace(line); {
			case line == "":
				explained = false
			case strings.HasPrefix(line, "#"):
				explained = true
			case !explained:
				t.Errorf("%s: %s stands without a word", unit, line)
			}
		}
	}
}

// checkRPMs looks into the RPM packages: there is no system here to install them.
func checkRPMs(t *testing.T, dir string) {
	need(t, "rpm")
	var all strings.Builder
	for _, name := range []string{"waptsync", "waptsync-publisher", "waptsync-subscriber"} {
		files, err := filepath.Glob(filepath.Join(dir, name+"-1.2.3-*.rpm"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %q, %v", name, files, err)
		}
		all.WriteString(run(t, "rpm", "-qp", "--list", "--scripts", "--requires", files[0]))
		run(t, "rpm", "-K", "--nosignature", files[0])
		if conf := run(t, "rpm", "-qp", "--configfiles", files[0]); name != "waptsync" && !strings.HasPrefix(conf, "/etc/waptsync/") {
			t.Errorf("%s: configuration files %q", name, conf)
		}
	}
	for _, want := range []string{
		"/usr/bin/waptsync\n", "/usr/share/man/man1/waptsync.1.gz\n", "/usr/lib/systemd/system/waptsync-publisher.service\n",
		"/usr/lib/systemd/system/waptsync-subscriber.service\n", "preset waptsync-subscriber.service", "useradd --system", "waptsync = 1.2.3\n",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %q in the packages", want)
		}
	}
}
