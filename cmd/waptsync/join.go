package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"waptsync/bus"
)

const maxJoinLine = 64 << 10

func (a *app) newJoinCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "join [LINE|-]",
		Short: "On a remote: join a main with its invitation",
		Long: `join uses an invitation's line once: it makes this remote known to the main and
keeps what the main answers in the data folder. The remote's own key is made
here and never leaves it. Without an argument, or with -, the line is read from
standard input, so that it shows in no process list. Root joins in the name of
the data folder's owner.

What ` + "`waptsync remote add`" + ` printed on the main is taken in the same way.`,
		Example: `  waptsync join waptsync1-AbC…
  ssh main sudo waptsync invite colmar | waptsync join -`,
		Args: cobra.MaximumNArgs(1),
	}
	data := addDataFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		line := "-"
		if len(args) == 1 {
			line = args[0]
		}
		if err := actAsOwner(data.get(a)); err != nil {
			return err
		}
		return a.runJoin(c.Context(), data.get(a), line)
	}
	return c
}

func (a *app) runJoin(ctx context.Context, dataPath, line string) error {
	if line == "-" {
		text, err := io.ReadAll(io.LimitReader(a.in, maxJoinLine))
		if err != nil {
			return fmt.Errorf("reading the line: %w", err)
		}
		line = string(text)
	}
	line = strings.TrimSpace(line)
	if line == "" {
		return withHint(withCode(exitUsage, errors.New("no invitation was given")), "`waptsync invite NAME` on the main prints it")
	}
	data, err := openData(dataPath)
	if err != nil {
		return err
	}
	defer data.Close()
	identity, err := bus.LoadIdentity(data.path)
	if err != nil {
		return err
	}
	m := new(bus.Membership)
	if strings.HasPrefix(line, "{") {
		if err := json.Unmarshal([]byte(line), m); err != nil {
			return fmt.Errorf("reading the membership: %w", err)
		}
	} else if m, err = bus.Join(ctx, line, identity); err != nil {
		return err
	}
	if err := bus.SaveMembership(data.path, m); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "joined %s as %s, for %s\n  next: waptsync subscribe", m.Address, m.Name, strings.Join(m.Shares, ", "))
	for _, share := range m.Shares {
		fmt.Fprintf(a.err, " --share %s=/var/www/%s", share, share)
	}
	fmt.Fprintln(a.err)
	return nil
}

func (a *app) newIDCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "id",
		Short: "On a remote: print its public ID",
		Long: `id prints this remote's public ID and makes the key if there is none yet. The ID
is no secret; ` + "`waptsync remote add`" + ` on the main takes it.`,
		Example: `  waptsync id
  sudo waptsync id --data /var/lib/waptsync`,
		Args: cobra.NoArgs,
	}
	data := addDataFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		path := data.get(a)
		if err := actAsOwner(path); err != nil {
			return err
		}
		// No lock: a running service does not change its identity.
		if err := makeData(path); err != nil {
			return err
		}
		identity, err := bus.LoadIdentity(path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.out, identity.ID())
		return err
	}
	return c
}
