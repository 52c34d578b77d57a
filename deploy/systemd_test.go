//go:build linux

package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bothOnOneHost is run by a booted Debian: a main and a remote under their real
// units, as docs/installing.md has it for a host that is both.
const bothOnOneHost = `#!/bin/sh
exec >/root/outcome 2>&1
set -ex
until_ok() { n=0; until "$@"; do n=$((n+1)); [ $n -lt 150 ]; sleep 0.2; done; }
systemctl start waptsync-publisher
systemctl show -p StatusText waptsync-publisher | grep 'publishing 1 shares'
page() { journalctl -u waptsync-$1 | grep -q "$2"; }
until_ok page publisher '"http":"\[::\]:8384".*serving the page'
until_ok page publisher '/setup?token='
systemctl start waptsync-subscriber # skipped: it has no main yet
[ "$(systemctl is-active waptsync-subscriber)" = inactive ]
waptsync invite colmar --data /var/lib/waptsync-publisher >/root/line
waptsync join - </root/line
systemctl start waptsync-subscriber
until_ok waptsync status
until_ok page subscriber 'set http to another address' # its port is the main's here
[ "$(stat -c '%a %U %G' /var/www/wapt/d/x)" = '640 wapt www-data' ]
[ "$(readlink /var/www/wapt/link)" = d/x ]
echo new >/srv/wapt/d/new # root's file: CAP_LEASE
until_ok cmp /srv/wapt/d/new /var/www/wapt/d/new
rm /srv/wapt/d/new
until_ok test ! -e /var/www/wapt/d/new
for unit in waptsync-publisher waptsync-subscriber; do
  [ "$(systemctl show -p WatchdogUSec --value $unit)" = 5min ]
  mkdir -p /run/systemd/system/$unit.service.d
  printf '[Service]\nWatchdogSec=8s\nTimeoutAbortSec=1s\nRestartSec=1s\n' >/run/systemd/system/$unit.service.d/quick.conf
done
systemctl daemon-reload
systemctl restart waptsync-publisher waptsync-subscriber
until_ok waptsync status
kill -STOP "$(systemctl show -p MainPID --value waptsync-subscriber)"
restarted() { [ "$(systemctl show -p NRestarts --value $1)" = $2 ]; }
until_ok restarted waptsync-subscriber 1
until_ok waptsync status
restarted waptsync-publisher 0 # it went on for longer than that, under its watchdog
rm /run/systemd/system/waptsync-*.service.d/quick.conf
systemctl daemon-reload
systemctl stop waptsync-publisher waptsync-subscriber
[ "$(systemctl is-failed waptsync-publisher waptsync-subscriber | sort -u)" = inactive ]
echo ALL WENT WELL
`

// checkUnits boots systemd in the Debian and runs both services under their
// units: what the hardening takes away must not be needed.
func (d *debian) checkUnits(t *testing.T) {
	need(t, "systemd-nspawn")
	saved := make(map[string][]byte)
	for name, text := range map[string]string{
		"publish":   "data = \"/var/lib/waptsync-publisher\"\nlisten = \"127.0.0.1:4222\"\nwindow = \"8MiB\"\n[share.wapt]\ndir = \"/srv/wapt\"\n",
		"subscribe": "min-free = \"0\"\n[share.wapt]\ndir = \"/var/www/wapt\"\n",
	} {
		path := d.path("etc/waptsync", name+".toml")
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		saved[path] = before
		put(t, path, text, time.Now())
	}
	put(t, d.path("etc/systemd/system/waptsync-publisher.service.d/both.conf"), "[Service]\nStateDirectory=waptsync-publisher\n", time.Now())
	put(t, d.path("srv/wapt/d/x"), "text", time.Now())
	put(t, d.path("root/try.sh"), bothOnOneHost, time.Now())
	put(t, d.path("etc/systemd/system/try.service"),
		"[Service]\nType=oneshot\nExecStart=/bin/sh /root/try.sh\nExecStopPost=/bin/systemctl --no-block poweroff\n[Install]\nWantedBy=multi-user.target\n", time.Now())
	d.run(t, "sh", "-ec", "ln -s d/x /srv/wapt/link; chmod 640 /srv/wapt/d/x; chown -R wapt:www-data /srv/wapt; install -d -o wapt -g www-data /var/www /var/www/wapt; systemctl enable -q try.service")

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemd-nspawn", "--quiet", "--directory", d.root, "--boot", "--register=no", "--keep-unit",
		"--private-network", "--console=pipe").CombinedOutput()
	outcome, readErr := os.ReadFile(d.path("root/outcome"))
	switch {
	case readErr != nil && ctx.Err() == nil:
		t.Logf("no systemd can be booted here, the units were not run: %v: %s", err, out)
	case readErr != nil || !strings.HasSuffix(string(outcome), "ALL WENT WELL\n"):
		journal, _ := exec.Command("journalctl", "--no-pager", "-n", "60", "-D", d.path("var/log/journal")).CombinedOutput()
		t.Errorf("under systemd: %v\n%s\n%s\n%s", readErr, outcome, out, journal)
	}

	d.run(t, "sh", "-ec", "systemctl disable -q try.service; rm -rf /etc/systemd/system/try.service /etc/systemd/system/waptsync-publisher.service.d /var/lib/waptsync-publisher /srv/wapt /var/www/wapt; find /var/lib/waptsync -mindepth 1 -delete")
	for path, text := range saved {
		put(t, path, string(text), time.Now())
	}
	if left, err := filepath.Glob(d.path("var/lib/waptsync/*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}
