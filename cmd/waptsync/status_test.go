package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"waptsync/bus"
	"waptsync/publisher"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func liveShare() remoteShare {
	return remoteShare{ShareReport: bus.ShareReport{State: stateLive, Seq: 90, Files: 512, Bytes: 30 << 30}}
}

// withRemotes is a main with one share and these remotes' copies of it.
func withRemotes(remotes map[string]mainRemote) *mainStatus {
	return &mainStatus{
		header: header{rolePublisher, "1.0.0", noon}, Listen: "[::]:4222",
		Shares:  map[string]mainShare{"wapt": {Dir: "/var/www/wapt", State: stateLive, Files: 512, Bytes: 30 << 30, Newest: noon.Add(-90 * time.Second)}},
		Remotes: remotes,
	}
}

func withCopy(sh remoteShare) map[string]mainRemote {
	return map[string]mainRemote{"colmar": {Connected: true, Reported: noon, Shares: map[string]remoteShare{"wapt": sh}}}
}

func TestStatusTellsPeopleAndScripts(t *testing.T) {
	behind := liveShare()
	behind.State, behind.LagEvents, behind.LagBytes, behind.LagSeconds, behind.Estimate = "catching up", 12, 3<<20, 8, 3
	away := liveShare()
	away.State, away.LagEvents, away.LagSeconds = stateOffline, 4, 300
	broken := liveShare()
	broken.Errors, broken.Problems = 1, []bus.PathProblem{{Path: "a.wapt", Op: "write", Cause: "no space left on device", Hint: "free some"}}
	held := withRemotes(withCopy(liveShare()))
	held.Shares["wapt"] = mainShare{Dir: "/var/www/wapt", State: stateHeld, Files: 512, Held: "400 of 512 files are gone"}
	offline := withCopy(away)
	offline["colmar"] = mainRemote{Reported: noon.Add(-5 * time.Minute), Shares: offline["colmar"].Shares}
	paused := withCopy(away)
	paused["colmar"] = mainRemote{Paused: true, Shares: paused["colmar"].Shares}
	two := withCopy(behind)
	two["mulhouse"] = mainRemote{Connected: true, Shares: map[string]remoteShare{"wapt": liveShare()}}

	waiting := behind
	waiting.State, waiting.Until, waiting.Estimate = stateWaiting, noon.Add(6*time.Hour), 0
	ruled := &bus.BandwidthReport{Own: "8 Mbit/s", Main: "08:00-18:00 off", Now: "off", Until: noon.Add(6 * time.Hour)}
	barred := withCopy(waiting)
	r := barred["colmar"]
	r.Rule, r.Bandwidth = "08:00-18:00 off", ruled
	barred["colmar"] = r
	fresh := withCopy(liveShare())
	r = fresh["colmar"]
	r.Rule = "2 Mbit/s"
	fresh["colmar"] = r

	for _, c := range []struct {
		name   string
		status serviceStatus
		only   string
		code   int
	}{
		{"level", withRemotes(withCopy(liveShare())), "", exitOK},
		{"behind", withRemotes(two), "", exitBehind},
		{"one-of-two", withRemotes(two), "mulhouse", exitOK},
		{"offline", withRemotes(offline), "", exitBehind},
		{"never", withRemotes(map[string]mainRemote{"colmar": {Shares: map[string]remoteShare{"wapt": {ShareReport: bus.ShareReport{State: stateOffline}}}}}), "", exitBehind},
		{"paused", withRemotes(paused), "", exitOK},
		{"problems", withRemotes(withCopy(broken)), "", exitBehind},
		{"held", held, "", exitHeld},
		{"waiting", withRemotes(barred), "", exitBehind},
		{"rule-not-taken", withRemotes(fresh), "", exitOK},
		{"remote-waiting", &remoteStatus{header: header{roleSubscriber, "1.0.0", noon}, Name: "colmar", Main: "main:4222", Connected: true, Bandwidth: ruled, Shares: map[string]remoteShare{"wapt": waiting}}, "", exitBehind},
		{"alone", withRemotes(nil), "", exitOK},
		{"remote", &remoteStatus{header: header{roleSubscriber, "1.0.0", noon}, Name: "colmar", Main: "main:4222", Connected: true, Shares: map[string]remoteShare{"wapt": liveShare()}}, "", exitOK},
		{"remote-away", &remoteStatus{header: header{roleSubscriber, "1.0.0", noon}, Name: "colmar", Main: "main:4222", Cause: "connection refused", Shares: map[string]remoteShare{"wapt": away}}, "", exitBehind},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, err := json.Marshal(c.status)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseStatus(raw) // as the command gets it
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := s.print(&out, c.only); err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/status/"+c.name+".golden", out.String())
			if got := s.exit(c.only); got != c.code {
				t.Errorf("exit code %d, want %d", got, c.code)
			}
		})
	}
}

func TestLagIsWhatEitherSideKnows(t *testing.T) {
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	report := func(events, bytes, received int64) bus.Report {
		return bus.Report{Shares: map[string]bus.ShareReport{"wapt": {State: stateLive, LagEvents: events, LagBytes: bytes, Received: received}}}
	}
	var m reportMemory
	if sh := m.share("wapt", true, 7, at(-10), at(0)); sh.State != stateUnknown || sh.LagEvents != 7 || sh.LagSeconds != 10 {
		t.Errorf("before any report: %+v", sh)
	}
	m.take(report(0, 0, 0), at(0))
	if sh := m.share("wapt", true, 0, at(-10), at(1)); sh.behind() || sh.LagSeconds != 0 {
		t.Errorf("level: %+v", sh)
	}
	if sh := m.share("wapt", true, 3, at(-10), at(5)); sh.LagEvents != 3 || sh.LagSeconds != 4 {
		t.Errorf("the main knows more than the report: %+v", sh)
	}
	m.take(report(2, 1000, 4000), at(4))
	if sh := m.share("wapt", true, 0, at(-10), at(6)); sh.LagEvents != 2 || sh.Estimate != 1 {
		t.Errorf("1,000 bytes left at 1,000 bytes a second: %+v", sh)
	}
	if sh := m.share("wapt", false, 0, at(-10), at(6)); sh.State != stateOffline || sh.Estimate != 0 {
		t.Errorf("away: %+v", sh)
	}
}

func TestStatusTellsOfAnIndexThatNamesMissingFiles(t *testing.T) {
	m := withRemotes(nil)
	sh := m.Shares["wapt"]
	sh.Indexes = []publisher.IndexStatus{
		{Path: "Packages", State: publisher.IndexWithheld, Missing: 2, First: []string{"a.wapt", "b.wapt"},
			Since: noon.Add(-4 * time.Minute), Until: noon.Add(time.Minute)},
		{Path: "old/Packages", State: publisher.IndexIncomplete, Missing: 1, First: []string{"c.wapt"}, Since: noon.Add(-time.Hour), Marked: true},
		{Path: "new/Packages", State: publisher.IndexComplete},
	}
	m.Shares["wapt"] = sh
	var out strings.Builder
	if err := m.print(&out, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"wapt: Packages names 2 files that are missing here for 4 min 0 s: a.wapt, b.wapt. Remotes keep the one before until they come, for 1 min 0 s at most",
		"wapt: old/Packages names 1 file that is missing here for 1 h 0 min: c.wapt. Remotes have it all the same",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("missing %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "new/Packages") {
		t.Error("a complete index is none of an administrator's business")
	}
}
