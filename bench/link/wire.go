//go:build linux

package link

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Wire is what crossed the line, headers counted. With the machine's own speed
// between the hosts packets are as large as the kernel hands them over, up to
// 64 KiB with one header; on a limited or bad line they are counted as a real
// one would carry them, 1500 bytes each, without those that its buffer dropped.
type Wire struct {
	ToRemote, ToMain               int64 // bytes
	PacketsToRemote, PacketsToMain int64
}

// Bytes is both directions together.
func (w Wire) Bytes() int64 { return w.ToRemote + w.ToMain }

// Less is what crossed between an earlier look and this one. The line must not
// have been limited, spoilt or restored between them.
func (w Wire) Less(earlier Wire) Wire {
	return Wire{
		ToRemote: w.ToRemote - earlier.ToRemote, ToMain: w.ToMain - earlier.ToMain,
		PacketsToRemote: w.PacketsToRemote - earlier.PacketsToRemote, PacketsToMain: w.PacketsToMain - earlier.PacketsToMain,
	}
}

// Wire returns what crossed the line so far.
func (p *Pair) Wire() (Wire, error) {
	switch {
	case p.bad != nil:
		return p.bad.carried(), nil
	case p.limited:
		return p.shaped()
	}
	return p.Counted()
}

// Counted is Wire as the main's devices count it, whatever the line is like:
// packets are as large as the kernel hands them over.
func (p *Pair) Counted() (Wire, error) {
	var text []byte
	if err := p.Main.Inside(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	}); err != nil {
		return Wire{}, fmt.Errorf("reading the line's counters: %w", err)
	}
	return parseDevices(string(text))
}

// parseDevices sums all devices but the loopback, as seen by the main. The
// format is that of proc_net_dev(5): the name, eight figures of what came in
// and eight of what went out, bytes and packets first.
func parseDevices(text string) (Wire, error) {
	var w Wire
	for line := range strings.Lines(text) {
		name, figures, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(name) == "lo" {
			continue
		}
		fields := strings.Fields(figures)
		if len(fields) < 16 {
			return Wire{}, fmt.Errorf("reading the line's counters: %d figures in %q", len(fields), line)
		}
		for _, c := range []struct {
			at int
			to *int64
		}{{0, &w.ToMain}, {1, &w.PacketsToMain}, {8, &w.ToRemote}, {9, &w.PacketsToRemote}} {
			n, err := strconv.ParseInt(fields[c.at], 10, 64)
			if err != nil {
				return Wire{}, fmt.Errorf("reading the line's counters: %w", err)
			}
			*c.to += n
		}
	}
	return w, nil
}

// shaped reads the counters of the token buckets, which know how many packets
// a large one is cut into.
func (p *Pair) shaped() (Wire, error) {
	var w Wire
	for _, c := range []struct {
		h              *Host
		bytes, packets *int64
	}{{p.Main, &w.ToRemote, &w.PacketsToRemote}, {p.Remote, &w.ToMain, &w.PacketsToMain}} {
		out, err := exec.Command("tc", "-n", c.h.name, "-s", "-j", "qdisc", "show", "dev", c.h.dev).Output()
		if err == nil {
			*c.bytes, *c.packets, err = parseQueues(out)
		}
		if err != nil {
			return Wire{}, fmt.Errorf("reading the limited line's counters: %w", err)
		}
	}
	return w, nil
}

func parseQueues(out []byte) (bytes, packets int64, err error) {
	var queues []struct {
		Kind    string
		Root    bool
		Bytes   int64
		Packets int64
	}
	if err := json.Unmarshal(out, &queues); err != nil {
		return 0, 0, err
	}
	for _, q := range queues {
		if q.Root {
			return q.Bytes, q.Packets, nil
		}
	}
	return 0, 0, fmt.Errorf("no root queue in %s", out)
}
