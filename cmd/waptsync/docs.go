package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newDocsCommand writes the manual pages: for who builds packages, so it does
// not show in the help.
func (a *app) newDocsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "docs DIR",
		Short:   "Write the manual pages",
		Example: "  waptsync docs --settings deploy dist/man",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
	}
	samples := c.Flags().String("settings", "deploy", "`DIR` of publish.toml and subscribe.toml as they are installed")
	c.RunE = func(c *cobra.Command, args []string) error {
		settings, err := settingsManual(a.version, *samples)
		if err != nil {
			return err
		}
		for name, page := range map[string][]byte{
			"waptsync.1":      commandManual(a.version, c.Root()),
			"waptsync.toml.5": settings,
		} {
			if err := os.WriteFile(filepath.Join(args[0], name), page, 0o644); err != nil {
				return fmt.Errorf("writing a manual page: %w", err)
			}
		}
		return nil
	}
	return c
}

// commandManual is waptsync(1): the whole command line on one page.
func commandManual(version string, root *cobra.Command) []byte {
	m := newManual("waptsync", 1, version)
	m.section("Name")
	m.text("waptsync - replicate WAPT repositories from a main to remotes")
	m.section("Synopsis")
	m.verbatim("waptsync COMMAND [ARGUMENT...] [--FLAG...]")
	m.section("Description")
	m.prose(root.Long)
	m.section("Commands")
	m.commands(root)
	m.section("Files")
	m.item("/etc/waptsync/publish.toml, /etc/waptsync/subscribe.toml", "settings of the services, see waptsync.toml(5)")
	m.item(defaultData, "keys, the bus's store and the state, of mode 0700; the control socket is here")
	m.item("/var/www/wapt, /var/www/wapt-host", "the repositories; .waptsync at the top of a copy holds stages and trash")
	m.section("See also")
	m.text("waptsync.toml(5), systemctl(1)")
	return m.Bytes()
}

// settingsManual is waptsync.toml(5): the settings of both services, and the
// commented files that are installed.
func settingsManual(version, samples string) ([]byte, error) {
	m := newManual("waptsync.toml", 5, version)
	m.section("Name")
	m.text("waptsync.toml - settings of waptsync's services")
	m.section("Description")
	m.prose(`publish and subscribe read TOML from the file that -c names. A setting may also
come from the environment, as WAPTSYNC_ and its name in capitals with _ for -, or
from a flag of its name: flags win over the environment, which wins over the file.
A key that is not known is an error. ` + "`waptsync config check publish|subscribe -c FILE`" + `
names all faults at once, with their lines.

Sizes are texts as "512MiB", "2GiB" or "4GB"; durations are texts as "300ms",
"1h30m" or "14d". Paths are absolute.`)
	for _, service := range []struct {
		name string
		settings
	}{{"publish", defaultPublish()}, {"subscribe", defaultSubscribe()}} {
		path := filepath.Join(samples, service.name+".toml")
		sample, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the settings as installed: %w", err)
		}
		flags := pflag.NewFlagSet(service.name, pflag.ContinueOnError)
		service.bind(flags)
		m.section("Settings of " + service.name)
		m.flags(flags, "")
		m.section("The file " + filepath.Base(path))
		m.text("As it is installed, with the settings of single shares:")
		m.verbatim(string(bytes.TrimSpace(sample)))
	}
	m.section("See also")
	m.text("waptsync(1)")
	return m.Bytes(), nil
}
