//go:build linux

package test

import (
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// lab is what all tests of one run share; TestMain sets it before the first
// test and nobody changes it afterwards.
var lab struct {
	binary string
	net    *network
	seed   uint64
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

// runAll builds the binary and the network, runs the tests and takes both away
// again, also when the run is interrupted.
func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "waptsync-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a folder for the binary:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if lab.binary, err = build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	lab.seed = runSeed()
	lab.net = openNetwork()
	defer lab.net.close()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		lab.net.close()
		os.RemoveAll(dir)
		os.Exit(130)
	}()
	return m.Run()
}

// build makes the binary under test, or takes the one that WAPTSYNC_BINARY names.
// The race detector slows the binary several times, so it is on by request only.
func build(dir string) (string, error) {
	if b := os.Getenv("WAPTSYNC_BINARY"); b != "" {
		return filepath.Abs(b)
	}
	if err := lookAtSources(); err != nil {
		return "", fmt.Errorf("looking at the sources: %w", err)
	}
	// A test may run the publisher as another user, who must reach the binary.
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", fmt.Errorf("opening the binary's folder: %w", err)
	}
	out := filepath.Join(dir, "waptsync")
	args := []string{"build", "-o", out}
	if raced && os.Getenv("WAPTSYNC_TEST_RACE") == "1" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../cmd/waptsync")...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building waptsync: %w\n%s", err, b)
	}
	return out, nil
}

// lookAtSources stats each source file of the module. What a test looked at
// is part of the key of `go test`'s cache; what the go command that it ran
// looked at is not, so without this a changed binary could be "ok (cached)".
func lookAtSources() error {
	return filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != ".." && d.Name()[0] == '.' {
			return fs.SkipDir
		}
		if ext := filepath.Ext(name); ext == ".go" || ext == ".mod" {
			_, err = os.Stat(name)
		}
		return err
	})
}

func runSeed() uint64 {
	if s := os.Getenv("WAPTSYNC_SEED"); s != "" {
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return n
		}
	}
	return uint64(time.Now().UnixNano())
}

func long() bool { return os.Getenv("WAPTSYNC_LONG") == "1" }

// scaled picks the size of a test: for -short, by default, and for WAPTSYNC_LONG=1.
func scaled(short, normal, full int) int {
	switch {
	case long():
		return full
	case testing.Short():
		return short
	}
	return normal
}

// random is a seeded source of numbers and of bytes. One goroutine at a time.
type random struct {
	*rand.Rand
	bytes *rand.ChaCha8
}

// newRandom prints the seed with which WAPTSYNC_SEED makes the same run again.
func newRandom(t *testing.T) *random {
	t.Helper()
	t.Logf("seed: WAPTSYNC_SEED=%d", lab.seed)
	h := fnv.New64a()
	h.Write([]byte(t.Name())) // each test has its own numbers, whatever ran before it
	return seeded(lab.seed ^ h.Sum64())
}

func seeded(seed uint64) *random {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	src := rand.NewChaCha8(key)
	return &random{Rand: rand.New(src), bytes: src}
}

// data returns n random bytes, as incompressible as a package.
func (r *random) data(n int) []byte {
	b := make([]byte, n)
	r.bytes.Read(b) // never fails: math/rand/v2
	return b
}

// between returns a number of [low, high].
func (r *random) between(low, high int) int { return low + r.IntN(high-low+1) }
