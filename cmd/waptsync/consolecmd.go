package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"waptsync/console"
)

func (a *app) newConsoleCommand() *cobra.Command {
	return group("console", "The administrator's page", a.newPasswdCommand())
}

func (a *app) newPasswdCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "passwd",
		Short: "Set the password of the page's administrator",
		Long: `passwd sets the password of the page's one account, ` + console.AccountName + `. It asks twice on a
terminal, else it reads one line. A service that runs takes it at once; whoever
is signed in has to sign in again.`,
		Example: `  sudo waptsync console passwd
  waptsync console passwd --data /srv/waptsync <password.txt`,
		Args: cobra.NoArgs,
	}
	data := addDataFlag(c)
	c.RunE = func(*cobra.Command, []string) error {
		path := data.get(a)
		if err := actAsOwner(path); err != nil {
			return err
		}
		// No lock: it is for the service that runs.
		if err := makeData(path); err != nil {
			return err
		}
		password, err := a.askPassword()
		if err != nil {
			return err
		}
		err = console.SetPassword(path, password)
		var bad *console.PasswordError
		if errors.As(err, &bad) {
			return withCode(exitUsage, err)
		}
		return err
	}
	return c
}

const maxPasswordLine = 4 << 10

func (a *app) askPassword() (string, error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(a.in, maxPasswordLine)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	var said [2]string
	for i, prompt := range []string{"Password for " + console.AccountName + ": ", "Once more: "} {
		fmt.Fprint(a.err, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		if err != nil {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		said[i] = string(b)
	}
	if said[0] != said[1] {
		return "", withCode(exitUsage, errors.New("the two passwords differ"))
	}
	return said[0], nil
}
