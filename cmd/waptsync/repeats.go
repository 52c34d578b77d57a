package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	repeatWindow = time.Minute // for which equal lines are counted instead of written
	maxRepeats   = 256         // different lines that are remembered
	maxRepeated  = 4 << 10     // bytes of one; a longer one is always written
)

// repeatWriter writes the first of equal warnings and errors and counts those that
// follow within a minute; then it writes the newest of them with their number, and
// goes on counting. Lines are equal when all but their time and their numbers is:
// pauses and counts of tries change while the trouble is the same.
//
// What is no trouble, a state change, is always written, and ends the counting of
// what was said of the same share or remote: what is held, let go and held again
// has three lines.
//
// It remembers at most maxRepeats lines: the oldest is written out for a new one.
type repeatWriter struct {
	now   func() time.Time
	after func(time.Duration, func()) *time.Timer

	mu    sync.Mutex
	out   io.Writer // takes JSON lines
	known map[[sha256.Size]byte]*repeated
	order []*repeated // by when the window ends
	timer *time.Timer
}

type repeated struct {
	key   [sha256.Size]byte
	about string
	since time.Time
	until time.Time
	count int
	last  []byte
}

var _ zerolog.LevelWriter = (*repeatWriter)(nil)

func newRepeatWriter(out io.Writer) *repeatWriter {
	return &repeatWriter{out: out, now: time.Now, after: time.AfterFunc, known: make(map[[sha256.Size]byte]*repeated)}
}

// Write implements io.Writer for lines without a level.
func (w *repeatWriter) Write(line []byte) (int, error) { return w.WriteLevel(zerolog.NoLevel, line) }

// WriteLevel implements zerolog.LevelWriter.
func (w *repeatWriter) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	trouble := level == zerolog.WarnLevel || level == zerolog.ErrorLevel
	if len(line) > maxRepeated || !trouble && (level != zerolog.InfoLevel || len(w.order) == 0) {
		return w.out.Write(line)
	}
	fields, err := jsonFields(line)
	if err != nil {
		return w.out.Write(line)
	}
	now := w.now()
	w.flush(now)
	about := subject(fields)
	if !trouble {
		if about != "" {
			w.order = slices.DeleteFunc(w.order, func(r *repeated) bool { return r.about == about && w.end(r) })
		}
		return w.out.Write(line)
	}
	key := sameness(fields)
	if r := w.known[key]; r != nil {
		r.count++
		r.last = append(r.last[:0], line...)
		return len(line), nil
	}
	if len(w.order) == maxRepeats {
		w.end(w.order[0])
		w.order = slices.Delete(w.order, 0, 1)
	}
	w.remember(&repeated{key: key, about: about}, now)
	return w.out.Write(line)
}

// Close writes what was counted.
func (w *repeatWriter) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.order {
		w.end(r)
	}
	w.order = nil
	if w.timer != nil {
		w.timer.Stop()
	}
}

// remember begins a window; w.mu must be held, as for all below.
func (w *repeatWriter) remember(r *repeated, now time.Time) {
	r.since, r.until, r.count = now, now.Add(repeatWindow), 0
	w.known[r.key] = r
	w.order = append(w.order, r)
	if len(w.order) == 1 {
		w.await(now)
	}
}

func (w *repeatWriter) await(now time.Time) {
	w.timer = w.after(w.order[0].until.Sub(now), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.flush(w.now())
	})
}

// flush ends the windows that are over. What was repeated begins another one.
func (w *repeatWriter) flush(now time.Time) {
	ended := 0
	for _, r := range w.order {
		if r.until.After(now) {
			break
		}
		ended++
	}
	if ended == 0 {
		return
	}
	over := slices.Clone(w.order[:ended])
	w.order = slices.Delete(w.order, 0, ended)
	for _, r := range over {
		again := r.count > 0
		if w.end(r); again {
			w.remember(r, now)
		}
	}
	if len(w.order) > 0 {
		w.timer.Stop()
		w.await(now)
	}
}

// end writes what was counted and forgets the line. It returns true.
func (w *repeatWriter) end(r *repeated) bool {
	delete(w.known, r.key)
	if r.count == 0 {
		return true
	}
	line := r.last
	if r.count > 1 {
		line = withCount(line, r.count, r.since, w.now())
	}
	_, _ = w.out.Write(line) // a log that takes no lines has nobody to tell
	return true
}

type jsonField struct {
	key   string
	value json.RawMessage
}

// jsonFields are the members of a JSON object, in their order.
func jsonFields(line []byte) ([]jsonField, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	if _, err := d.Token(); err != nil { // the brace
		return nil, err
	}
	var out []jsonField
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		f := jsonField{}
		f.key, _ = key.(string)
		if err := d.Decode(&f.value); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// subject is the share or the remote that a line is about; empty for none.
func subject(fields []jsonField) (about string) {
	for _, f := range fields {
		if f.key == "share" || f.key == "remote" {
			about += f.key + string(f.value)
		}
	}
	return about
}

// sameness is equal for lines that say the same of the same thing.
func sameness(fields []jsonField) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, f := range fields {
		if number := f.value[0] == '-' || f.value[0] >= '0' && f.value[0] <= '9'; number || f.key == zerolog.TimestampFieldName {
			continue
		}
		fmt.Fprintf(h, "%q:%s\n", f.key, f.value)
	}
	h.Sum(sum[:0])
	return sum
}

// withCount says in a line's message how often it came.
func withCount(line []byte, count int, since, now time.Time) []byte {
	fields, err := jsonFields(line)
	if err != nil {
		return line // it was read before
	}
	out := []byte{'{'}
	for _, f := range fields {
		switch f.key {
		case zerolog.TimestampFieldName:
			f.value, _ = json.Marshal(now.Format(zerolog.TimeFieldFormat))
		case zerolog.MessageFieldName:
			var text string
			_ = json.Unmarshal(f.value, &text)
			f.value, _ = json.Marshal(fmt.Sprintf("%s (%d times more in %s)", text, count, now.Sub(since).Round(time.Second)))
			out = strconv.AppendInt(append(out, `"repeated":`...), int64(count), 10)
			out = append(out, ',')
		}
		out = append(append(strconv.AppendQuote(out, f.key), ':'), f.value...)
		out = append(out, ',')
	}
	out[len(out)-1] = '}'
	return append(out, '\n')
}
