package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) newConfigCommand() *cobra.Command {
	return group("config", "Check a configuration", a.newConfigCheckCommand())
}

func (a *app) newConfigCheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check publish|subscribe",
		Short: "Say everything that is wrong with a configuration, and start nothing",
		Long: `check reads the configuration as publish or subscribe would, from the file and the
environment, and lists all that is wrong with it. It ends with 0 or 2.`,
		Example:   "  waptsync config check publish -c /etc/waptsync/publish.toml",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"publish", "subscribe"},
	}
	file := addConfigFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var config settings = defaultPublish()
		if args[0] == "subscribe" {
			config = defaultSubscribe()
		}
		if err := load(config, *file, c.Flags(), a.env); err != nil {
			return err
		}
		_, err := fmt.Fprintln(a.out, "the configuration is good")
		return err
	}
	return c
}

func (a *app) newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  waptsync version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.out, "waptsync", a.version)
			return err
		},
	}
}
