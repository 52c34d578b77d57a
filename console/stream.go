package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	maxStreams = 64
	// beat keeps proxies from cutting a quiet stream, and is how often one looks
	// whether its session still stands.
	beat = 15 * time.Second
	// leastPause is between two messages to one browser.
	leastPause = 250 * time.Millisecond
)

// events streams the state and its changes (server-sent events) until the
// browser goes or its session ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	defer s.streams.Add(-1)
	if s.streams.Add(1) > maxStreams {
		w.Header().Set("Retry-After", "30")
		writeProblem(w, http.StatusServiceUnavailable, "too many browsers look at this page", "")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx in front would hold the messages back
	control := http.NewResponseController(w)
	send := func(event string, data any) bool {
		raw, err := json.Marshal(data)
		if err != nil {
			return false
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, raw)
		return err == nil && control.Flush() == nil
	}
	_ = control.SetReadDeadline(time.Time{}) // the request was read

	s.sampler.board.watch(1)
	defer s.sampler.board.watch(-1)
	s.sampler.poke()
	beats := time.NewTicker(beat)
	defer beats.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	var at seen
	for {
		select {
		case <-r.Context().Done():
			return
		case <-pause.C:
		}
		if !s.stillSignedIn(r) {
			send("bye", nothing{})
			return
		}
		u, point, history, changed := s.sampler.board.since(&at)
		if !u.empty() && !send("state", u) ||
			history != nil && !send("history", history) ||
			point != nil && !send("point", point) {
			return
		}
		pause.Reset(leastPause)
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-beats.C:
			if !send("beat", nothing{}) {
				return
			}
		}
	}
}

// stillSignedIn does not count as use: a page left open is not its user.
func (s *Server) stillSignedIn(r *http.Request) bool {
	if s.free {
		return true
	}
	_, ok := s.present(r, false)
	return ok
}
