//go:build linux

package test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// aptTally counts what all apt clients saw. Safe for concurrent use.
type aptTally struct {
	mu        sync.Mutex
	updates   int            // apt-get update that found nothing wrong
	downloads int            // packages that apt fetched and found right
	vain      int            // updates in which an index was not there by its digest
	releases  map[string]int // different Release files seen, by client
	meanwhile map[string]int // troubles while Release changed, by kind
	failures  map[string]int // troubles while it did not
	examples  []string
	forgiven  []string // the first troubles while Release changed
}

func (c *aptTally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := func(m map[string]int) (s string) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			s += fmt.Sprintf("; %s: %d", k, m[k])
		}
		return s
	}
	n := 0
	for _, k := range c.releases {
		n += k
	}
	return fmt.Sprintf("%d apt-get update, %d packages by apt-get download, %d different Release files seen by %d clients; an index was not there by its digest %d times\n\twhile Release changed%s\n\twhile it did not%s",
		c.updates, c.downloads, n, len(c.releases), c.vain, list(c.meanwhile), list(c.failures))
}

const aptMismatch = "hash-sum mismatch"

var ignoredIndex = regexp.MustCompile(`(?m)^Ign:.* Packages$`)

// aptClient is apt with a state of its own.
type aptClient struct {
	*client
	dir      string
	packages []string
	tally    *aptTally
	byHash   bool
	seen     map[string]bool
}

func newAptClient(t *testing.T, name, folder string, packages []string, byHash bool, c *aptTally) *aptClient {
	t.Helper()
	a := &aptClient{client: newClient(t, name, folder, nil, nil, 10*time.Millisecond), dir: t.TempDir(), packages: packages, byHash: byHash, tally: c, seen: map[string]bool{}}
	makeDirs(t, filepath.Join(a.dir, "state", "lists", "partial"), filepath.Join(a.dir, "cache", "archives", "partial"),
		filepath.Join(a.dir, "etc"), filepath.Join(a.dir, "got"))
	write(t, nil, a.dir, "state", "status")
	write(t, fmt.Appendf(nil, "deb [trusted=yes arch=amd64] %s stable main\n", strings.TrimSuffix(a.url, "/")), a.dir, "etc", "sources.list")
	write(t, fmt.Appendf(nil, `Dir "%[1]s";
Dir::State "%[1]s/state";
Dir::State::status "%[1]s/state/status";
Dir::Cache "%[1]s/cache";
Dir::Etc "%[1]s/etc";
Dir::Bin::methods "/usr/lib/apt/methods";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Proxy "false";
`, a.dir), a.dir, "apt.conf")
	return a
}

func (a *aptClient) run(ctx context.Context) {
	for a.wait(ctx) {
		a.round(ctx)
	}
}

// round is apt-get update, then apt-get download of every package.
func (a *aptClient) round(ctx context.Context) {
	before, err := a.request(ctx, http.MethodGet, "dists/stable/Release")
	if err != nil {
		return
	}
	kind, what := a.apt(ctx, "update")
	if kind == "" {
		kind, what = a.apt(ctx, append([]string{"download"}, a.packages...)...)
	}
	if ctx.Err() != nil {
		return
	}
	after, err := a.request(ctx, http.MethodGet, "dists/stable/Release")
	if err != nil {
		return
	}
	list, _ := filepath.Glob(filepath.Join(a.dir, "got", "*.deb"))
	for _, f := range list {
		_ = os.Remove(f)
	}
	a.tally.mu.Lock()
	defer a.tally.mu.Unlock()
	if !a.seen[string(after.body)] {
		a.seen[string(after.body)] = true
		a.tally.releases[a.name]++
	}
	if kind == "" {
		a.tally.updates++
		a.tally.downloads += len(list)
		if len(list) != len(a.packages) {
			kind, what = "too few packages", fmt.Sprintf("apt-get download left %d files of %d", len(list), len(a.packages))
		}
	}
	switch {
	case kind == "":
	case !bytes.Equal(before.body, after.body):
		a.tally.meanwhile[kind]++
		if len(a.tally.forgiven) < maxDiffs {
			a.tally.forgiven = append(a.tally.forgiven, fmt.Sprintf("%s %s: %s: %s", time.Now().Format("15:04:05.000"), a.name, kind, what))
		}
		if a.byHash && kind == aptMismatch && len(a.tally.examples) < maxDiffs {
			a.tally.examples = append(a.tally.examples, fmt.Sprintf("%s %s: %s though indexes are fetched by their digests: %s", time.Now().Format("15:04:05.000"), a.name, kind, what))
		}
	default:
		a.tally.failures[kind]++
		if len(a.tally.examples) < maxDiffs {
			a.tally.examples = append(a.tally.examples, fmt.Sprintf("%s %s: %s: %s", time.Now().Format("15:04:05.000"), a.name, kind, what))
		}
	}
}

// apt runs apt-get and says what it complained about.
func (a *aptClient) apt(ctx context.Context, args ...string) (kind, what string) {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q"}, args...)...)
	cmd.Dir = filepath.Join(a.dir, "got")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "APT_CONFIG=" + filepath.Join(a.dir, "apt.conf")}
	out, err := cmd.CombinedOutput()
	// apt then takes what stands under the plain name.
	if a.byHash && args[0] == "update" && ignoredIndex.Match(out) {
		a.tally.mu.Lock()
		a.tally.vain++
		a.tally.mu.Unlock()
	}
	if err == nil {
		return "", ""
	}
	what = string(tail(bytes.TrimSpace(out), 1500))
	switch {
	case bytes.Contains(out, []byte("Hash Sum mismatch")), bytes.Contains(out, []byte("unexpected size")):
		return aptMismatch, what
	case bytes.Contains(out, []byte("404")):
		return "404", what
	}
	return "other: apt-get " + args[0], err.Error() + ": " + what
}
