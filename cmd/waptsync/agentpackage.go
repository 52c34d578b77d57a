package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	agentpackage "waptsync/deploy/agent-package"
)

// agentPackage is what a site's package says.
type agentPackage struct {
	site, url, main    string
	prefix, version    string
	maintainer, output string
	hosts              bool
}

func (a *app) newAgentPackageCommand() *cobra.Command {
	var p agentPackage
	c := &cobra.Command{
		Use:   "agent-package --site SITE --url URL --main URL",
		Short: "Write the WAPT package that points a site's agents at their repository",
		Long: `agent-package writes the source of a WAPT package, to be built and signed with
WAPT's own tools. Installed on an agent, it asks the site's repository whether it
answers and only then makes it the agent's; its audit comes back to the main while
the site does not answer; its removal is the way back.`,
		Example: `  waptsync agent-package --site colmar --url https://wapt.colmar.example.org/wapt \
      --main https://srvwapt.example.org/wapt
  wapt-get build-upload waptsync-repo-colmar-wapt      on a WAPT development host`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&p.site, "site", "", "the site's `NAME`: small letters, digits and hyphens")
	c.Flags().StringVar(&p.url, "url", "", "the site's repository, `URL` of the folder that holds Packages")
	c.Flags().StringVar(&p.main, "main", "", "the main's repository, `URL`, to go back to")
	c.Flags().BoolVar(&p.hosts, "hosts", false, "also take host packages from the site, at the URL with -host behind it")
	c.Flags().StringVar(&p.prefix, "prefix", "waptsync", "`PREFIX` of the package's name, as your other packages have it")
	c.Flags().StringVar(&p.version, "package-version", "1-0", "the package's `VERSION`; agents take a higher one only")
	c.Flags().StringVar(&p.maintainer, "maintainer", "waptsync", "the package's maintainer")
	c.Flags().VarP((*pathFlag)(&p.output), "output", "o", "new folder to write to (default PREFIX-repo-SITE-wapt here)")
	c.RunE = func(*cobra.Command, []string) error { return a.writeAgentPackage(p) }
	return c
}

func (a *app) writeAgentPackage(p agentPackage) error {
	if err := p.check(); err != nil {
		return withCode(exitUsage, err)
	}
	if p.output == "" {
		p.output = p.name() + "-wapt"
	}
	if err := p.write(); err != nil {
		return fmt.Errorf("writing the agents' package: %w", err)
	}
	fmt.Fprintln(a.out, p.output)
	return nil
}

func (p *agentPackage) name() string { return p.prefix + "-repo-" + p.site }

var (
	siteName       = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	packageVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*-[0-9]+$`)
)

// waptURLKey is how much of a repository's URL WAPT keeps its state under.
const waptURLKey = 59

// check names all that is wrong, and tidies the URLs.
func (p *agentPackage) check() error {
	var bad []error
	for flag, name := range map[string]string{"--site": p.site, "--prefix": p.prefix} {
		if !siteName.MatchString(name) {
			bad = append(bad, fmt.Errorf("%s: want small letters, digits and hyphens (got %q)", flag, name))
		}
	}
	if !packageVersion.MatchString(p.version) {
		bad = append(bad, fmt.Errorf("--package-version: want for example 1-0 (got %q)", p.version))
	}
	if strings.IndexFunc(p.maintainer, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		bad = append(bad, fmt.Errorf("--maintainer: want one line (got %q)", p.maintainer))
	}
	var err error
	if p.url, err = repositoryURL(p.url); err != nil {
		bad = append(bad, fmt.Errorf("--url: %w", err))
	}
	if p.main, err = repositoryURL(p.main); err != nil {
		bad = append(bad, fmt.Errorf("--main: %w", err))
	}
	if len(bad) == 0 && p.url == p.main {
		bad = append(bad, errors.New("--url and --main are the same"))
	} else if len(bad) == 0 && p.url[:min(waptURLKey, len(p.url))] == p.main[:min(waptURLKey, len(p.main))] {
		bad = append(bad, fmt.Errorf("--url and --main are equal in their first %d characters: agents could not tell them apart", waptURLKey))
	}
	return errors.Join(bad...)
}

// repositoryURL checks a repository's URL and returns it without a slash at its
// end. What passes has no character that Python, an ini file or JSON would read
// as anything but itself.
func repositoryURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return "", errors.New("is missing")
	case err != nil:
		return "", fmt.Errorf("%q is no URL", text)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return "", fmt.Errorf("want https://HOST/PATH (got %q)", text)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
		return "", fmt.Errorf("want no user, query or fragment (got %q)", text)
	case strings.Trim(u.Path, "/") == "":
		return "", fmt.Errorf("want the folder that holds Packages, as %s/wapt", strings.TrimRight(text, "/"))
	case strings.HasSuffix(u.Path, "/Packages"):
		return "", fmt.Errorf("want the folder, without /Packages (got %q)", text)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(urlLetters, r) }); i >= 0 {
		return "", fmt.Errorf("%q may not hold %q; a name of other letters is written xn--…", text, text[i:])
	}
	return strings.TrimRight(text, "/"), nil
}

// urlLetters has no quotes, no backslash, and no per cent sign: ini files may read
// one as the start of a variable.
const urlLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/.-_~[]"

// write fills in the source in a folder that is not there yet.
func (p *agentPackage) write() error {
	hosts := "False"
	if p.hosts {
		hosts = "True"
	}
	fill := strings.NewReplacer(
		"@PACKAGE@", p.name(), "@VERSION@", p.version, "@MAINTAINER@", p.maintainer, "@SITE@", p.site,
		"@URL@", "'"+p.url+"'", "@MAIN@", "'"+p.main+"'", "@HOSTS@", hosts,
	)
	if err := os.Mkdir(p.output, 0o755); err != nil {
		return err
	}
	return fs.WalkDir(agentpackage.Source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		to := filepath.Join(p.output, filepath.FromSlash(path))
		if d.IsDir() {
			return os.Mkdir(to, 0o755)
		}
		text, err := agentpackage.Source.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, []byte(fill.Replace(string(text))), 0o644)
	})
}
