package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func (a *app) newPublishCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "publish",
		Short: "Run the main: publish folders to remotes",
		Long: `publish runs the main. It watches its folders, publishes every change, and
answers the remotes that were invited. It runs until SIGINT or SIGTERM.

A folder that is missing, suddenly empty, or lost many files at once is held:
nothing is deleted on the remotes until ` + "`waptsync share approve NAME`" + `.`,
		Example: `  waptsync publish --share wapt=/var/www/wapt --share wapt-host=/var/www/wapt-host
  waptsync publish -c /etc/waptsync/publish.toml
  WAPTSYNC_SHARE=wapt=/srv/wapt,wads=/srv/wads waptsync publish --listen 10.0.0.1:4222`,
		Args: cobra.NoArgs,
	}
	flags := defaultPublish()
	flags.bind(c.Flags())
	file := addConfigFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		config := defaultPublish()
		if err := load(config, *file, c.Flags(), a.env); err != nil {
			return err
		}
		return a.runPublish(c.Context(), config)
	}
	return c
}

// runPublish runs a main until ctx ends.
func (a *app) runPublish(ctx context.Context, config *PublishConfig) error {
	log, end := newServiceLogger(a.err, config.Common)
	defer end()
	h, err := openMain(ctx, config, a.version, log)
	if err != nil {
		return unlessStopped(ctx, log, err)
	}
	defer h.Close()
	s := h.service
	parts := []runner{s}
	page, err := openMainPage(s, log)
	if err != nil {
		return err
	}
	if page != nil {
		defer page.Close()
		parts = append(parts, page)
	}

	log.Info().Str("listen", s.server.Addr()).Str("version", a.version).Int("shares", len(config.Shares)).Msg("publishing")
	a.notify(log, "READY=1", fmt.Sprintf("STATUS=publishing %d shares on %s", len(config.Shares), s.server.Addr()))
	err = a.guarded(ctx, log, s.stuck, parts...)
	a.notify(log, "STOPPING=1")
	log.Info().Msg("stopping")
	return err
}

// notify tells the service manager; its deafness stops nothing.
func (a *app) notify(log zerolog.Logger, state ...string) {
	socket, ok := a.env("NOTIFY_SOCKET")
	if !ok {
		return
	}
	if err := notify(socket, strings.Join(state, "\n")); err != nil {
		log.Warn().Err(err).Int("pid", os.Getpid()).Msg("the service manager does not know this service's state")
	}
}
