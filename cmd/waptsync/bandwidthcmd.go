package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waptsync/bandwidth"
	"waptsync/bus"
)

// The words of `waptsync bandwidth` that are no rules.
const (
	noRule         = "none"
	configuredRule = "configured"
)

// bandwidthRequest sets a rule: its text, noRule, or on a remote configuredRule.
type bandwidthRequest struct {
	Rule string `json:"rule"`
}

// bandwidthReply tells the rules of a remote, or of all remotes of a main.
type bandwidthReply struct {
	Role    string                     `json:"role"`
	Own     *bus.BandwidthReport       `json:"own,omitempty"`
	Remotes map[string]remoteBandwidth `json:"remotes,omitempty"`
}

// remoteBandwidth is what a main knows of a remote's rules.
type remoteBandwidth struct {
	Rule string `json:"bandwidth_rule,omitempty"` // the main's
	// Bandwidth is what the remote reported; nil before it did.
	Bandwidth *bus.BandwidthReport `json:"bandwidth,omitempty"`
}

// parse reads the rule that is asked for.
func (r bandwidthRequest) parse() (bandwidth.Rule, error) {
	if r.Rule == noRule {
		return bandwidth.Rule{}, nil
	}
	rule, err := bandwidth.Parse(r.Rule)
	if err != nil {
		return rule, withHint(withCode(exitUsage, err), "`waptsync bandwidth --help` tells how a rule is written")
	}
	return rule, nil
}

func (a *app) newBandwidthCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bandwidth [REMOTE] [RULE|" + noRule + "]",
		Short: "Say how much of its line a remote may use, and when",
		Long: `bandwidth shows or sets the rule for a remote's line to the main: on the main of
the remote that is named, on a remote its own. Of the two the stricter holds. It
takes effect at once, on the main with the remote's next report. "` + noRule + `" removes it;
on a remote "` + configuredRule + `" returns to the rule of its configuration.

A rule is parts between semicolons, each with when it holds and what may flow
then. The first part that holds decides; where none does everything may flow.

  2 Mbit/s
  Mo-Fr 08:00-18:00 2 Mbit/s; else unlimited
  20:00-06:00 unlimited; else only wapt-host
  Sa,Su off

When is days (Mo Tu We Th Fr Sa Su), times (one that ends before it begins ends on
the next day), both, "else", or nothing for always: by the remote's clock and time
zone. What is "unlimited", "off", a rate in kbit/s, Mbit/s or Gbit/s, or "only" and
shares, which may be followed by a rate. A limit is for all shares together and
counts the contents of files; events pass, at 100 to 200 bytes each.

` + "`waptsync remote sync REMOTE`" + ` passes over the rules until the remote is level once.`,
		Example: `  waptsync bandwidth colmar 'Mo-Fr 08:00-18:00 2 Mbit/s; else unlimited'   on the main
  waptsync bandwidth colmar none                                            on the main
  waptsync bandwidth 'Mo-Fr 08:00-18:00 2 Mbit/s'                           on the remote
  waptsync bandwidth                                                        on either`,
	}
	data := addDataFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		client := newControlClient(data.get(a))
		var now bandwidthReply
		if err := client.call(c.Context(), http.MethodGet, "/v1/bandwidth", nil, &now); err != nil {
			return err
		}
		path, name := "/v1/bandwidth", ""
		if now.Role == rolePublisher && len(args) > 0 {
			name, args = args[0], args[1:]
			if _, known := now.Remotes[name]; !known {
				return noRemote(name)
			}
			path = "/v1/remotes/" + url.PathEscape(name) + "/bandwidth"
		}
		if len(args) == 0 {
			return now.print(a.out, name, time.Now())
		}
		// A rule that is not quoted comes in several words.
		return client.call(c.Context(), http.MethodPost, path, bandwidthRequest{strings.Join(args, " ")}, nil)
	}
	return c
}

// print shows the rules; name, if not empty, is the only remote shown.
func (r *bandwidthReply) print(w io.Writer, name string, now time.Time) error {
	t := newTable(w)
	row := func(values ...string) {
		for i, v := range values {
			if v == "" {
				values[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(values, "\t"))
	}
	if r.Own != nil {
		row("OWN RULE", "MAIN'S RULE", "NOW")
		row(r.Own.Own, r.Own.Main, bandwidthNow(r.Own, now))
		return t.Flush()
	}
	row("REMOTE", "RULE", "ITS OWN RULE", "NOW")
	for _, n := range slices.Sorted(maps.Keys(r.Remotes)) {
		if name != "" && n != name {
			continue
		}
		b := r.Remotes[n]
		rule := b.Rule
		if b.Bandwidth == nil {
			row(n, rule, "", "")
			continue
		}
		if b.Bandwidth.Main != rule {
			rule += " (not taken yet)"
		}
		row(n, strings.TrimSpace(rule), b.Bandwidth.Own, bandwidthNow(b.Bandwidth, now))
	}
	return t.Flush()
}

// bandwidthNow is what may flow now, and until when.
func bandwidthNow(b *bus.BandwidthReport, now time.Time) string {
	switch {
	case b.Passing:
		return "unlimited until it is level: a sync was asked for"
	case b.Until.After(now):
		return b.Now + ", until " + showMoment(b.Until, now)
	}
	return b.Now
}

// showMoment is a time of the coming days as the clock shows it there: with its
// zone where that is not now's.
func showMoment(t, now time.Time) string {
	layout := "15:04"
	if t.Sub(now) > 24*time.Hour {
		layout = "Mon 15:04"
	}
	_, there := t.Zone()
	if _, here := now.Zone(); here != there && t.Location() != now.Location() {
		layout += " -07:00"
	}
	return t.Format(layout)
}

// bandwidthLine is the line of a status about a remote's rules; empty when there
// are none.
func bandwidthLine(b *bus.BandwidthReport, mains string, now time.Time) string {
	var rules []string
	if b != nil && b.Own != "" {
		rules = append(rules, "its own rule: "+b.Own)
	}
	if mains != "" {
		text := "the main's rule: " + mains
		if b == nil || b.Main != mains {
			text += ", not taken yet"
		}
		rules = append(rules, text)
	}
	switch {
	case len(rules) == 0:
		return ""
	case b == nil:
		return strings.Join(rules, "; ")
	}
	return bandwidthNow(b, now) + " (" + strings.Join(rules, "; ") + ")"
}
