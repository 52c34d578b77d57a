package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var testNow = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

func TestActsReachTheMain(t *testing.T) {
	r := start(t, Options{})
	csrf := r.signIn()
	for _, tt := range []struct{ path, body, did string }{
		{"remotes/colmar/pause", "{}", "paused=true colmar"},
		{"remotes/colmar/resume", "{}", "paused=false colmar"},
		{"remotes/colmar/sync", "{}", "sync colmar"},
		{"remotes/colmar/verify", "{}", "verify colmar"},
		{"remotes/colmar/shares", `{"shares":["wapt"]}`, "shares [wapt] colmar"},
		{"remotes/colmar/bandwidth", `{"rule":"Sa,Su off"}`, `bandwidth "Sa,Su off" colmar`},
		{"remotes/colmar/bandwidth", `{"rule":""}`, `bandwidth "" colmar`},
		{"remotes/colmar/revoke", "{}", "revoke colmar"},
		{"shares/wapt-host/approve", "{}", "approve wapt-host"},
		{"shares/wapt/rescan", "{}", "rescan wapt"},
		{"invite", `{"name":"thann","shares":["wapt"],"expires":3600}`, "invite thann [wapt] 1h0m0s"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			want(t, r.post("/api/"+tt.path, csrf, tt.body), http.StatusOK)
			if did := r.main.acts(); did[len(did)-1] != tt.did {
				t.Errorf("done was %v, want %s", did, tt.did)
			}
		})
	}
	if !strings.Contains(r.log.String(), `"act":"/api/remotes/colmar/revoke"`) {
		t.Error("the log does not tell who revoked")
	}
	if strings.Contains(r.log.String(), "AVerySecretLine") {
		t.Error("an invitation's line is in the log")
	}
}

func TestInviteAnswersTheLine(t *testing.T) {
	r := start(t, Options{})
	csrf := r.signIn()
	a := r.post("/api/invite", csrf, `{"name":"thann","shares":[],"expires":60}`)
	want(t, a, http.StatusOK)
	var out inviteAnswer
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || out.Line != "waptsync1-AVerySecretLineForthann" {
		t.Errorf("line %q, %v", out.Line, err)
	}
}

func TestWrongActIsRefusedWithAHint(t *testing.T) {
	r := start(t, Options{})
	csrf := r.signIn()
	for _, tt := range []struct {
		name, path, body string
		status           int
		text             string
	}{
		{"unknown remote", "remotes/nancy/pause", "{}", http.StatusNotFound, `"hint":"look at the list"`},
		{"expiry of nothing", "invite", `{"name":"x","expires":0}`, http.StatusBadRequest, "30 days"},
		{"expiry of a year", "invite", `{"name":"x","expires":31536000}`, http.StatusBadRequest, "30 days"},
		{"no share", "remotes/colmar/shares", `{"shares":[]}`, http.StatusBadRequest, "no share"},
		{"unknown field", "invite", `{"name":"x","expires":60,"admin":true}`, http.StatusBadRequest, "unknown field"},
		{"no JSON", "invite", `name=x`, http.StatusBadRequest, "reading the request"},
		{"unknown act", "remotes/colmar/delete", "{}", http.StatusNotFound, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := r.post("/api/"+tt.path, csrf, tt.body)
			want(t, a, tt.status)
			if !strings.Contains(a.body, tt.text) {
				t.Errorf("answer %s, want %s", a.body, tt.text)
			}
		})
	}
	a := r.do(http.MethodPost, "/api/invite", "text/plain", `{"name":"x","expires":60}`, func(req *http.Request) {
		req.Header.Set("X-CSRF-Token", csrf)
	})
	want(t, a, http.StatusUnsupportedMediaType)
	if did := r.main.acts(); slices.ContainsFunc(did, func(s string) bool { return strings.HasPrefix(s, "invite") }) {
		t.Errorf("done was %v", did)
	}
}
