package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"waptsync/bandwidth"
	"waptsync/bus"
	"waptsync/cmd/waptsync/sample"
)

func TestBandwidthIsRuledFromBothSides(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	repo, err := sample.Create(filepath.Join(dir, "www"), sample.Options{Packages: 2, Hosts: 5, Payload: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	mainData, remoteData := filepath.Join(dir, "main"), filepath.Join(dir, "remote")
	publish := []string{"publish", "--data", mainData, "--listen", "127.0.0.1:0", "--window", "16MiB"}
	subscribe := []string{"subscribe", "--data", remoteData, "--bandwidth", "off"}
	www, copies := repo.Shares(), make(map[string]string)
	for name, folder := range www {
		copies[name] = filepath.Join(dir, "copy", name)
		publish = append(publish, "--share", name+"="+folder)
		subscribe = append(subscribe, "--share", name+"="+copies[name])
	}
	if err := os.MkdirAll(filepath.Join(dir, "copy"), 0o755); err != nil {
		t.Fatal(err)
	}
	onMain := func(args ...string) string { t.Helper(); return must(t, "", append(args, "--data", mainData)...) }
	onRemote := func(args ...string) string { t.Helper(); return must(t, "", append(args, "--data", remoteData)...) }
	says := func(data string, want ...string) {
		t.Helper()
		eventually(t, "status says "+strings.Join(want, ", "), func() (bool, string) {
			out, errs, _ := command(t, "", "status", "--data", data)
			for _, w := range want {
				if !strings.Contains(out, w) {
					return false, out + errs
				}
			}
			return true, ""
		})
	}

	service(t, publish...)
	answers(t, mainData)
	must(t, onMain("invite", "colmar"), "join", "-", "--data", remoteData)
	onMain("bandwidth", "colmar", "only", "wapt-host", "8", "Mbit/s") // not quoted, it is several words
	if out := onMain("bandwidth", "colmar"); !strings.Contains(out, "only wapt-host 8 Mbit/s") {
		t.Errorf("the main does not show its rule:\n%s", out)
	}
	stopRemote := service(t, subscribe...)
	answers(t, remoteData)

	// The remote's own rule, and the main's, which it is told.
	says(remoteData, "bandwidth: off (its own rule: off; the main's rule: only wapt-host 8 Mbit/s)", "wapt: waiting for its hours")
	says(mainData, "colmar is not up to date (waiting for its hours)", "colmar: bandwidth: off (its own rule: off; the main's rule: only wapt-host 8 Mbit/s)")
	onRemote("bandwidth", "none")
	equal(t, www["wapt-host"], copies["wapt-host"])
	says(remoteData, "bandwidth: only wapt-host 8 Mbit/s (the main's rule: only wapt-host 8 Mbit/s)", "wapt: waiting")
	var s struct {
		Remotes map[string]struct {
			Rule      string `json:"bandwidth_rule"`
			Bandwidth bus.BandwidthReport
		}
	}
	if err := json.Unmarshal([]byte(onMain("status", "--json")), &s); err != nil || s.Remotes["colmar"].Rule != "only wapt-host 8 Mbit/s" || s.Remotes["colmar"].Bandwidth.Main != s.Remotes["colmar"].Rule {
		t.Errorf("status: %+v, %v", s, err)
	}

	// Both are remembered: what was set since the configuration was read, too.
	stopRemote()
	service(t, subscribe...)
	answers(t, remoteData)
	if out := onRemote("bandwidth"); !strings.Contains(out, "-         only wapt-host 8 Mbit/s  only wapt-host 8 Mbit/s") {
		t.Errorf("after a restart:\n%s", out)
	}
	says(remoteData, "wapt: waiting")
	if _, err := os.Stat(filepath.Join(copies["wapt"], "Packages")); err == nil {
		t.Error("the waiting share has its index")
	}

	// A forced sync passes over the rules until all is level, and no longer.
	onMain("remote", "sync", "colmar")
	equal(t, www["wapt"], copies["wapt"])
	eventually(t, "the rules hold again", func() (bool, string) {
		out := onRemote("bandwidth")
		return !strings.Contains(out, "asked for"), out
	})
	if _, err := repo.Upgrade(); err != nil {
		t.Fatal(err)
	}
	says(remoteData, "wapt: waiting")
	onMain("bandwidth", "colmar", "none")
	equal(t, www["wapt"], copies["wapt"])

	_, errs, code := command(t, "", "bandwidth", "colmar", "2 MB/s", "--data", mainData)
	if code != exitUsage || !strings.Contains(errs, `rate "2 MB/s": want a number with kbit/s, Mbit/s or Gbit/s`) {
		t.Errorf("a wrong rule: exit code %d: %s", code, errs)
	}
	if _, errs, code := command(t, "", "bandwidth", "nobody", "off", "--data", mainData); code == exitOK || !strings.Contains(errs, `"nobody"`) {
		t.Errorf("an unknown remote: exit code %d: %s", code, errs)
	}
	onRemote("bandwidth", "configured")
	says(remoteData, "bandwidth: off (its own rule: off)")
}

func TestAnOwnRuleHoldsUntilTheConfigurationChanges(t *testing.T) {
	data := &dataDir{path: t.TempDir()}
	open := func(configured string) *remoteLine {
		t.Helper()
		var c Bandwidth
		if err := c.Set(configured); err != nil {
			t.Fatal(err)
		}
		l, err := openLine(data, c.Rule, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	is := func(l *remoteLine, own, mains string) {
		t.Helper()
		if r := l.report(); r.Own != own || r.Main != mains {
			t.Errorf("own rule %q, main's %q; want %q and %q", r.Own, r.Main, own, mains)
		}
	}
	l := open("2 Mbit/s")
	is(l, "2 Mbit/s", "")
	rule, err := bandwidth.Parse("off")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetOwn(&rule); err != nil {
		t.Fatal(err)
	}
	if !l.heed("1 Mbit/s") || l.heed("1 Mbit/s") {
		t.Error("a rule of the main is news once")
	}
	if l.heed("1 furlong/s") {
		t.Error("what cannot be read was taken")
	}
	l.pass(true)
	l = open("2 Mbit/s")
	is(l, "off", "1 Mbit/s")
	if !l.passing() {
		t.Error("a sync that was asked for is forgotten")
	}
	is(open("3 Mbit/s"), "3 Mbit/s", "1 Mbit/s")
	is(open(""), "", "1 Mbit/s")
	if err := l.SetOwn(nil); err != nil {
		t.Fatal(err)
	}
	is(l, "2 Mbit/s", "1 Mbit/s")
	if !l.heed("") {
		t.Error("the end of a rule is no news")
	}
	is(open("2 Mbit/s"), "2 Mbit/s", "")
	if err := os.WriteFile(data.join(lineFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openLine(data, bandwidth.Rule{}, zerolog.Nop()); err == nil || !strings.Contains(hintOf(err), "remove the file") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestSettingsHaveABandwidth(t *testing.T) {
	for text, want := range map[string]string{
		`bandwidth = "Mo–Fr 08:00–18:00 2 Mbit/s"`: "Mo-Fr 08:00-18:00 2 Mbit/s",
		`bandwidth = ""`:         "",
		`bandwidth = "2 Mbyte"`:  "! line 1: ",
		`bandwidth = "Mo 25:00"`: `! 25:00`,
	} {
		path := filepath.Join(t.TempDir(), "subscribe.toml")
		if err := os.WriteFile(path, []byte(text+"\n[share.wapt]\ndir = \"/w\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := defaultSubscribe()
		err := decodeFile(c, path)
		if bad, is := strings.CutPrefix(want, "! "); is {
			if err == nil || !strings.Contains(err.Error(), bad) {
				t.Errorf("%s: %v, want %q", text, err, bad)
			}
			continue
		}
		if err != nil || c.Bandwidth.String() != want {
			t.Errorf("%s is %q, %v", text, c.Bandwidth, err)
		}
	}
}

func TestAMomentIsShownByTheClockThere(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.Local)
	_, here := now.Zone()
	there := time.FixedZone("", here+3600)
	for _, c := range []struct {
		t    time.Time
		want string
	}{
		{now.Add(6 * time.Hour), "18:00"},
		{now.Add(5*24*time.Hour - 4*time.Hour), "Sat 08:00"},
	} {
		if got := showMoment(c.t, now); got != c.want {
			t.Errorf("%v is shown as %s, want %s", c.t, got, c.want)
		}
	}
	if got := showMoment(now.Add(6*time.Hour).In(there), now); !strings.HasPrefix(got, "19:00 ") {
		t.Errorf("in another zone: %s", got)
	}
}
