package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func noEnv(string) (string, bool) { return "", false }

func someEnv(m map[string]string) func(string) (string, bool) {
	return func(k string) (string, bool) { v, ok := m[k]; return v, ok }
}

// loadPublish loads as `waptsync publish` does.
func loadPublish(t *testing.T, path string, env map[string]string, args ...string) (*PublishConfig, error) {
	t.Helper()
	flags := pflag.NewFlagSet("publish", pflag.ContinueOnError)
	defaultPublish().bind(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	c := defaultPublish()
	return c, load(c, path, flags, someEnv(env))
}

func TestAllFaultsOfAConfigurationAreNamedAtOnce(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := loadPublish(t, path, nil)
			if err == nil {
				t.Fatal("the configuration was taken")
			}
			if got := exitCode(err); got != exitUsage {
				t.Errorf("exit code %d, want %d", got, exitUsage)
			}
			golden(t, strings.TrimSuffix(path, ".toml")+".golden", err.Error()+"\n")
		})
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "publish.toml")
	text := "listen = \"10.0.0.1:1\"\nlog-level = \"debug\"\nwindow = \"1GiB\"\n\n[share.wapt]\ndir = \"/file/wapt\"\nno-md5 = true\n[share.old]\ndir = \"/file/old\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"WAPTSYNC_LISTEN": "10.0.0.2:2", "WAPTSYNC_LOG_LEVEL": "warn", "WAPTSYNC_SHARE": "wapt=/env/wapt,env=/env/env"}
	c, err := loadPublish(t, path, env, "--listen", "10.0.0.3:3")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "10.0.0.3:3" || c.LogLevel != "warn" || c.Window != 1<<30 {
		t.Errorf("listen %s, log-level %s, window %s", c.Listen, c.LogLevel, c.Window)
	}
	if got := slices.Sorted(maps.Keys(c.Shares)); !slices.Equal(got, []string{"env", "wapt"}) {
		t.Errorf("shares %v: the environment's should be the only ones", got)
	}
	if s := c.Shares["wapt"]; s.Dir != "/env/wapt" || !s.NoMD5 {
		t.Errorf("share wapt is %+v: want the environment's folder and the file's no-md5", s)
	}
	if c, err = loadPublish(t, path, env, "--share", "flag=/flag"); err != nil || len(c.Shares) != 1 {
		t.Errorf("shares %v, %v: the flag's should be the only one", c.Shares, err)
	}
}

func TestDefaultsNeedOnlyAShare(t *testing.T) {
	c, err := loadPublish(t, "", nil, "--share", "wapt=/var/www/wapt")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":4222" || c.Window != 2<<30 || c.Data != "/var/lib/waptsync" {
		t.Errorf("defaults are %+v", c)
	}
}

func TestDeployedConfigurationsAreGood(t *testing.T) {
	if _, err := loadPublish(t, "../../deploy/publish.toml", nil); err != nil {
		t.Error(err)
	}
	c := defaultSubscribe()
	if err := load(c, "../../deploy/subscribe.toml", pflag.NewFlagSet("", pflag.ContinueOnError), noEnv); err != nil {
		t.Error(err)
	}
}

func TestSizesAndDurationsReadWhatTheyWrite(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1000": 1000, "512KiB": 512 << 10, "2GiB": 2 << 30, "4GB": 4e9, "1.5 MiB": 3 << 19, "7B": 7} {
		var s, again Size
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q is %d, %v; want %d", text, s, err, want)
		}
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q is written %q and read %d, %v", text, s, again, err)
		}
	}
	for text, want := range map[string]time.Duration{"0s": 0, "300ms": 300 * time.Millisecond, "14d": 14 * 24 * time.Hour, "0.5d": 12 * time.Hour, "1h30m": 90 * time.Minute} {
		var d, again Duration
		if err := d.Set(text); err != nil || time.Duration(d) != want {
			t.Errorf("%q is %s, %v; want %s", text, d, err, want)
		}
		if err := again.Set(d.String()); err != nil || again != d {
			t.Errorf("%q is written %q and read %s, %v", text, d, again, err)
		}
	}
}

func TestNonsenseIsNoSizeOrDuration(t *testing.T) {
	for _, text := range []string{"", "GiB", "-1", "2 gigs", "NaN", "1e30", "9EiB"} {
		var s Size
		if err := s.Set(text); err == nil {
			t.Errorf("%q was read as the size %d", text, s)
		}
	}
	for _, text := range []string{"", "d", "5", "1y", "1e9d"} {
		var d Duration
		if err := d.Set(text); err == nil {
			t.Errorf("%q was read as the duration %s", text, d)
		}
	}
}
