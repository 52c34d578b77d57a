package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"waptsync/bus"
)

// JoinConfig lets a remote join by itself, for containers and appliances.
type JoinConfig struct {
	// Invitation is a file with an invitation's line; it is used once, before
	// the first start, and not read after that.
	Invitation string `toml:"invitation"`
}

func (c *JoinConfig) bind(f *pflag.FlagSet) {
	f.Var((*fileFlag)(&c.Invitation), "invitation", "at the first start, join with the line in this file; default: `waptsync join` was run")
}

func (c *JoinConfig) validate(f *faults) {
	if c.Invitation != "" && !filepath.IsAbs(c.Invitation) {
		f.add("invitation", "want an absolute path (got %q)", c.Invitation)
	}
}

// joinOnce joins with the file of c, unless this host has joined already.
func (a *app) joinOnce(ctx context.Context, c *SubscribeConfig) error {
	if c.Invitation == "" {
		return nil
	}
	if _, err := bus.LoadMembership(c.Data); !errors.Is(err, fs.ErrNotExist) {
		return nil // joined; what is wrong with it, the start will say
	}
	f, err := os.Open(c.Invitation)
	if err != nil {
		return withHint(fmt.Errorf("reading the invitation: %w", err), "`waptsync invite NAME --output FILE` on the main writes it")
	}
	defer f.Close()
	from := *a
	from.in = f
	return from.runJoin(ctx, c.Data, "-")
}

// writeInvitation writes the line to a new file that only its owner can read.
func writeInvitation(path, line string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing the invitation: %w", err)
	}
	_, err = fmt.Fprintln(f, line)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the invitation: %w", err), os.Remove(path))
	}
	return nil
}
