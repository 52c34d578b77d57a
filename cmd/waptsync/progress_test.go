package main

import (
	"bytes"
	"strings"
	"testing"

	"waptsync/bus"
)

func TestTheBarStaysBelowTheLog(t *testing.T) {
	var out bytes.Buffer
	b := &barWriter{out: &out}
	b.set("[##]")
	if _, err := b.Write([]byte("logged\n")); err != nil {
		t.Fatal(err)
	}
	b.set("")
	want := "[##]" + "\r\x1b[K" + "logged\n" + "[##]" + "\r\x1b[K"
	if out.String() != want {
		t.Errorf("wrote %q, want %q", out.String(), want)
	}
}

func TestTheBarFitsAndShowsWhatIsLeft(t *testing.T) {
	shares := map[string]remoteShare{"wapt": {ShareReport: bus.ShareReport{
		State: "catching up", Files: 3, Bytes: 3 << 20, LagEvents: 2, LagBytes: 1 << 20,
		Transfers: []bus.Transfer{{Path: "été\xff" + strings.Repeat("x", 200)}},
	}}}
	line := sum(shares).bar(80, 4<<20)
	if n := len([]rune(line)); n >= 80 {
		t.Errorf("%d columns", n)
	}
	if !strings.HasPrefix(line, "[##################......]  75 %  1.0 MiB left, 2 events  wapt catching up") {
		t.Errorf("bar is %q", line)
	}
	shares["wapt"] = liveShare()
	if line := sum(shares).bar(80, 4<<20); line != "" {
		t.Errorf("a share that is level shows %q", line)
	}
}
