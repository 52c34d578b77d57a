package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func (a *app) newVerifyCommand() *cobra.Command {
	var in verifyRequest
	c := &cobra.Command{
		Use:   "verify [SHARE]",
		Short: "On a remote: read its files and compare them with what the main published",
		Long: `verify reads every file of the copy and compares it with what the main published.
It changes nothing; with --repair, what differs is put right from the main, and
what should not be there goes to the trash. It ends with 0 when nothing differs or
all is being repaired, and with 3 otherwise.`,
		Example: "  waptsync verify\n  waptsync verify wapt --repair",
		Args:    cobra.MaximumNArgs(1),
	}
	data := addDataFlag(c)
	c.Flags().BoolVar(&in.Repair, "repair", false, "put right what differs")
	c.RunE = func(c *cobra.Command, args []string) error {
		in.Shares = args
		return a.runVerify(c.Context(), newControlClient(data.get(a)), in)
	}
	return c
}

func (a *app) runVerify(ctx context.Context, client *controlClient, in verifyRequest) error {
	body, err := client.open(ctx, http.MethodPost, "/v1/verify", in)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	var open int64 // differences that are not being put right
	for {
		var line verifyLine
		err := lines.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			if open > 0 {
				return quiet{exitBehind}
			}
			return nil
		case err != nil:
			return fmt.Errorf("reading the service's answer: %w", err)
		case line.Error != "":
			return withHint(fmt.Errorf("verifying %s: %s", line.Share, line.Error), line.Hint)
		case line.Difference != nil:
			d := line.Difference
			fmt.Fprintf(a.out, "%s: %s: %s", line.Share, d.Path, d.What)
			if d.Detail != "" {
				fmt.Fprintf(a.out, " (%s)", d.Detail)
			}
			if d.Repaired {
				fmt.Fprint(a.out, ", being repaired")
			}
			fmt.Fprintln(a.out)
		case line.Done != nil:
			d := line.Done
			open += d.Differences - d.Repaired
			fmt.Fprintf(a.out, "%s: %s read in %s, %s\n", line.Share,
				plural(d.Files, "file", "files")+" of "+showBytes(d.Bytes), showSeconds(d.Seconds), plural(d.Differences, "difference", "differences"))
		}
	}
}
