package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is what commands see of the world.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) (string, bool)
	version  string
}

const rootHelp = `waptsync replicates WAPT repositories from one main to many remotes.

The main publishes its folders; each remote keeps copies of them. Nothing that a
remote does changes the main, a file is visible whole or not at all, and an index
is never visible before the packages that it names.

Settings come from a TOML file (-c FILE), then from the environment, then from
flags, by the same names: --log-level is log-level in the file and
WAPTSYNC_LOG_LEVEL in the environment. Flags win.

Exit codes:
  0  done; for status and verify: in sync
  1  an error
  2  wrong usage or configuration
  3  status: behind or not connected; verify and demo: a copy differs
  4  no service runs on the data folder
  5  a share is held until an administrator approves`

const rootExamples = `  waptsync demo --once                                     see it work on this machine
  waptsync publish --share wapt=/var/www/wapt              on the main
  waptsync invite colmar                                   on the main: prints one line
  waptsync join LINE                                       on the remote, with that line
  waptsync subscribe --share wapt=/var/www/wapt            on the remote
  waptsync status                                          on either`

// usage is cobra's own, with the examples at the end: what was read last is
// tried first.
const usage = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}
`

// run runs one command line. An error before the command itself began is one
// of usage.
func (a *app) run(ctx context.Context, args []string) error {
	began := false
	root := a.newRootCommand()
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err != nil && !began {
		var h *hintError
		if !errors.As(err, &h) {
			err = &hintError{err, "`waptsync --help` and `waptsync COMMAND --help` show the usage", exitUsage}
		}
	}
	return err
}

func (a *app) newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "waptsync",
		Short:         "Replicate WAPT repositories from a main to remotes",
		Long:          rootHelp,
		Example:       rootExamples,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetUsageTemplate(usage)
	root.AddCommand(
		a.newDemoCommand(),
		a.newPublishCommand(),
		a.newInviteCommand(),
		a.newJoinCommand(),
		a.newSubscribeCommand(),
		a.newRemoteCommand(),
		a.newShareCommand(),
		a.newIDCommand(),
		a.newStatusCommand(),
		a.newBandwidthCommand(),
		a.newVerifyCommand(),
		a.newTrashCommand(),
		a.newConsoleCommand(),
		a.newConfigCommand(),
		a.newVersionCommand(),
		a.newDocsCommand(),
		a.newSampleCommand(),
		a.newAgentPackageCommand(),
	)
	return root
}

// group makes a command that only holds others: alone, or with an unknown
// word, it is an error.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withCode(exitUsage, fmt.Errorf("which one? `waptsync %s --help` lists them", use))
		},
	}
	c.AddCommand(commands...)
	return c
}

// dataFlag is --data of the commands that reach a running service, or its folder.
type dataFlag struct {
	path string
	flag *pflag.Flag
}

func addDataFlag(c *cobra.Command) *dataFlag {
	d := &dataFlag{path: defaultData}
	c.Flags().Var((*pathFlag)(&d.path), "data", "the service's data folder")
	d.flag = c.Flags().Lookup("data")
	return d
}

// get is the flag's value, else the environment's, else the default.
func (d *dataFlag) get(a *app) string {
	if text, ok := a.env(envName("data")); ok && !d.flag.Changed {
		return text
	}
	return d.path
}

// addConfigFlag is -c of the services.
func addConfigFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", "", "configuration `FILE`, TOML")
}
