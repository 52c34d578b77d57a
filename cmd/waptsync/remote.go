package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"waptsync/bus"
)

func (a *app) newRemoteCommand() *cobra.Command {
	return group("remote", "On the main: list and change its remotes",
		a.newRemoteListCommand(),
		a.newRemoteAddCommand(),
		a.newRemoteShowCommand(),
		a.newRemoteActCommand("pause", "Keep a remote from connecting; it keeps its place"),
		a.newRemoteActCommand("resume", "Let a paused remote connect again"),
		a.newRemoteActCommand("revoke", "Forget a remote or an invitation, and cut its connections at once"),
		a.newRemoteActCommand("sync", "Have a remote compare its folders with the main now, past its bandwidth rules"),
		a.newRemoteActCommand("verify", "Have a remote read all its files and put right what differs"),
		a.newRemoteSetCommand(),
	)
}

func (a *app) newRemoteListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the remotes and the open invitations",
		Example: "  waptsync remote list\n  waptsync remote list --json",
		Args:    cobra.NoArgs,
	}
	data := addDataFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var list remoteList
		if err := newControlClient(data.get(a)).call(c.Context(), http.MethodGet, "/v1/remotes", nil, &list); err != nil {
			return err
		}
		if *asJSON {
			return json.NewEncoder(a.out).Encode(list)
		}
		t := newTable(a.out)
		fmt.Fprintln(t, "REMOTE\tSTATE\tSHARES\tSINCE\tID")
		for _, r := range list.Remotes {
			state := "known"
			if r.Paused {
				state = statePaused
			}
			if r.Managed {
				state += ", listed"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.Name, state, strings.Join(r.Shares, ","), r.Added.Format(time.DateOnly), r.ID)
		}
		for _, i := range list.Invitations {
			fmt.Fprintf(t, "%s\tinvited\t%s\t\texpires in %s\n", i.Name, strings.Join(i.Shares, ","), showDuration(time.Until(i.Expires)))
		}
		return t.Flush()
	}
	return c
}

func (a *app) newRemoteAddCommand() *cobra.Command {
	var in addRequest
	c := &cobra.Command{
		Use:   "add NAME --id ID",
		Short: "Make a remote known by its ID, without an invitation",
		Long: `add makes a remote known whose ID was taken with ` + "`waptsync id`" + ` there, and prints
what its side needs as one line of JSON, to be given to ` + "`waptsync join`" + `. This
is the way for configuration management.`,
		Example: "  waptsync remote add colmar --id U… --share wapt | ssh colmar sudo waptsync join -",
		Args:    cobra.ExactArgs(1),
	}
	data := addDataFlag(c)
	c.Flags().StringVar(&in.ID, "id", "", "the remote's public ID, U…")
	c.Flags().StringArrayVar(&in.Shares, "share", nil, "a share that the remote may have; may be repeated (default all)")
	c.Flags().StringVar(&in.Advertise, "advertise", "", "address by which the remote reaches the main, `HOST:PORT`")
	c.RunE = func(c *cobra.Command, args []string) error {
		if in.ID == "" {
			return withHint(withCode(exitUsage, errors.New("--id is missing")), "`waptsync id` on the remote prints it")
		}
		in.Name = args[0]
		var m bus.Membership
		if err := newControlClient(data.get(a)).call(c.Context(), http.MethodPost, "/v1/remotes", in, &m); err != nil {
			return err
		}
		return json.NewEncoder(a.out).Encode(m)
	}
	return c
}

func (a *app) newRemoteShowCommand() *cobra.Command {
	var in membershipRequest
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Print what a known remote's own side needs, for `waptsync join`",
		Long: `show prints the same line as add did, for a remote that the list of remotes
(publish --remotes FILE) made known. It holds no key, but it is for that remote only.`,
		Example: "  waptsync remote show colmar | ssh colmar sudo waptsync join -",
		Args:    cobra.ExactArgs(1),
	}
	data := addDataFlag(c)
	c.Flags().StringVar(&in.Advertise, "advertise", "", "address by which the remote reaches the main, `HOST:PORT`")
	c.RunE = func(c *cobra.Command, args []string) error {
		var m bus.Membership
		path := "/v1/remotes/" + url.PathEscape(args[0]) + "/membership"
		if err := newControlClient(data.get(a)).call(c.Context(), http.MethodPost, path, in, &m); err != nil {
			return err
		}
		return json.NewEncoder(a.out).Encode(m)
	}
	return c
}

func (a *app) newRemoteActCommand(verb, short string) *cobra.Command {
	c := &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Example: "  waptsync remote " + verb + " colmar",
		Args:    cobra.ExactArgs(1),
	}
	data := addDataFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		path := "/v1/remotes/" + url.PathEscape(args[0]) + "/" + verb
		return newControlClient(data.get(a)).call(c.Context(), http.MethodPost, path, nil, nil)
	}
	return c
}

func (a *app) newRemoteSetCommand() *cobra.Command {
	var in sharesRequest
	c := &cobra.Command{
		Use:     "set NAME --share SHARE...",
		Short:   "Replace the shares that a remote may have",
		Example: "  waptsync remote set colmar --share wapt --share wapt-host",
		Args:    cobra.ExactArgs(1),
	}
	data := addDataFlag(c)
	c.Flags().StringArrayVar(&in.Shares, "share", nil, "a share that the remote may have; may be repeated")
	c.RunE = func(c *cobra.Command, args []string) error {
		path := "/v1/remotes/" + url.PathEscape(args[0]) + "/shares"
		return newControlClient(data.get(a)).call(c.Context(), http.MethodPost, path, in, nil)
	}
	return c
}
