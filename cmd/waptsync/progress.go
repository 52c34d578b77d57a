package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

const (
	barEvery = 200 * time.Millisecond
	logEvery = 10 * time.Second
	barWidth = 24
)

// barWriter keeps one line of progress below what is logged to a terminal.
type barWriter struct {
	mu  sync.Mutex
	out io.Writer
	bar string
}

// Write logs above the bar.
func (b *barWriter) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	n, err := b.out.Write(p)
	fmt.Fprint(b.out, b.bar)
	return n, err
}

// set replaces the bar; empty removes it.
func (b *barWriter) set(bar string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	b.bar = bar
	fmt.Fprint(b.out, bar)
}

func (b *barWriter) clear() {
	if b.bar != "" {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}

// progress shows a replication that is behind, until ctx ends: as a bar if out
// is a barWriter, else as a line of log every ten seconds.
func progress(ctx context.Context, out io.Writer, log zerolog.Logger, get func() map[string]remoteShare) {
	bar, terminal := out.(*barWriter)
	every := logEvery
	if terminal {
		every = barEvery
		defer bar.set("")
	}
	var most int64 // that was left since all was there last
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		total := sum(get())
		if most = max(most, total.left); !total.behind {
			most = 0
		}
		if terminal {
			bar.set(total.bar(columns(bar.out), most))
		} else if total.behind {
			log.Info().Int64("files", total.files).Int64("behind_events", total.events).
				Str("behind_bytes", showBytes(total.left)).Int64("errors", total.errors).Msg("replicating")
		}
	}
}

// totals are the shares of a remote taken together.
type totals struct {
	files, events, left, errors int64
	behind                      bool
	transfer                    string
	states                      []string
}

func sum(shares map[string]remoteShare) (t totals) {
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		s := shares[name]
		t.files += s.Files
		t.events, t.left, t.errors = t.events+s.LagEvents, t.left+s.LagBytes, t.errors+s.Errors
		if s.LagEvents > 0 || s.LagBytes > 0 {
			t.behind = true
			t.states = append(t.states, name+" "+s.State)
			if len(s.Transfers) > 0 {
				t.transfer = s.Transfers[0].Path
			}
		}
	}
	return t
}

// bar draws at most width columns, or nothing when all is there. most is the
// bytes that were left at the beginning.
func (t totals) bar(width int, most int64) string {
	if !t.behind {
		return ""
	}
	done := 1.0
	if most > 0 {
		done = 1 - float64(t.left)/float64(most)
	}
	filled := min(barWidth, max(0, int(done*barWidth)))
	line := fmt.Sprintf("[%s%s] %3.0f %%  %s left, %s  %s  %s",
		strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), done*100,
		showBytes(t.left), plural(t.events, "event", "events"), strings.Join(t.states, ", "), t.transfer)
	line = strings.ToValidUTF8(line, "?")
	if r := []rune(line); len(r) >= width {
		line = string(r[:width-1])
	}
	return strings.TrimRight(line, " ")
}

// columns is the width of the terminal behind w, or 80.
func columns(w io.Writer) int {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}
