package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) newShareCommand() *cobra.Command {
	var reason string
	hold := a.newShareActCommand("hold", "On the main: publish nothing of a share until it is approved",
		"  waptsync share hold wapt --reason 'disk is being moved'", func() any { return holdRequest{reason} })
	hold.Flags().StringVar(&reason, "reason", "held by an administrator", "what status shows")
	return group("share", "List shares, hold and approve them",
		a.newShareListCommand(),
		hold,
		a.newShareActCommand("approve", "On the main: what a held share has lost is meant; delete it on the remotes",
			"  waptsync status          says what is held and why\n  waptsync share approve wapt", func() any { return nil }),
		a.newShareActCommand("rescan", "Look at the whole folder now; on a remote, compare it with the main",
			"  waptsync share rescan wapt", func() any { return nil }),
	)
}

func (a *app) newShareListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the shares of the service on this host",
		Example: "  waptsync share list\n  waptsync share list --json",
		Args:    cobra.NoArgs,
	}
	data := addDataFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var raw json.RawMessage
		if err := newControlClient(data.get(a)).call(c.Context(), http.MethodGet, "/v1/status", nil, &raw); err != nil {
			return err
		}
		s, err := parseStatus(raw)
		if err != nil {
			return err
		}
		return printShares(a.out, s, *asJSON)
	}
	return c
}

func printShares(w io.Writer, s serviceStatus, asJSON bool) error {
	t := newTable(w)
	switch s := s.(type) {
	case *mainStatus:
		if asJSON {
			return json.NewEncoder(w).Encode(s.Shares)
		}
		printMainShares(t, s.Shares, s.Time)
	case *remoteStatus:
		if asJSON {
			return json.NewEncoder(w).Encode(s.Shares)
		}
		printCopies(t, s.Shares)
	}
	return t.Flush()
}

func printMainShares(t io.Writer, shares map[string]mainShare, now time.Time) {
	fmt.Fprintln(t, "SHARE\tSTATE\tFILES\tBYTES\tNEWEST CHANGE\tERRORS\tFOLDER")
	for _, n := range slices.Sorted(maps.Keys(shares)) {
		sh := shares[n]
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%d\t%s\n", n, sh.State, sh.Files, showBytes(sh.Bytes), showAge(sh.Newest, now), sh.Errors, sh.Dir)
	}
}

func printCopies(t io.Writer, shares map[string]remoteShare) {
	fmt.Fprintln(t, "SHARE\tSTATE\tFILES\tEVENTS BEHIND\tBYTES BEHIND\tAGE\tERRORS")
	for _, n := range slices.Sorted(maps.Keys(shares)) {
		printCopy(t, n, shares[n])
	}
}

// newShareActCommand makes a command that posts to one share.
func (a *app) newShareActCommand(verb, short, example string, body func() any) *cobra.Command {
	c := &cobra.Command{
		Use:     verb + " SHARE",
		Short:   short,
		Example: example,
		Args:    cobra.ExactArgs(1),
	}
	data := addDataFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		path := "/v1/shares/" + url.PathEscape(args[0]) + "/" + verb
		return newControlClient(data.get(a)).call(c.Context(), http.MethodPost, path, body(), nil)
	}
	return c
}
