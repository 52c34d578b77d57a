package main

import (
	"encoding/json"
	"net/http"
)

// verifyRequest asks for a comparison of shares with the main; no share means all.
type verifyRequest struct {
	Shares []string `json:"shares"`
	Repair bool     `json:"repair"`
}

// verifyLine is one line of a verification's answer: a difference, the sum of
// one share, or the error that ended it.
type verifyLine struct {
	Share      string      `json:"share"`
	Difference *difference `json:"difference,omitempty"`
	Done       *verified   `json:"done,omitempty"`
	apiError
}

// difference is a path that is not as the main published it.
type difference struct {
	Path     string `json:"path"`
	What     string `json:"what"` // bad, missing, extra or unreadable
	Detail   string `json:"detail,omitempty"`
	Repaired bool   `json:"repaired"` // it is being put right
}

// verified ends the answer for one share.
type verified struct {
	Files       int64   `json:"files"` // read
	Bytes       int64   `json:"bytes"`
	Seconds     float64 `json:"seconds"`
	Differences int64   `json:"differences"`
	Repaired    int64   `json:"repaired"`
}

// remoteHandler is the control API of a remote.
func remoteHandler(s *subscribeService) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", handle(func(*http.Request, done) (*remoteStatus, error) {
		return s.Status(), nil
	}))
	mux.HandleFunc("GET /v1/bandwidth", handle(func(*http.Request, done) (bandwidthReply, error) {
		return bandwidthReply{Role: roleSubscriber, Own: s.line.report()}, nil
	}))
	mux.HandleFunc("POST /v1/bandwidth", handle(func(_ *http.Request, in bandwidthRequest) (done, error) {
		return done{}, s.SetBandwidth(in)
	}))
	mux.HandleFunc("POST /v1/shares/{name}/rescan", handle(func(r *http.Request, _ done) (done, error) {
		return done{}, s.Reconcile(r.PathValue("name"))
	}))
	mux.HandleFunc("GET /v1/shares/{name}/trash", s.serveTrash)
	mux.HandleFunc("POST /v1/shares/{name}/trash/empty", handle(func(r *http.Request, _ done) (done, error) {
		return done{}, s.EmptyTrash(r.Context(), r.PathValue("name"))
	}))
	mux.HandleFunc("POST /v1/verify", func(w http.ResponseWriter, r *http.Request) {
		var in verifyRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			writeError(w, http.StatusBadRequest, err)
			return
		}
		s.serveVerify(w, r, in)
	})
	mux.HandleFunc("/", unknownEndpoint("this service is a remote: run this command on the main"))
	return mux
}
