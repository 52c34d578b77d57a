package console

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// contentPolicy lets the page load what this server serves as a file, and
// nothing else: no inline script or style, no other host, no frame.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard is around every answer: headers, bounds, and where a request may come from.
//
// There is no Strict-Transport-Security: with the main's own CA a browser asks
// the administrator whom to trust, and with that header it would not let them answer.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer: with that, browsers send "Origin: null" with forms.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		// Its only error is that the connection cannot have one.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)

		if !s.hostAllowed(r) {
			s.o.Log.Warn().Str("address", r.RemoteAddr).Str("host", r.Host).Msg("refused: the page is not known by that name")
			http.Error(w, "This page is not known by that name. Add it to http-names in the configuration.", http.StatusMisdirectedRequest)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !s.sameOrigin(r) {
			s.o.Log.Warn().Str("address", r.RemoteAddr).Str("origin", r.Header.Get("Origin")).Msg("refused: a request of another site")
			http.Error(w, "This request came from another site.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostAllowed keeps out pages of others whose name was made to point here (DNS
// rebinding): the name asked for must be ours, or the very address that the
// connection came to.
func (s *Server) hostAllowed(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || slices.ContainsFunc(s.o.Names, func(n string) bool { return strings.EqualFold(n, host) }) {
		return true
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	to, _, err := net.SplitHostPort(local.String())
	return err == nil && (ip.IsLoopback() && isLoopback(local) || ip.Equal(net.ParseIP(to)))
}

// sameOrigin says whether a request that changes something was made by a page
// of this server. Browsers send Origin with each such request.
func (s *Server) sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	scheme := "https"
	if s.o.TLS == nil {
		scheme = "http"
	}
	return u.Scheme == scheme && strings.EqualFold(u.Host, r.Host)
}

// present is the session of a request. touch: the user did something.
func (s *Server) present(r *http.Request, touch bool) (session, bool) {
	id := cookie(r, sessionCookie)
	if id == "" {
		return session{}, false
	}
	a, err := loadAccount(s.o.Data)
	if err != nil {
		return session{}, false
	}
	return s.sessions.find(id, a.version, touch)
}

// signedIn refuses whoever is not.
func (s *Server) signedIn(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.free {
			if _, ok := s.present(r, false); !ok {
				writeProblem(w, http.StatusUnauthorized, "not signed in", "")
				return
			}
		}
		next(w, r)
	}
}

// changes refuses whoever is not signed in, or cannot show the session's own
// token, which no other site can read.
func (s *Server) changes(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		have, ok := s.present(r, true)
		if !ok {
			writeProblem(w, http.StatusUnauthorized, "not signed in", "")
			return
		}
		token := r.Header.Get("X-CSRF-Token")
		if token == "" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			token = r.PostFormValue("csrf")
		}
		if !sameToken(have.csrf, token) {
			s.o.Log.Warn().Str("address", r.RemoteAddr).Str("path", r.URL.Path).Msg("refused: a change without the session's token")
			writeProblem(w, http.StatusForbidden, "the request lacks its token", "load the page again")
			return
		}
		next(w, r)
	}
}
