//go:build linux

package test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The ways in which a remote can fail a client.
const (
	noIndex       = "no index"                                     // GET Packages is not 200
	tornIndex     = "index that cannot be read"                    // not a whole zip, or cut short on its way
	missing       = "named file missing"                           // 404 while the index names it
	wrong         = "named file with other size or MD5"            // and the index is still the same
	between       = "named file wrong for a moment"                // the same, and right at the second look
	sameSecond    = "other index, same Last-Modified"              // as the one before it: an agent would not notice it
	earlierSecond = "other index, Last-Modified of an earlier one" // an agent that missed those between would not
	strangeName   = "temporary or strange name"                    // visible in the served folder
	noHost        = "host package missing"                         // of a host that was never deleted
	tornFile      = "file that is not whole"                       // host package or installer
	staleHost     = "other host package, same Last-Modified"
)

// tally counts what all clients of a run saw. Safe for concurrent use.
type tally struct {
	mu        sync.Mutex
	downloads int            // files fetched, judged and right
	heads     int            // HEAD requests on an index
	indexes   int            // indexes fetched
	distinct  map[string]int // by client: how many different indexes it saw
	meanwhile int            // mismatches forgiven: the index had changed
	hosts     int            // host packages and installers, whole
	failures  map[string]int
	times     map[string][2]time.Time // of the first and the last failure of a kind
	examples  []string
}

func newTally() *tally {
	return &tally{distinct: map[string]int{}, failures: map[string]int{}, times: map[string][2]time.Time{}}
}

func (c *tally) add(n *int, k int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n += k
}

func (c *tally) checked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.downloads
}

func (c *tally) fail(kind, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures[kind]++
	now := time.Now()
	first := c.times[kind][0]
	if first.IsZero() {
		first = now
	}
	c.times[kind] = [2]time.Time{first, now}
	if c.failures[kind] <= maxDiffs/4 {
		c.examples = append(c.examples, now.Format("15:04:05.000 ")+kind+": "+fmt.Sprintf(format, args...))
	}
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, seen := 0, 0
	for _, k := range c.distinct {
		seen += k
	}
	var kinds string
	for _, kind := range slices.Sorted(maps.Keys(c.failures)) {
		n += c.failures[kind]
		when := c.times[kind]
		kinds += fmt.Sprintf("\n\t%6d  %s, %s to %s", c.failures[kind], kind, when[0].Format("15:04:05.000"), when[1].Format("15:04:05.000"))
	}
	return fmt.Sprintf("%d checked downloads, %d host packages and installers, %d HEAD and %d GET of an index, %d different indexes seen by %d clients; "+
		"index changed meanwhile %d times; %d failures%s",
		c.downloads, c.hosts, c.heads, c.indexes, seen, len(c.distinct), c.meanwhile, n, kinds)
}

// serve serves a folder over HTTP on the loopback until the test ends, as the
// web server of a site does: each request opens the file that then has the name.
func serve(t *testing.T, dir string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String()
}

// client is what every client has.
type client struct {
	name  string
	dir   string // the remote's folder, to look for strange names
	url   string
	http  *http.Client
	tally *tally
	rng   *random
	pace  *time.Ticker
	odd   map[string]bool // strange names that were seen, each told once
}

func newClient(t *testing.T, name, dir string, c *tally, rng *random, pace time.Duration) *client {
	t.Helper()
	a := &client{name: name, dir: dir, url: serve(t, dir) + "/", tally: c, rng: rng, pace: time.NewTicker(pace), odd: map[string]bool{},
		http: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}}
	t.Cleanup(func() {
		a.pace.Stop()
		a.http.CloseIdleConnections()
	})
	return a
}

// answer is what the web server said.
type answer struct {
	status   int
	modified string
	body     []byte
}

var errCut = errors.New("the answer was cut short")

func (a *client) request(ctx context.Context, method, file string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.url+file, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Cache-Control", "no-cache")
	res, err := a.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	out := answer{status: res.StatusCode, modified: res.Header.Get("Last-Modified")}
	if out.body, err = io.ReadAll(res.Body); errors.Is(err, io.ErrUnexpectedEOF) {
		return out, errCut // the file shrank while it was served
	}
	return out, err
}

// wait paces the client and says whether it goes on.
func (a *client) wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-a.pace.C:
		return true
	}
}

// indexClient plays an agent: HEAD Packages, GET it, GET each file it names.
type indexClient struct {
	*client
	stored answer // the index that the agent has
	named  map[string]*entryOf
	shown  map[string]digest // content by each Last-Modified ever shown
	seen   map[digest]bool
}

type digest [sha256.Size]byte

// entryOf is what an index says of a file.
type entryOf struct {
	size int
	md5  string
}

func newIndexClient(c *client) *indexClient {
	return &indexClient{client: c, shown: map[string]digest{}, seen: map[digest]bool{}}
}

func (a *indexClient) run(ctx context.Context) {
	for a.wait(ctx) {
		a.round(ctx)
	}
}

// round is one agent's update and download of everything.
func (a *indexClient) round(ctx context.Context) {
	a.look()
	head, err := a.request(ctx, http.MethodHead, "Packages")
	if err != nil {
		return // only when ctx ends: the server is ours
	}
	a.tally.add(&a.tally.heads, 1)
	if head.status != http.StatusOK {
		a.tally.fail(noIndex, "%s: HEAD Packages: %d", a.name, head.status)
		return
	}
	if !a.update(ctx) {
		return
	}
	files := slices.Sorted(maps.Keys(a.named))
	a.rng.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	for _, file := range files {
		if !a.wait(ctx) {
			return
		}
		kind, what := a.fetch(ctx, file, a.named[file])
		if ctx.Err() != nil {
			return
		}
		if kind == "" {
			a.tally.add(&a.tally.downloads, 1)
			continue
		}
		if !a.judge(ctx, file, kind, what) {
			return
		}
	}
}

// update gets the index and stores it. It compares Last-Modified as an agent
// does, against the one it has, and more: against each that was ever shown.
func (a *indexClient) update(ctx context.Context) bool {
	got, err := a.request(ctx, http.MethodGet, "Packages")
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		a.tally.fail(tornIndex, "%s: %v", a.name, err)
		return false
	case got.status != http.StatusOK:
		a.tally.fail(noIndex, "%s: GET Packages: %d", a.name, got.status)
		return false
	}
	a.tally.add(&a.tally.indexes, 1)
	sum := digest(sha256.Sum256(got.body))
	if was, ok := a.shown[got.modified]; ok && was != sum {
		kind := earlierSecond
		if got.modified == a.stored.modified {
			kind = sameSecond
		}
		a.tally.fail(kind, "%s: %s", a.name, got.modified)
	}
	a.shown[got.modified] = sum
	if !a.seen[sum] {
		a.seen[sum] = true
		a.tally.mu.Lock()
		a.tally.distinct[a.name]++
		a.tally.mu.Unlock()
	}
	named, err := readNamed(got.body)
	if err != nil {
		a.tally.fail(tornIndex, "%s: %d bytes: %v", a.name, len(got.body), err)
		return false
	}
	a.stored, a.named = got, named
	return true
}

// fetch gets a file and says what is wrong with it.
func (a *client) fetch(ctx context.Context, file string, want *entryOf) (kind, what string) {
	got, err := a.request(ctx, http.MethodGet, file)
	switch {
	case err != nil:
		return wrong, err.Error()
	case got.status == http.StatusNotFound:
		return missing, "404"
	case got.status != http.StatusOK:
		return missing, fmt.Sprint(got.status)
	case len(got.body) != want.size:
		return wrong, fmt.Sprintf("%d bytes, the index says %d", len(got.body), want.size)
	}
	if sum := fmt.Sprintf("%x", md5.Sum(got.body)); sum != want.md5 {
		return wrong, fmt.Sprintf("MD5 %s, the index says %s", sum, want.md5)
	}
	return "", ""
}

// judge decides whether a file that is not what the index says is the remote's
// fault. It is not in one case only: the index, fetched anew, is another one
// that does not name the file with this size and MD5 any more. An agent that
// holds an old index may meet that on any server. It says whether to go on with
// the index that the client has.
func (a *indexClient) judge(ctx context.Context, file, kind, what string) bool {
	old, want := a.stored, a.named[file]
	if !a.update(ctx) {
		return false
	}
	now := a.named[file]
	same := bytes.Equal(old.body, a.stored.body)
	if !same && (now == nil || *now != *want) {
		a.tally.add(&a.tally.meanwhile, 1)
		return false
	}
	if again, _ := a.fetch(ctx, file, want); again == "" {
		kind = between
	}
	if ctx.Err() == nil {
		a.tally.fail(kind, "%s: %s: %s; index of %s", a.name, file, what, a.stored.modified)
	}
	return same
}

var servedName = regexp.MustCompile(`^(Packages|waptagent\.exe|\.waptsync|tis-app[0-9]+_.*\.wapt|[0-9A-F-]{36}\.wapt)$`)

// look reads the folder's names.
func (a *client) look() {
	list, err := os.ReadDir(a.dir)
	if err != nil {
		a.tally.fail(noIndex, "%s: %v", a.name, err)
		return
	}
	for _, d := range list {
		if !servedName.MatchString(d.Name()) && !strings.HasPrefix(d.Name(), ".st") && !a.odd[d.Name()] { // .st: Syncthing's own
			a.odd[d.Name()] = true
			a.tally.fail(strangeName, "%s: %q", a.name, d.Name())
		}
	}
}

// readNamed returns what an index names.
func readNamed(data []byte) (map[string]*entryOf, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	f, err := z.Open("Packages")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	named := map[string]*entryOf{}
	var e *entryOf
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "filename":
			e = &entryOf{}
			named[value] = e
		case "size":
			if e.size, err = strconv.Atoi(value); err != nil {
				return nil, err
			}
		case "md5sum":
			e.md5 = value
		}
	}
	return named, nil
}

// hostClient plays the agents of many hosts and those who fetch the installer.
type hostClient struct {
	*client
	files []string // never deleted, so they are there at every instant
	shown map[string]map[string]digest
}

func newHostClient(c *client, files []string) *hostClient {
	return &hostClient{client: c, files: files, shown: map[string]map[string]digest{}}
}

func (a *hostClient) run(ctx context.Context) {
	for n := 0; a.wait(ctx); n++ {
		if n%len(a.files) == 0 {
			a.look()
		}
		file := a.files[n%len(a.files)]
		got, err := a.request(ctx, http.MethodGet, file)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.tally.fail(tornFile, "%s: %s: %v", a.name, file, err)
			continue
		case got.status != http.StatusOK:
			a.tally.fail(noHost, "%s: %s: %d", a.name, file, got.status)
			continue
		}
		if err := verifySelfChecking(got.body); err != nil {
			a.tally.fail(tornFile, "%s: %s: %v", a.name, file, err)
			continue
		}
		a.tally.add(&a.tally.hosts, 1)
		if a.shown[file] == nil {
			a.shown[file] = map[string]digest{}
		}
		sum := digest(sha256.Sum256(got.body))
		if was, ok := a.shown[file][got.modified]; ok && was != sum {
			a.tally.fail(staleHost, "%s: %s: %s", a.name, file, got.modified)
		}
		a.shown[file][got.modified] = sum
	}
}
