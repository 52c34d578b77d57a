package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"waptsync/bus"
)

func TestAReportAlwaysFits(t *testing.T) {
	r := &bus.Report{Shares: make(map[string]bus.ShareReport)}
	for i := range 10 {
		var sh bus.ShareReport
		for range 20 {
			sh.Problems = append(sh.Problems, bus.PathProblem{Path: strings.Repeat("x", 4096)})
			sh.Errors++
		}
		r.Shares[fmt.Sprint("share", i)] = sh
	}
	whole := r.Shares
	fit(r)
	data, err := json.Marshal(r)
	if err != nil || len(data) > 64<<10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if len(r.Shares["share0"].Problems) == 0 || r.Shares["share0"].Errors != 20 {
		t.Errorf("left: %d problems of %d errors", len(r.Shares["share0"].Problems), r.Shares["share0"].Errors)
	}
	if len(whole["share0"].Problems) != 20 {
		t.Error("what was handed in was changed")
	}
}

func TestBecomingLevelIsReportedAtOnce(t *testing.T) {
	at := func(state string, lag int64, seq uint64) map[string]bus.ShareReport {
		return map[string]bus.ShareReport{"wapt": {State: state, LagEvents: lag, Seq: seq}}
	}
	for _, c := range []struct {
		name        string
		before, now map[string]bus.ShareReport
		want        bool
	}{
		{"first", nil, at(stateLive, 0, 1), true},
		{"from behind", at(stateLive, 3, 1), at(stateLive, 0, 4), true},
		{"several in between", at(stateLive, 0, 1), at(stateLive, 0, 4), false},
		{"nothing new", at(stateLive, 0, 4), at(stateLive, 0, 4), false},
		{"still behind", at(stateLive, 0, 4), at(stateLive, 1, 4), false},
		{"not live", at("reconciling", 0, 4), at("reconciling", 0, 5), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := becameLive(c.before, c.now); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
