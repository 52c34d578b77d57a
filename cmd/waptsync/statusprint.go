package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"waptsync/bus"
	"waptsync/publisher"
)

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func (m *mainStatus) print(w io.Writer, name string) error {
	fmt.Fprintf(w, "main, listening on %s, waptsync %s\n", m.Listen, m.Version)
	if m.Trouble != "" {
		fmt.Fprintf(w, "THE BUS IS NOT WELL: %s\n", m.Trouble)
	}
	t := newTable(w)
	fmt.Fprintln(t)
	printMainShares(t, m.Shares, m.Time)
	if err := t.Flush(); err != nil {
		return err
	}
	remotes := slices.Sorted(maps.Keys(m.Remotes))
	if name != "" {
		remotes = slices.DeleteFunc(remotes, func(n string) bool { return n != name })
	}
	if len(remotes) > 0 {
		fmt.Fprintln(t, "\nREMOTE\tSHARE\tSTATE\tFILES\tEVENTS BEHIND\tBYTES BEHIND\tAGE\tERRORS")
		for _, n := range remotes {
			for _, share := range slices.Sorted(maps.Keys(m.Remotes[n].Shares)) {
				printCopy(t, n+"\t"+share, m.Remotes[n].Shares[share])
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	for _, n := range slices.Sorted(maps.Keys(m.Shares)) {
		sh := m.Shares[n]
		if sh.Held != "" {
			fmt.Fprintf(w, "%s is held: %s. If that is meant: waptsync share approve %s\n", n, sh.Held, n)
		}
		printIndexes(w, n, sh.Indexes, m.Time)
		printProblems(w, n, sh.Problems)
	}
	if len(m.Remotes) == 0 {
		fmt.Fprintln(w, "no remote is known yet: waptsync invite NAME")
	}
	for _, n := range remotes {
		r := m.Remotes[n]
		fmt.Fprintln(w, answer(n, r, m.Time))
		if line := bandwidthLine(r.Bandwidth, r.Rule, m.Time); line != "" {
			fmt.Fprintf(w, "%s: bandwidth: %s\n", n, line)
		}
		for _, share := range slices.Sorted(maps.Keys(m.Remotes[n].Shares)) {
			printProblems(w, n+"/"+share, m.Remotes[n].Shares[share].Problems)
		}
	}
	return nil
}

func (r *remoteStatus) print(w io.Writer, _ string) error {
	link := "connected to"
	if !r.Connected {
		link = "NOT connected to"
	}
	fmt.Fprintf(w, "remote %s, %s the main at %s, waptsync %s\n", r.Name, link, r.Main, r.Version)
	if r.Cause != "" {
		fmt.Fprintf(w, "cause: %s\n", r.Cause)
	}
	if line := r.bandwidthLine(); line != "" {
		fmt.Fprintf(w, "bandwidth: %s\n", line)
	}
	t := newTable(w)
	fmt.Fprintln(t)
	printCopies(t, r.Shares)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, n := range slices.Sorted(maps.Keys(r.Shares)) {
		if sh := r.Shares[n]; sh.State == stateWaiting {
			fmt.Fprintf(w, "%s: waiting%s\n", n, waitsUntil(map[string]remoteShare{n: sh}, r.Time))
		}
		for _, tr := range r.Shares[n].Transfers {
			fmt.Fprintf(w, "%s: %s, %s of %s\n", n, tr.Path, showBytes(tr.Done), showBytes(tr.Size))
		}
		printProblems(w, n, r.Shares[n].Problems)
	}
	return nil
}

// bandwidthLine is as the function of that name; a remote knows both rules.
func (r *remoteStatus) bandwidthLine() string {
	if r.Bandwidth == nil {
		return ""
	}
	return bandwidthLine(r.Bandwidth, r.Bandwidth.Main, r.Time)
}

func printCopy(t io.Writer, label string, sh remoteShare) {
	fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%d\n", label, sh.State, sh.Files, max(0, sh.LagEvents), showBytes(sh.LagBytes), showSeconds(sh.LagSeconds), sh.Errors)
}

func printProblems(w io.Writer, where string, problems []bus.PathProblem) {
	for _, p := range problems {
		fmt.Fprintf(w, "%s: %s: %s: %s", where, p.Path, p.Op, p.Cause)
		if p.Hint != "" {
			fmt.Fprintf(w, " (%s)", p.Hint)
		}
		fmt.Fprintln(w)
	}
}

// printIndexes tells of the indexes that name what is missing on the main.
func printIndexes(w io.Writer, share string, indexes []publisher.IndexStatus, now time.Time) {
	for _, i := range indexes {
		if i.Missing == 0 {
			continue
		}
		then := ""
		switch {
		case i.State == publisher.IndexWithheld:
			then = ". Remotes keep the one before until they come"
			if i.Until.After(now) {
				then += fmt.Sprintf(", for %s at most", showDuration(i.Until.Sub(now)))
			}
		case i.Marked:
			then = ". Remotes have it all the same"
		}
		more := ""
		if i.Missing > len(i.First) {
			more = ", …"
		}
		verb := "is"
		if i.Missing > 1 {
			verb = "are"
		}
		fmt.Fprintf(w, "%s: %s names %s that %s missing here for %s: %s%s%s\n", share, i.Path,
			plural(int64(i.Missing), "file", "files"), verb, showDuration(now.Sub(i.Since)), strings.Join(i.First, ", "), more, then)
	}
}

// answer is the one sentence that says whether a remote is up to date, or why not.
func answer(name string, r mainRemote, now time.Time) string {
	var events, bytes, errors int64
	var lag, estimate float64
	states := make(map[string]bool)
	for _, sh := range r.Shares {
		events, bytes, errors = events+max(0, sh.LagEvents), bytes+sh.LagBytes, errors+sh.Errors
		lag, estimate = max(lag, sh.LagSeconds), max(estimate, sh.Estimate)
		states[sh.State] = true
	}
	var rest []string
	if events > 0 {
		rest = append(rest, plural(events, "event", "events"))
	}
	if bytes > 0 {
		rest = append(rest, showBytes(bytes))
	}
	rest = append(rest, showSeconds(lag))
	behind := strings.Join(rest, ", ") + " behind"

	switch {
	case r.Paused:
		return fmt.Sprintf("%s is paused: waptsync remote resume %s", name, name)
	case !r.Connected && r.Reported.IsZero():
		return fmt.Sprintf("%s has not connected since this service started", name)
	case !r.Connected:
		return fmt.Sprintf("%s is not connected, last heard %s: %s", name, showAge(r.Reported, now), behind)
	case states[stateHeld]:
		return fmt.Sprintf("%s is held, %s", name, behind)
	case events == 0 && bytes == 0 && errors == 0 && len(states) == 1 && states[stateLive]:
		return fmt.Sprintf("%s is up to date (0 s behind)", name)
	case errors > 0:
		return fmt.Sprintf("%s is not up to date: %s after a failure, %s", name, plural(errors, "path waits", "paths wait"), behind)
	}
	delete(states, stateLive)
	why := strings.Join(slices.Sorted(maps.Keys(states)), ", ")
	if states[stateWaiting] {
		why += waitsUntil(r.Shares, now)
	}
	line := fmt.Sprintf("%s is not up to date (%s): %s", name, cmp.Or(why, "catching up"), behind)
	if estimate > 0 {
		line += fmt.Sprintf("; about %s left", showSeconds(estimate))
	}
	return line
}

// waitsUntil tells when the first of the shares that wait for their hours may go on.
func waitsUntil(shares map[string]remoteShare, now time.Time) string {
	var first time.Time
	for _, sh := range shares {
		if sh.State == stateWaiting && sh.Until.After(now) && (first.IsZero() || sh.Until.Before(first)) {
			first = sh.Until
		}
	}
	if first.IsZero() {
		return " for its hours"
	}
	return " for " + showMoment(first, now)
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func showSeconds(s float64) string {
	return showDuration(time.Duration(s * float64(time.Second)))
}

func showAge(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return showDuration(max(0, now.Sub(t))) + " ago"
}
