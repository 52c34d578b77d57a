package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) newSubscribeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "subscribe",
		Short: "Run a remote: keep copies of the main's folders",
		Long: `subscribe runs a remote, after ` + "`waptsync join`" + `. It keeps each share's folder
equal to the main's and goes on by itself when the main was away. It runs until
SIGINT or SIGTERM.

The folder belongs to waptsync: what others change in it is undone, and what the
main does not have is moved to the trash in the folder's own .waptsync.`,
		Example: `  waptsync subscribe --share wapt=/var/www/wapt --share wapt-host=/var/www/wapt-host
  waptsync subscribe -c /etc/waptsync/subscribe.toml`,
		Args: cobra.NoArgs,
	}
	flags := defaultSubscribe()
	flags.bind(c.Flags())
	file := addConfigFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		config := defaultSubscribe()
		if err := load(config, *file, c.Flags(), a.env); err != nil {
			return err
		}
		return a.runSubscribe(c.Context(), config)
	}
	return c
}

// runSubscribe runs a remote until ctx ends.
func (a *app) runSubscribe(ctx context.Context, config *SubscribeConfig) error {
	stderr := a.err
	if isTerminal(stderr) {
		stderr = &barWriter{out: stderr}
	}
	log, end := newServiceLogger(stderr, config.Common)
	defer end()
	if err := a.joinOnce(ctx, config); err != nil {
		return unlessStopped(ctx, log, err)
	}
	h, err := openRemote(ctx, config, a.version, log)
	if err != nil {
		return unlessStopped(ctx, log, err)
	}
	defer h.Close()
	s := h.service
	parts := []runner{s}
	agents, err := openShareServer(config, log)
	if err != nil {
		return err
	}
	if agents != nil {
		defer agents.Close()
		parts = append(parts, agents)
	}
	page, err := openRemotePage(s, log)
	if err != nil {
		return err
	}
	if page != nil {
		defer page.Close()
		parts = append(parts, page)
	}

	log.Info().Str("name", s.membership.Name).Str("main", s.membership.Address).Str("version", a.version).Msg("subscribing")
	a.notify(log, "READY=1", fmt.Sprintf("STATUS=copying %d shares of %s", len(config.Shares), s.membership.Address))
	watching, stopWatching := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		progress(watching, stderr, log, s.Shares)
	}()
	err = a.guarded(ctx, log, s.stuck, parts...)
	stopWatching()
	<-shown
	a.notify(log, "STOPPING=1")
	log.Info().Msg("stopping")
	return err
}
