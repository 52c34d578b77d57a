package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

const watchEvery = time.Second

func (a *app) newStatusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status [REMOTE]",
		Short: "Say whether every copy is up to date, or why not",
		Long: `status asks the service that runs on the data folder, main or remote, and prints
what it says. On a main a remote's name shows that one only.

It ends with 0 when every copy is up to date, 3 when one is behind or away, 4 when
no service answers, and 5 when a share is held. With --json it ends with 0 when
the service answers: what it says is in the text.`,
		Example: `  waptsync status
  waptsync status colmar --watch
  waptsync status --json | jq '.remotes[].shares[].lag_seconds'`,
		Args: cobra.MaximumNArgs(1),
	}
	data := addDataFlag(c)
	o := statusOptions{}
	c.Flags().BoolVar(&o.json, "json", false, "print JSON, one line each time")
	c.Flags().BoolVar(&o.watch, "watch", false, "go on, once a second, until Ctrl-C")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			o.remote = args[0]
		}
		return a.runStatus(c.Context(), newControlClient(data.get(a)), o)
	}
	return c
}

type statusOptions struct {
	remote      string // empty means all
	json, watch bool
}

func (a *app) runStatus(ctx context.Context, client *controlClient, o statusOptions) error {
	for {
		code, err := a.showStatus(ctx, client, o)
		if !o.watch {
			if err == nil && code != exitOK && !o.json {
				err = quiet{code}
			}
			return err
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(a.err, "waptsync: %v\n", err) // it may come back
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

// showStatus prints the status once and returns the exit code that tells it.
func (a *app) showStatus(ctx context.Context, client *controlClient, o statusOptions) (int, error) {
	var raw json.RawMessage
	if err := client.call(ctx, http.MethodGet, "/v1/status", nil, &raw); err != nil {
		return 0, err
	}
	s, err := parseStatus(raw)
	if err != nil {
		return 0, err
	}
	if m, ok := s.(*mainStatus); ok && o.remote != "" {
		if _, known := m.Remotes[o.remote]; !known {
			return 0, noRemote(o.remote)
		}
	}
	var page bytes.Buffer
	switch {
	case o.json:
		page.Write(raw)
		page.WriteByte('\n')
	case o.watch && isTerminal(a.out):
		page.WriteString("\x1b[H\x1b[2J") // one write a page, so that it does not flicker
		fallthrough
	default:
		if err := s.print(&page, o.remote); err != nil {
			return 0, err
		}
	}
	_, err = a.out.Write(page.Bytes())
	return s.exit(o.remote), err
}
