package main

import "errors"

// The exit codes; root's help documents them.
const (
	exitOK         = 0
	exitError      = 1
	exitUsage      = 2
	exitBehind     = 3
	exitNotRunning = 4
	exitHeld       = 5
)

// hintError is an error that tells the administrator what to do next.
type hintError struct {
	err  error
	hint string // a sentence or a command; may be empty
	code int    // exit code; 0 means exitError
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

func withHint(err error, hint string) error { return &hintError{err: err, hint: hint} }

func withCode(code int, err error) error { return &hintError{err: err, code: code} }

// errNotFound is wrapped when a share or a remote of that name is not known.
var errNotFound = errors.New("not known")

// quiet is an outcome that the output already told: only its exit code counts.
type quiet struct{ code int }

func (quiet) Error() string { return "" }

// exitCode is the code that err ends the process with.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var q quiet
	if errors.As(err, &q) {
		return q.code
	}
	for err != nil {
		var h *hintError
		if !errors.As(err, &h) {
			break
		}
		if h.code != 0 {
			return h.code
		}
		err = h.err
	}
	return exitError
}

// hintOf is the outermost hint of err, or empty.
func hintOf(err error) string {
	for err != nil {
		var h *hintError
		if !errors.As(err, &h) {
			break
		}
		if h.hint != "" {
			return h.hint
		}
		err = h.err
	}
	return ""
}
