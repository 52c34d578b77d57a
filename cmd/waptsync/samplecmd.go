package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"waptsync/cmd/waptsync/sample"
)

// newSampleCommand is the change generator of docker-compose.yml, for tests and
// demonstrations only, so it does not show in the help.
func (a *app) newSampleCommand() *cobra.Command {
	o := sample.Options{Seed: 1}
	var every time.Duration
	var changes int
	c := &cobra.Command{
		Use:   "sample DIR",
		Short: "Make a sample repository and keep changing it, as a WAPT Server does",
		Long: `sample makes a WAPT repository in DIR, or goes on with the one that it made there
before, and changes it until SIGTERM.`,
		Example: "  waptsync sample /srv/www/wapt --every 500ms",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().IntVar(&o.Packages, "packages", 8, "packages at the start")
	c.Flags().IntVar(&o.Hosts, "hosts", 40, "host packages at the start")
	c.Flags().IntVar(&o.Payload, "payload", 256<<10, "bytes of a package, about")
	c.Flags().DurationVar(&every, "every", time.Second, "time between two changes")
	c.Flags().IntVar(&changes, "changes", 0, "end after so many changes; 0 means at SIGTERM")
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.runSample(c.Context(), args[0], o, every, changes)
	}
	return c
}

func (a *app) runSample(ctx context.Context, dir string, o sample.Options, every time.Duration, changes int) error {
	r, err := openSample(dir, o)
	if err != nil {
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; changes == 0 || i < changes; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		kinds := []func() (string, error){
			func() (string, error) {
				return r.AddPackage(fmt.Sprintf("sample-new%d", time.Now().UnixNano()), o.Payload)
			},
			r.EditHost, r.Upgrade, r.AddHost, r.EditHost, r.Delete,
		}
		file, err := kinds[i%len(kinds)]()
		if err != nil {
			return fmt.Errorf("changing the sample repository: %w", err)
		}
		fmt.Fprintln(a.out, file)
	}
	return nil
}

// openSample makes the repository, or goes on with one that is there.
func openSample(dir string, o sample.Options) (*sample.Repository, error) {
	if _, err := os.Stat(filepath.Join(dir, "wapt-host")); errors.Is(err, fs.ErrNotExist) {
		return sample.Create(dir, o)
	}
	return sample.Open(dir)
}
