package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

type echo struct {
	Text string `json:"text"`
}

// serveTest serves a few endpoints on a real socket in a data folder of that name.
func serveTest(t *testing.T, folder string) (*dataDir, *controlClient) {
	t.Helper()
	data, err := openData(filepath.Join(t.TempDir(), folder))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", handle(func(_ *http.Request, in echo) (echo, error) { return in, nil }))
	mux.HandleFunc("POST /fail/{how}", handle(func(r *http.Request, _ done) (done, error) {
		switch r.PathValue("how") {
		case "held":
			return done{}, &hintError{errors.New("held"), "approve it", exitHeld}
		case "usage":
			return done{}, withCode(exitUsage, errors.New("wrong"))
		case "missing":
			return done{}, fmt.Errorf("share %q: %w", "x", errNotFound)
		}
		return done{}, withHint(errors.New("broken"), "mend it")
	}))
	mux.HandleFunc("/", unknownEndpoint("another role"))
	s, err := serveControl(data, mux, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return data, newControlClient(data.path)
}

func TestControlCarriesRequestsAndErrors(t *testing.T) {
	data, client := serveTest(t, "data")
	var out echo
	if err := client.call(t.Context(), http.MethodPost, "/echo", echo{"héllo"}, &out); err != nil || out.Text != "héllo" {
		t.Errorf("echo: %q, %v", out.Text, err)
	}
	if info, err := os.Stat(data.join(socketName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	for _, c := range []struct {
		name, path string
		body       any
		code       int
		text, hint string
	}{
		{"plain", "/fail/plain", nil, exitError, "broken", "mend it"},
		{"held", "/fail/held", nil, exitHeld, "held", "approve it"},
		{"usage", "/fail/usage", nil, exitUsage, "wrong", ""},
		{"unknown share", "/fail/missing", nil, exitError, `share "x": not known`, ""},
		{"unknown endpoint", "/v1/else", nil, exitError, "this service has no POST /v1/else", "another role"},
		{"unknown field", "/echo", map[string]int{"texte": 1}, exitUsage, `reading the request: json: unknown field "texte"`, ""},
		{"too large", "/echo", echo{strings.Repeat("x", maxControlBody)}, exitUsage, "reading the request: http: request body too large", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := client.call(t.Context(), http.MethodPost, c.path, c.body, nil)
			if err == nil || err.Error() != c.text || hintOf(err) != c.hint || exitCode(err) != c.code {
				t.Errorf("got %v, hint %q, code %d", err, hintOf(err), exitCode(err))
			}
		})
	}
}

func TestControlWorksUnderALongPath(t *testing.T) {
	_, client := serveTest(t, strings.Repeat("a-long-name-", 20))
	var out echo
	err := client.call(t.Context(), http.MethodPost, "/echo", echo{"far"}, &out)
	if err != nil || out.Text != "far" {
		t.Errorf("echo: %q, %v", out.Text, err)
	}
}

func TestSilenceIsNotRunning(t *testing.T) {
	err := newControlClient(t.TempDir()).call(t.Context(), http.MethodGet, "/v1/status", nil, nil)
	if exitCode(err) != exitNotRunning || hintOf(err) == "" {
		t.Errorf("got %v, hint %q, code %d", err, hintOf(err), exitCode(err))
	}
}

func TestStrangersMayNotControl(t *testing.T) {
	// No connection context stands for a peer whose user is not known.
	w := httptest.NewRecorder()
	r, err := http.NewRequest(http.MethodGet, "/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	refuseStrangers(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a stranger came through") })).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
}
