package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// newServiceLogger is newLogger for what runs for long: equal troubles are
// counted. end writes what was counted last; it is to be called at the end.
func newServiceLogger(w io.Writer, c Common) (log zerolog.Logger, end func()) {
	r := newRepeatWriter(formatted(w, c))
	return leveled(r, c), r.Close
}

// newLogger writes to w as c says.
func newLogger(w io.Writer, c Common) zerolog.Logger { return leveled(formatted(w, c), c) }

func leveled(w io.Writer, c Common) zerolog.Logger {
	level, err := zerolog.ParseLevel(c.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

func formatted(w io.Writer, c Common) io.Writer {
	if c.LogFormat == "console" || c.LogFormat == "auto" && isTerminal(w) {
		return zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}
	}
	return w
}

// isTerminal says whether what is written to w is seen by somebody now.
func isTerminal(w io.Writer) bool {
	if t, ok := w.(*barWriter); ok {
		w = t.out
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
