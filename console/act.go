package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"
)

const longestInvitation = 30 * 24 * time.Hour

// problem is the one shape of an error that the API answers with.
type problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func writeProblem(w http.ResponseWriter, status int, text, hint string) {
	writeJSON(w, status, problem{text, hint})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the only failure left is a client that went away
}

// invitation is what the page asks for, and the answer.
type inviteBody struct {
	Invite
	Seconds int64 `json:"expires"`
}

type inviteAnswer struct {
	Line string `json:"line"`
}

type sharesBody struct {
	Shares []string `json:"shares"`
}

type bandwidthBody struct {
	Rule string `json:"rule"`
}

type nothing struct{}

// addActs registers what the page of a main can do.
func (s *Server) addActs(mux *http.ServeMux) {
	m := s.o.Main
	named := func(do func(ctx context.Context, name string) error) func(*http.Request, nothing) (nothing, error) {
		return func(r *http.Request, _ nothing) (nothing, error) {
			return nothing{}, do(r.Context(), r.PathValue("name"))
		}
	}
	add := func(path string, h http.HandlerFunc) { mux.HandleFunc("POST /api/"+path, s.changes(h)) }

	add("invite", act(s, func(r *http.Request, in inviteBody) (inviteAnswer, error) {
		in.Expires = time.Duration(in.Seconds) * time.Second
		if in.Seconds <= 0 || in.Seconds > int64(longestInvitation/time.Second) {
			return inviteAnswer{}, &ActError{Status: http.StatusBadRequest, Text: "an invitation works for 1 second to 30 days"}
		}
		line, err := m.Invite(r.Context(), in.Invite)
		return inviteAnswer{line}, err
	}))
	add("remotes/{name}/pause", act(s, named(func(ctx context.Context, name string) error {
		return m.SetPaused(ctx, name, true)
	})))
	add("remotes/{name}/resume", act(s, named(func(ctx context.Context, name string) error {
		return m.SetPaused(ctx, name, false)
	})))
	add("remotes/{name}/revoke", act(s, named(m.Revoke)))
	add("remotes/{name}/sync", act(s, named(m.ForceSync)))
	add("remotes/{name}/verify", act(s, named(m.Verify)))
	add("remotes/{name}/shares", act(s, func(r *http.Request, in sharesBody) (nothing, error) {
		if len(in.Shares) == 0 {
			return nothing{}, &ActError{Status: http.StatusBadRequest, Text: "no share is ticked", Hint: "revoke the remote if it shall have none"}
		}
		return nothing{}, m.SetShares(r.Context(), r.PathValue("name"), in.Shares)
	}))
	add("remotes/{name}/bandwidth", act(s, func(r *http.Request, in bandwidthBody) (nothing, error) {
		return nothing{}, m.SetBandwidth(r.Context(), r.PathValue("name"), in.Rule)
	}))
	add("shares/{name}/approve", act(s, named(m.Approve)))
	add("shares/{name}/rescan", act(s, named(m.Rescan)))
}

// act makes a handler of a function from a JSON body to a JSON answer, and
// writes down who did what.
func act[In, Out any](s *Server, do func(*http.Request, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			writeProblem(w, http.StatusUnsupportedMediaType, "want application/json", "")
			return
		}
		var in In
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			writeProblem(w, http.StatusBadRequest, fmt.Sprintf("reading the request: %v", err), "")
			return
		}
		log := s.o.Log.With().Str("address", r.RemoteAddr).Str("act", r.URL.Path).Logger()
		out, err := do(r, in)
		if err == nil {
			log.Info().Msg("done from the page")
			s.sampler.poke()
			writeJSON(w, http.StatusOK, out)
			return
		}
		log.Warn().Err(err).Msg("not done from the page")
		status, hint := http.StatusInternalServerError, ""
		var known *ActError
		if errors.As(err, &known) {
			hint = known.Hint
			if known.Status != 0 {
				status = known.Status
			}
		}
		writeProblem(w, status, err.Error(), hint)
	}
}
