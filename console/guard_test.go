package console

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestChangeNeedsTheSessionsToken(t *testing.T) {
	r := start(t, Options{})
	csrf := r.signIn()
	other := start(t, Options{})
	for name, token := range map[string]string{"none": "", "wrong": "AAAAAAAAAAAAAAAAAAAAAA", "of another session": other.signIn()} {
		want(t, r.post("/api/remotes/colmar/pause", token, "{}"), http.StatusForbidden)
		if did := r.main.acts(); len(did) > 0 {
			t.Fatalf("token %s: done was %v", name, did)
		}
	}
	want(t, r.post("/api/remotes/colmar/pause", csrf, "{}"), http.StatusOK)
}

func TestRequestOfAnotherSiteIsRefused(t *testing.T) {
	r := start(t, Options{})
	csrf := r.signIn()
	for _, tt := range []struct {
		name   string
		edit   func(http.Header)
		status int
	}{
		{"its own origin", func(http.Header) {}, http.StatusOK},
		{"another host", func(h http.Header) { h.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		{"another port", func(h http.Header) { h.Set("Origin", "https://127.0.0.1:1") }, http.StatusForbidden},
		{"without TLS", func(h http.Header) { h.Set("Origin", strings.Replace(r.url, "https", "http", 1)) }, http.StatusForbidden},
		{"a sandboxed frame", func(h http.Header) { h.Set("Origin", "null") }, http.StatusForbidden},
		{"none at all", func(h http.Header) { h.Del("Origin") }, http.StatusForbidden},
		{"none, and the browser vouches", func(h http.Header) { h.Del("Origin"); h.Set("Sec-Fetch-Site", "same-origin") }, http.StatusOK},
		{"none, and the browser warns", func(h http.Header) { h.Del("Origin"); h.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want(t, r.do(http.MethodPost, "/api/remotes/colmar/sync", "application/json", "{}", func(req *http.Request) {
				req.Header.Set("X-CSRF-Token", csrf)
				tt.edit(req.Header)
			}), tt.status)
		})
	}
}

func TestForeignHostIsRefused(t *testing.T) {
	r := start(t, Options{Names: []string{"wapt.example.org"}})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	for host, status := range map[string]int{
		"127.0.0.1:" + port: http.StatusOK, "localhost:" + port: http.StatusOK, "[::1]:" + port: http.StatusOK,
		"WAPT.example.org:1234": http.StatusOK, "wapt.example.org.": http.StatusOK,
		"evil.example:" + port: http.StatusMisdirectedRequest, "wapt.example.org.evil.example": http.StatusMisdirectedRequest,
		"192.0.2.1:" + port: http.StatusMisdirectedRequest,
	} {
		t.Run(host, func(t *testing.T) {
			for _, path := range []string{"/login", "/healthz"} {
				want(t, r.do(http.MethodGet, path, "", "", func(req *http.Request) { req.Host = host }), status)
			}
		})
	}
}

func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	r := start(t, Options{})
	r.signIn()
	for _, path := range []string{"/", "/login", "/assets/main.js", "/healthz", "/none"} {
		h := r.get(path).header
		for name, part := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; ", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if !strings.HasPrefix(h.Get(name), part) {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), part)
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: the policy allows something unsafe", path)
		}
	}
}

func TestOlderTLSIsRefused(t *testing.T) {
	r := start(t, Options{})
	c, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{RootCAs: r.roots, MaxVersion: tls.VersionTLS12})
	if err == nil {
		c.Close()
		t.Fatal("TLS 1.2 was taken")
	}
}

func TestWithoutTLSOnlyARemoteOnLoopbackIsServed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Main: newFakeMain(testNow), Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), l); err == nil {
		t.Error("a main was served without TLS")
	}
	if l, err = net.Listen("tcp", "0.0.0.0:0"); err != nil {
		t.Fatal(err)
	}
	if s, err = New(Options{Replica: newFakeReplica(testNow)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), l); err == nil {
		t.Error("a remote was served without TLS on every address")
	}
}

func TestBodyHasABound(t *testing.T) {
	r := start(t, Options{})
	csrf := r.signIn()
	want(t, r.post("/api/invite", csrf, `{"name":"`+strings.Repeat("x", maxBody)+`"}`), http.StatusBadRequest)
}
