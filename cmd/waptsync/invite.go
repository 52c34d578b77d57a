package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) newInviteCommand() *cobra.Command {
	in := inviteRequest{Expires: Duration(day)}
	c := &cobra.Command{
		Use:   "invite NAME",
		Short: "On the main: print the line with which a remote joins",
		Long: `invite asks the running main for an invitation and prints its one line. The line
holds the main's address, its fingerprint and a secret that works once: give it
to the remote's administrator in a way that others cannot read.`,
		Example: `  waptsync invite colmar
  waptsync invite colmar --share wapt --advertise wapt.example.org:4222 --expires 2h
  waptsync invite colmar | ssh colmar sudo waptsync join -`,
		Args: cobra.ExactArgs(1),
	}
	data := addDataFlag(c)
	var output fileFlag
	c.Flags().VarP(&output, "output", "o", "write the line to this new file, mode 0600; one that is there stays, and nothing is done")
	c.Flags().StringArrayVar(&in.Shares, "share", nil, "a share that the remote may have; may be repeated (default all)")
	c.Flags().StringVar(&in.Advertise, "advertise", "", "address by which the remote reaches the main, `HOST:PORT`")
	c.Flags().Var(&in.Expires, "expires", "how long the line works")
	c.RunE = func(c *cobra.Command, args []string) error {
		in.Name = args[0]
		if output != "" {
			if _, err := os.Lstat(string(output)); err == nil {
				return nil // containers come here at every start
			}
		}
		var out inviteReply
		if err := newControlClient(data.get(a)).call(c.Context(), http.MethodPost, "/v1/invite", in, &out); err != nil {
			return err
		}
		if output != "" {
			return writeInvitation(string(output), out.Line)
		}
		_, err := fmt.Fprintln(a.out, out.Line)
		return err
	}
	return c
}
