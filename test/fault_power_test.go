//go:build linux

package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSyncsBeforeItPromises traces a remote's system calls while it follows
// its main, and holds the order that a power cut must find: a file's bytes are
// synced before the rename or link that shows it, and that is synced before the
// state that tells of it. What a remote acknowledges is in its state already,
// but the acknowledgement itself is encrypted and does not show here.
func TestSyncsBeforeItPromises(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip(err)
	}
	// One share, since shares commit side by side into one state.
	rng := newRandom(t)
	m, r := pair(t, "wapt")
	repo := newRepository(t, rng, m.dir("wapt"), m.dir("wapt"))
	trees := &comparison{bumps: 100}
	hosts := repo.addHosts(50)
	trees.wait(t, time.Minute, m, r)
	r.stop()
	trace := filepath.Join(t.TempDir(), "trace")
	through(t, r.start, "strace", "-D", "-f", "-q", "-y", "-o", trace,
		"-e", "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,linkat,write,pwrite64,writev,copy_file_range")
	r.waitStatus(readyWithin, "answers", func(status) bool { return true })
	for i := range scaled(3, 10, 100) {
		repo.add(fmt.Sprintf("tis-app%d", i), "1-1", rng.between(1000, 300_000))
		repo.index()
		for range rng.IntN(30) {
			repo.host(hosts[rng.IntN(len(hosts))])
		}
		trees.wait(t, time.Minute, m, r)
	}
	r.stop()
	o, err := readTrace(trace, r.dir("wapt"), filepath.Join(r.data, "state.db"))
	check(t, err)
	t.Logf("%d files shown, %d of them by a link, %d syncs, %d states written", o.shown, o.linked, o.syncs, o.states)
	for _, f := range o.faults {
		t.Error(f)
	}
	if o.shown < 20 || o.states < 3 {
		t.Error("the trace shows too little to judge")
	}
}

// order is what a trace shows of the order of syncs and promises.
type order struct {
	shown, linked, syncs, states int // linked: of those shown
	faults                       []string
}

var (
	traceLine   = regexp.MustCompile(`^(\d+)\s+(\w+)\((.*)$`)
	traceResume = regexp.MustCompile(`^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$`)
	traceFD     = regexp.MustCompile(`^\d+<([^>]*)>`)
	traceNames  = regexp.MustCompile(`(?:\d+|AT_FDCWD)<([^>]*)>(?:\(deleted\))?, "([^"]*)"`)
)

// readTrace walks through a trace of strace. A call counts where it ended: a
// sync that had not returned promises nothing.
func readTrace(name, share, state string) (*order, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	o := &order{}
	begun := map[string]string{}    // by thread: the arguments of a call that has not ended
	dirty := map[string]bool{}      // staged files with unsynced bytes
	unsynced := map[string]string{} // folders with unsynced renames, and one of these
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		var call, args string
		if m := traceResume.FindStringSubmatch(line); m != nil {
			call, args = m[2], begun[m[1]]+m[3]
		} else if m := traceLine.FindStringSubmatch(line); m != nil {
			if rest, ok := strings.CutSuffix(m[3], "<unfinished ...>"); ok {
				begun[m[1]] = rest
				// Bytes may be in a file, or on the wire, from the beginning of the call on.
				if !isWrite(m[2]) {
					continue
				}
			}
			call, args = m[2], m[3]
		} else {
			continue
		}
		path := ""
		if m := traceFD.FindStringSubmatch(args); m != nil {
			path = m[1]
		}
		switch {
		case isWrite(call) && path == state:
			for dir, what := range unsynced {
				o.faults = append(o.faults, fmt.Sprintf("line %d: state is written while %q in %s is not synced", n, what, dir))
			}
			clear(unsynced)
		case isWrite(call) && beneath(path, share):
			dirty[path] = true
		case call == "fsync" || call == "fdatasync":
			o.syncs++
			if path == state {
				o.states++
			}
			delete(dirty, path)
			delete(unsynced, path)
		case call == "syncfs":
			o.syncs++
			clear(dirty)
			clear(unsynced)
		case strings.HasPrefix(call, "rename"), call == "linkat":
			m := traceNames.FindAllStringSubmatch(args, -1)
			if len(m) < 2 || !strings.HasSuffix(strings.TrimSpace(args), "= 0") {
				continue
			}
			from, to := filepath.Join(m[0][1], m[0][2]), filepath.Join(m[1][1], m[1][2])
			if !beneath(to, share) || strings.Contains(to, "/"+hiddenFolder+"/") {
				continue
			}
			o.shown++
			if call == "linkat" {
				o.linked++
			}
			if dirty[from] {
				o.faults = append(o.faults, fmt.Sprintf("line %d: %q is shown before its bytes were synced", n, to))
			}
			unsynced[filepath.Dir(to)] = filepath.Base(to)
		}
	}
	return o, lines.Err()
}

func isWrite(call string) bool {
	return slices.Contains([]string{"write", "pwrite64", "writev", "copy_file_range"}, call)
}

func beneath(path, dir string) bool { return strings.HasPrefix(path, dir+"/") }

// TestTraceReaderSeesEachWrongOrder holds the reader of traces.
func TestTraceReaderSeesEachWrongOrder(t *testing.T) {
	const (
		data   = `7 write(9</s/.waptsync/stage/x>, "bytes"..., 5) = 5`
		sync   = `7 fsync(9</s/.waptsync/stage/x>) = 0`
		begun  = `7 fsync(9</s/.waptsync/stage/x> <unfinished ...>`
		ended  = `7 <... fsync resumed>) = 0`
		show   = `7 renameat(5</s/.waptsync/stage>, "x", 6</s>, "x") = 0`
		folder = `8 fsync(6</s>) = 0`
		loose  = `7 write(9</s/.waptsync/stage/1/#42>(deleted), "bytes"..., 5) = 5`
		tight  = `7 fsync(9</s/.waptsync/stage/1/#42>(deleted)) = 0`
		link   = `7 linkat(9</s/.waptsync/stage/1/#42>(deleted), "", 6</s>, "x", AT_EMPTY_PATH) = 0`
		state  = `8 pwrite64(3</d/state.db>, ""..., 4096, 0) = 4096`
	)
	for name, c := range map[string]struct {
		lines  []string
		faults int
	}{
		"right":                    {[]string{data, sync, show, folder, state}, 0},
		"one syncfs":               {[]string{data, `7 syncfs(5</s>) = 0`, show, folder, state}, 0},
		"sync in two parts":        {[]string{data, begun, ended, show, folder, state}, 0},
		"shown without sync":       {[]string{data, show, folder, state}, 1},
		"shown before a sync ends": {[]string{data, begun, show, ended, folder, state}, 1},
		"state before the folder":  {[]string{data, sync, show, state, folder}, 1},
		"right, by a link":         {[]string{loose, tight, link, folder, state}, 0},
		"linked without sync":      {[]string{loose, link, folder, state}, 1},
		"linked, and no folder":    {[]string{loose, tight, link, state, folder}, 1},
		"all wrong":                {[]string{data, show, state}, 2},
	} {
		o, err := readTrace(write(t, []byte(strings.Join(c.lines, "\n")), t.TempDir(), "trace"), "/s", "/d/state.db")
		check(t, err)
		if len(o.faults) != c.faults || o.shown != 1 {
			t.Errorf("%s: %q, want %d", name, o.faults, c.faults)
		}
	}
}
