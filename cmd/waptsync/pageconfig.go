package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"waptsync/console"
)

// PageConfig are the settings of the page, the metrics and the health checks.
type PageConfig struct {
	// HTTP is their address, HOST:PORT; empty means none, auto the role's own, if it
	// is free.
	HTTP string `toml:"http"`
	// HTTPNames are further names by which browsers reach the page.
	HTTPNames []string `toml:"http-names"`
	// MetricsTokenFile holds the token with which other hosts may read metrics.
	MetricsTokenFile string `toml:"metrics-token-file"`
	// ReadyAge and ReadyBytes say from when on /readyz fails; 0 means never.
	ReadyAge   Duration `toml:"ready-age"`
	ReadyBytes Size     `toml:"ready-bytes"`
}

// httpAuto stands for httpMain or httpRemote.
const (
	httpAuto = "auto"
	// A main's page has TLS and a password, and is for administrators' browsers.
	httpMain = ":8384"
	// A remote's is read-only and has neither.
	httpRemote = "127.0.0.1:8384"
)

const (
	minMetricsToken = 16 // characters
	maxMetricsToken = 4 << 10
)

func (c *PageConfig) bind(f *pflag.FlagSet) {
	f.StringVar(&c.HTTP, "http", c.HTTP, "address of the page, metrics and health checks, `HOST:PORT`; empty means none, auto "+httpMain+" on a main, "+httpRemote+" on a remote, if it is free")
	f.StringSliceVar(&c.HTTPNames, "http-names", c.HTTPNames, "further names by which browsers reach the page")
	f.Var((*fileFlag)(&c.MetricsTokenFile), "metrics-token-file", "token with which other hosts may read /metrics")
	f.Var(&c.ReadyAge, "ready-age", "/readyz fails when a change is not on a remote for longer; 0 means no limit")
	f.Var(&c.ReadyBytes, "ready-bytes", "/readyz fails when a remote still has to get more of a share; 0 means no limit")
}

func (c *PageConfig) validate(f *faults) {
	if c.HTTP != "" && c.HTTP != httpAuto {
		checkAddress(f, "http", c.HTTP)
	}
	for _, name := range c.HTTPNames {
		if name == "" || strings.ContainsAny(name, ":/ ") && net.ParseIP(name) == nil {
			f.add("http-names", "want names or addresses without a port (got %q)", name)
		}
	}
	if c.MetricsTokenFile != "" && !filepath.IsAbs(c.MetricsTokenFile) {
		f.add("metrics-token-file", "want an absolute path (got %q)", c.MetricsTokenFile)
	}
	checkDuration(f, "ready-age", c.ReadyAge)
}

// address is where the page is, and whether it has to be there; own is the role's
// address.
func (c *PageConfig) address(own string) (address string, must bool) {
	if c.HTTP == httpAuto {
		return own, false
	}
	return c.HTTP, true
}

// local says whether a remote's page is on loopback only.
func (c *PageConfig) local() bool {
	if c.HTTP == httpAuto {
		return true
	}
	host, _, err := net.SplitHostPort(c.HTTP)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// metricsToken reads the token; empty if none is configured.
func (c *PageConfig) metricsToken() (string, error) {
	if c.MetricsTokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.MetricsTokenFile)
	if err != nil {
		return "", fmt.Errorf("reading the token of the metrics: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minMetricsToken || len(token) > maxMetricsToken {
		return "", withHint(withCode(exitUsage, errors.New("the token of the metrics is too short or too long")),
			fmt.Sprintf("put %d random characters or more into %s", minMetricsToken, c.MetricsTokenFile))
	}
	return token, nil
}

// options are what both roles give the page.
func (c *PageConfig) options() (console.Options, error) {
	token, err := c.metricsToken()
	return console.Options{
		MetricsToken: token, Names: c.HTTPNames,
		Ready: console.ReadyLimits{Age: time.Duration(c.ReadyAge), Bytes: int64(c.ReadyBytes)},
	}, err
}
