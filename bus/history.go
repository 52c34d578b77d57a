package bus

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// generationsKey is where a stream's metadata keeps its history.
	generationsKey = "waptsync.generations"
	maxGenerations = 64
	// clockSlack is by how much a remote's idea of the main's clock may be
	// ahead of it: more means that the main's clock was set back, and then the
	// age of tombstones is not known.
	clockSlack = time.Hour
)

// opening is the beginning of one generation: its first sequence is the first
// that was written in it.
type opening struct {
	generation uuid.UUID
	first      uint64
}

// history is the generations of a stream, oldest first, their first sequences
// never falling: the leader epochs of Kafka's KIP-101.
type history []opening

// parseHistory reads what [history.String] writes.
func parseHistory(s string) (history, error) {
	if s == "" {
		return nil, nil
	}
	var h history
	for entry := range strings.SplitSeq(s, ",") {
		id, first, ok := strings.Cut(entry, ":")
		if !ok {
			return nil, fmt.Errorf("generation %q: want uuid:first", entry)
		}
		g, err := uuid.Parse(id)
		if err != nil {
			return nil, fmt.Errorf("generation %q: %w", entry, err)
		}
		n, err := strconv.ParseUint(first, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("generation %q: %w", entry, err)
		}
		h = append(h, opening{g, n})
	}
	return h, nil
}

func (h history) String() string {
	var b strings.Builder
	for i, o := range h {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(o.generation.String())
		b.WriteByte(':')
		b.WriteString(strconv.FormatUint(o.first, 10))
	}
	return b.String()
}

// begin returns h with one more generation. Where h says that later sequences
// were already written, the stream lost them: the older generations then end
// before first, so that positions in what was lost fit no more.
func (h history) begin(g uuid.UUID, first uint64) history {
	next := make(history, 0, len(h)+1)
	for _, o := range h {
		next = append(next, opening{o.generation, min(o.first, first)})
	}
	next = append(next, opening{g, first})
	return next[max(0, len(next)-maxGenerations):]
}

// misfit says why a remote at p cannot just go on in a stream that ends at
// last, or "" if it can.
func (h history) misfit(p Position, last uint64, now time.Time, tombstoneTTL time.Duration) string {
	if p.Generation == uuid.Nil {
		return "first join, or no state"
	}
	i := 0
	for i < len(h) && h[i].generation != p.Generation {
		i++
	}
	switch {
	case i == len(h):
		return fmt.Sprintf("generation %s is not of this stream, or too old", p.Generation)
	case p.Seq < h[i].first:
		return fmt.Sprintf("event %d is from before generation %s began at %d", p.Seq, p.Generation, h[i].first)
	case i+1 < len(h) && p.Seq >= h[i+1].first:
		return fmt.Sprintf("event %d of generation %s was lost by the main: the next one began at %d", p.Seq, p.Generation, h[i+1].first)
	case p.Seq > last:
		return fmt.Sprintf("event %d is behind the stream's last, %d", p.Seq, last)
	case now.Sub(p.MainTime) > tombstoneTTL/10*9:
		return fmt.Sprintf("away since %s: deletions are kept for %s", p.MainTime.UTC().Format(time.RFC3339), tombstoneTTL)
	case p.MainTime.Sub(now) > clockSlack:
		return fmt.Sprintf("the main's clock was set back: it was already %s", p.MainTime.UTC().Format(time.RFC3339))
	}
	return ""
}
