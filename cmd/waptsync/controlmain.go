package main

import (
	"net/http"

	"waptsync/bus"
)

// done is the answer of a request that only does something.
type done struct{}

// sharesRequest names shares.
type sharesRequest struct {
	Shares []string `json:"shares"`
}

// holdRequest says why a share is held.
type holdRequest struct {
	Reason string `json:"reason"`
}

// mainHandler is the control API of a main.
func mainHandler(s *publishService) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", handle(func(r *http.Request, _ done) (*mainStatus, error) {
		return s.Status(r.Context()), nil
	}))
	mux.HandleFunc("POST /v1/invite", handle(func(_ *http.Request, in inviteRequest) (inviteReply, error) {
		return s.Invite(in)
	}))
	mux.HandleFunc("GET /v1/remotes", handle(func(*http.Request, done) (remoteList, error) {
		return s.Remotes(), nil
	}))
	mux.HandleFunc("POST /v1/remotes", handle(func(_ *http.Request, in addRequest) (*bus.Membership, error) {
		return s.AddRemote(in)
	}))
	mux.HandleFunc("POST /v1/remotes/{name}/membership", handle(func(r *http.Request, in membershipRequest) (*bus.Membership, error) {
		return s.Membership(r.PathValue("name"), in)
	}))
	mux.HandleFunc("POST /v1/remotes/{name}/pause", handle(func(r *http.Request, _ done) (done, error) {
		return done{}, s.SetPaused(r.PathValue("name"), true)
	}))
	mux.HandleFunc("POST /v1/remotes/{name}/resume", handle(func(r *http.Request, _ done) (done, error) {
		return done{}, s.SetPaused(r.PathValue("name"), false)
	}))
	mux.HandleFunc("POST /v1/remotes/{name}/revoke", handle(func(r *http.Request, _ done) (done, error) {
		return done{}, s.Revoke(r.Context(), r.PathValue("name"))
	}))
	for verb, do := range map[string]string{"sync": bus.OrderReconcile, "verify": bus.OrderVerify} {
		mux.HandleFunc("POST /v1/remotes/{name}/"+verb, handle(func(r *http.Request, _ done) (done, error) {
			return done{}, s.Order(r.PathValue("name"), do)
		}))
	}
	mux.HandleFunc("GET /v1/bandwidth", handle(func(*http.Request, done) (bandwidthReply, error) {
		return s.Bandwidth(), nil
	}))
	mux.HandleFunc("POST /v1/remotes/{name}/bandwidth", handle(func(r *http.Request, in bandwidthRequest) (done, error) {
		return done{}, s.SetBandwidth(r.PathValue("name"), in)
	}))
	mux.HandleFunc("POST /v1/remotes/{name}/shares", handle(func(r *http.Request, in sharesRequest) (done, error) {
		return done{}, s.SetShares(r.Context(), r.PathValue("name"), in.Shares)
	}))
	mux.HandleFunc("POST /v1/shares/{name}/approve", handle(func(r *http.Request, _ done) (done, error) {
		return done{}, s.Approve(r.PathValue("name"))
	}))
	mux.HandleFunc("POST /v1/shares/{name}/hold", handle(func(r *http.Request, in holdRequest) (done, error) {
		return done{}, s.Hold(r.PathValue("name"), in.Reason)
	}))
	mux.HandleFunc("POST /v1/shares/{name}/rescan", handle(func(r *http.Request, _ done) (done, error) {
		return done{}, s.Rescan(r.PathValue("name"))
	}))
	mux.HandleFunc("/", unknownEndpoint("this service is a main: `verify` and `subscribe` belong on a remote"))
	return mux
}

// unknownEndpoint answers what the other role would know.
func unknownEndpoint(hint string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, withHint(&endpointError{r.Method, r.URL.Path}, hint))
	}
}

type endpointError struct{ method, path string }

func (e *endpointError) Error() string {
	return "this service has no " + e.method + " " + e.path
}
