//go:build linux

package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A self-checking content: a magic, the payload's length and SHA-256, the payload.
const (
	selfMagic  = "wstest01"
	selfHeader = len(selfMagic) + 8 + sha256.Size
)

func selfChecking(rng *random, payload int) []byte {
	p := rng.data(payload)
	sum := sha256.Sum256(p)
	b := binary.BigEndian.AppendUint64([]byte(selfMagic), uint64(payload))
	return append(append(b, sum[:]...), p...)
}

// verifySelfChecking says what is wrong with a content, if it is not one whole.
func verifySelfChecking(b []byte) error {
	if len(b) < selfHeader || string(b[:len(selfMagic)]) != selfMagic {
		return fmt.Errorf("%d bytes without a header", len(b))
	}
	n := binary.BigEndian.Uint64(b[len(selfMagic):])
	if p := b[selfHeader:]; uint64(len(p)) != n {
		return fmt.Errorf("%d bytes of payload, the header says %d", len(p), n)
	}
	if sum := sha256.Sum256(b[selfHeader:]); !bytes.Equal(sum[:], b[selfHeader-sha256.Size:selfHeader]) {
		return errors.New("the payload is not what the header says")
	}
	return nil
}

// churnName are the names that a churn gives to stay. Its temporary names are
// WAPT's, which no main replicates, so whatever else shows on a remote is wrong.
var churnName = regexp.MustCompile(`^n[0-9]+$`)

// churn changes a folder at random, at full speed. It alone changes the
// folder, so it knows what is there. One goroutine at a time.
type churn struct {
	rng   *random
	root  string
	dirs  map[string]bool // "" is root
	files map[string]bool
	temps int
	fresh int64 // counts mtimes given
	// maxFiles bounds the tree, and so how much one deletion takes away.
	maxFiles int
}

func newChurn(rng *random, root string, maxFiles int) *churn {
	return &churn{rng: rng, root: root, dirs: map[string]bool{"": true}, files: map[string]bool{}, maxFiles: maxFiles}
}

// run makes n changes.
func (c *churn) run(n int) error {
	for range n {
		if err := c.step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *churn) step() error {
	switch p := c.rng.IntN(100); {
	case len(c.files) < c.maxFiles/4 || p < 35 && len(c.files) < c.maxFiles:
		return c.create()
	case p < 60:
		return c.rewrite(c.pick(c.files))
	case p < 72:
		return c.renameFile()
	case p < 76:
		return c.renameFolder()
	case p < 84:
		return c.delete(c.pick(c.files))
	case p < 86:
		return c.deleteFolder()
	case p < 90:
		return c.makeFolder()
	case p < 95:
		return os.Chmod(c.path(c.pick(c.files)), []fs.FileMode{0o644, 0o640, 0o600, 0o755}[c.rng.IntN(4)])
	default:
		c.fresh++
		when := time.Unix(1_600_000_000+c.fresh, int64(c.rng.IntN(1e9)))
		return os.Chtimes(c.path(c.pick(c.files)), when, when)
	}
}

func (c *churn) path(rel string) string { return filepath.Join(c.root, rel) }

// pick chooses one path, the same one for the same seed.
func (c *churn) pick(set map[string]bool) string {
	list := slices.Sorted(maps.Keys(set))
	return list[c.rng.IntN(len(list))]
}

// name is a random place in a random folder; something may be there already.
func (c *churn) name() string {
	return filepath.Join(c.pick(c.dirs), fmt.Sprintf("n%d", c.rng.IntN(2*c.maxFiles)))
}

// free is a name at which nothing is.
func (c *churn) free() string {
	for {
		if n := c.name(); !c.files[n] && !c.dirs[n] {
			return n
		}
	}
}

func (c *churn) content() []byte {
	size := c.rng.IntN(8000)
	switch c.rng.IntN(20) {
	case 0:
		size = c.rng.IntN(2_000_000)
	case 1, 2:
		size = c.rng.IntN(200_000)
	case 3:
		size = 0
	}
	return selfChecking(c.rng, size)
}

func (c *churn) create() error {
	n := c.free()
	c.files[n] = true
	return c.rewrite(n)
}

// rewrite gives a file a new content: in place, or by a temporary name.
func (c *churn) rewrite(n string) error {
	data := c.content()
	if c.rng.IntN(2) == 0 {
		c.temps++
		tmp := c.path(filepath.Join(filepath.Dir(n), fmt.Sprintf("wapt%08d", c.temps)))
		return errors.Join(os.WriteFile(tmp, data, 0o644), os.Rename(tmp, c.path(n)))
	}
	f, err := os.OpenFile(c.path(n), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for len(data) > 0 { // in pieces, so that a reader in between sees a torn file
		k := min(len(data), 1+c.rng.IntN(100_000))
		if _, err := f.Write(data[:k]); err != nil {
			return errors.Join(err, f.Close())
		}
		data = data[k:]
	}
	return f.Close()
}

func (c *churn) renameFile() error {
	from, to := c.pick(c.files), c.name()
	if c.dirs[to] {
		return nil
	}
	delete(c.files, from)
	c.files[to] = true
	return os.Rename(c.path(from), c.path(to))
}

func (c *churn) renameFolder() error {
	from, to := c.pick(c.dirs), c.free()
	if from == "" || strings.HasPrefix(to, from+"/") {
		return nil
	}
	for _, set := range []map[string]bool{c.files, c.dirs} {
		for p := range maps.Clone(set) {
			if rest, ok := strings.CutPrefix(p, from); ok && (rest == "" || rest[0] == '/') {
				delete(set, p)
				set[to+rest] = true
			}
		}
	}
	return os.Rename(c.path(from), c.path(to))
}

func (c *churn) delete(n string) error {
	delete(c.files, n)
	return os.Remove(c.path(n))
}

// deleteFolder removes a folder with all that is in it, unless that is much.
func (c *churn) deleteFolder() error {
	dir := c.pick(c.dirs)
	inside := func(p string, _ bool) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
	n := 0
	for p := range c.files {
		if inside(p, true) {
			n++
		}
	}
	if dir == "" || n > len(c.files)/8 {
		return nil
	}
	maps.DeleteFunc(c.files, inside)
	maps.DeleteFunc(c.dirs, inside)
	return os.RemoveAll(c.path(dir))
}

func (c *churn) makeFolder() error {
	n := c.free()
	if len(c.dirs) > c.maxFiles/8 || strings.Count(n, "/") > 6 {
		return nil
	}
	c.dirs[n] = true
	return os.Mkdir(c.path(n), 0o755)
}

// watch reads a remote's folder over and over until stop is closed, and
// returns what no reader should ever have seen: a file that is not whole, or a
// name that no writer gave.
func watch(root string, stop <-chan struct{}) []string {
	var seen []string
	pace := time.NewTicker(time.Millisecond) // a file each, so that reading leaves the machine to the others
	defer pace.Stop()
	for len(seen) < maxDiffs {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			select {
			case <-stop:
				return fs.SkipAll
			case <-pace.C:
			}
			switch {
			case vanished(err):
				return nil
			case err != nil:
				return err
			case name == root:
				return nil
			case d.Name() == hiddenFolder && filepath.Dir(name) == root:
				return fs.SkipDir
			case !churnName.MatchString(d.Name()):
				seen = append(seen, fmt.Sprintf("%q: a name that is nobody's", name))
			}
			if !d.Type().IsRegular() {
				return nil
			}
			b, err := os.ReadFile(name) // one open: what is renamed over it meanwhile does not show
			if vanished(err) {
				return nil
			}
			if err == nil {
				err = verifySelfChecking(b)
			}
			if err != nil {
				seen = append(seen, fmt.Sprintf("%q at %s: %v", name, time.Now().Format("15:04:05.000"), err))
			}
			return nil
		})
		if err != nil {
			return append(seen, err.Error())
		}
		select {
		case <-stop:
			return seen
		default:
		}
	}
	return seen
}

// vanished says that a path went away, or changed its kind, between two looks.
func vanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}
