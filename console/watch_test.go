package console

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// stream is an open stream of events.
type stream struct {
	t     *testing.T
	lines *bufio.Reader
	parts map[string]json.RawMessage
}

func (r *rig) stream() *stream {
	r.t.Helper()
	r.client.Timeout = 0
	resp, err := r.client.Get(r.url + "/events")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		r.t.Fatalf("stream: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return &stream{r.t, bufio.NewReader(resp.Body), make(map[string]json.RawMessage)}
}

// next returns the next event, and applies it if it is of the state.
func (s *stream) next() (name string, u update) {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("stream: %v", err)
		}
		line = strings.TrimSpace(line)
		if n, ok := strings.CutPrefix(line, "event: "); ok {
			name = n
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if name == "state" {
			if err := json.Unmarshal([]byte(data), &u); err != nil {
				s.t.Fatal(err)
			}
			if u.All {
				clear(s.parts)
			}
			for k, v := range u.Set {
				s.parts[k] = v
			}
			for _, k := range u.Gone {
				delete(s.parts, k)
			}
		}
		return name, u
	}
}

// until reads events until the part is as ok wants it, and returns the last update.
func (s *stream) until(part string, ok func(raw string, there bool) bool) update {
	s.t.Helper()
	for range 100 {
		_, u := s.next()
		raw, there := s.parts[part]
		if ok(string(raw), there) {
			return u
		}
	}
	s.t.Fatalf("%s never came: %s", part, s.parts[part])
	return update{}
}

func TestStreamTellsAllAndThenWhatChanged(t *testing.T) {
	r := start(t, Options{})
	r.signIn()
	s := r.stream()
	s.until("remote/colmar", func(_ string, there bool) bool { return there })
	r.main.edit(func(m *MainStatus) {
		c := m.Remotes["colmar"]
		c.Version = "0.4.0"
		m.Remotes["colmar"] = c
	})
	u := s.until("remote/colmar", func(raw string, _ bool) bool { return strings.Contains(raw, "0.4.0") })
	if u.All || u.Set["remote/colmar"] == nil || u.Set["remote/saint-louis"] != nil || u.Set["share/wapt"] != nil {
		t.Errorf("want the changed remote only, got %v", u)
	}
	r.main.edit(func(m *MainStatus) { delete(m.Remotes, "colmar") })
	s.until("remote/colmar", func(_ string, there bool) bool { return !there })
}

func TestStreamEndsWithItsSession(t *testing.T) {
	r := start(t, Options{})
	csrf := r.signIn()
	s := r.stream()
	s.until("head", func(_ string, there bool) bool { return there })
	want(t, r.do(http.MethodPost, "/logout", "application/x-www-form-urlencoded", "csrf="+csrf, nil), http.StatusSeeOther)
	r.main.edit(func(m *MainStatus) { m.Host = "changed" })
	for range 10 {
		if name, _ := s.next(); name == "bye" {
			return
		}
	}
	t.Fatal("the stream goes on")
}

func TestStreamsAreBounded(t *testing.T) {
	r := start(t, Options{})
	r.signIn()
	for range maxStreams {
		r.stream()
	}
	want(t, r.get("/events"), http.StatusServiceUnavailable)
}

func TestServiceThatDoesNotAnswerIsShown(t *testing.T) {
	r := start(t, Options{})
	r.signIn()
	s := r.stream()
	s.until("head", func(_ string, there bool) bool { return there })
	r.main.mu.Lock()
	r.main.fail = errors.New("the bus is away")
	r.main.mu.Unlock()
	s.until("trouble", func(raw string, _ bool) bool { return strings.Contains(raw, "the bus is away") })
	if s.parts["remote/colmar"] == nil {
		t.Error("what was known is not shown any more")
	}
	want(t, r.get("/healthz"), http.StatusServiceUnavailable)
}

func TestMetricsTellLagOfEachRemote(t *testing.T) {
	r := start(t, Options{})
	r.server.ObserveFetch(20 * time.Millisecond)
	a := r.get("/metrics")
	want(t, a, http.StatusOK)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string, labels ...string) float64 {
		t.Helper()
	next:
		for _, m := range families[name].GetMetric() {
			for i := 0; i < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				if !found {
					continue next
				}
			}
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		t.Errorf("no %s %v", name, labels)
		return -1
	}
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"waptsync_build_info", []string{"version", "0.3.0", "role", "publisher"}, 1},
		{"waptsync_healthy", nil, 1},
		{"waptsync_ready", nil, 0},
		{"waptsync_share_files", []string{"share", "wapt"}, 1284},
		{"waptsync_share_bytes", []string{"share", "wapt-host"}, 231211008},
		{"waptsync_share_held", []string{"share", "wapt-host"}, 1},
		{"waptsync_share_errors", []string{"share", "wads"}, 1},
		{"waptsync_remote_connected", []string{"remote", "colmar"}, 1},
		{"waptsync_remote_connected", []string{"remote", "saint-louis"}, 0},
		{"waptsync_lag_events", []string{"remote", "mulhouse", "share", "wapt"}, 14},
		{"waptsync_lag_bytes", []string{"remote", "mulhouse", "share", "wapt"}, 6442450944},
		{"waptsync_lag_seconds", []string{"remote", "mulhouse", "share", "wapt"}, 1312},
		{"waptsync_errors", []string{"remote", "mulhouse", "share", "wapt"}, 1},
		{"waptsync_sent_bytes_total", nil, 48318382080},
		{"waptsync_received_bytes_total", []string{"remote", "colmar", "share", "wapt"}, 1 << 30},
		{"waptsync_fetch_seconds", nil, 1},
	} {
		if got := value(tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s%v is %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
}

func TestMetricsAreNotForStrangers(t *testing.T) {
	s, err := New(Options{Main: newFakeMain(testNow), Data: t.TempDir(), MetricsToken: "let me see"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, from, token string
		may               bool
	}{
		{"loopback", "127.0.0.1:5", "", true},
		{"loopback of IPv6", "[::1]:5", "", true},
		{"stranger", "192.0.2.1:5", "", false},
		{"stranger with a wrong token", "192.0.2.1:5", "Bearer let me", false},
		{"with the token", "192.0.2.1:5", "Bearer let me see", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, "/metrics", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.RemoteAddr = tt.from
			req.Header.Set("Authorization", tt.token)
			if got := s.mayWatch(req); got != tt.may {
				t.Errorf("may watch: %t, want %t", got, tt.may)
			}
		})
	}
}

func TestReadyFailsBeyondTheLimit(t *testing.T) {
	level := func(m *MainStatus) {
		for name, sh := range m.Shares {
			sh.Held, sh.State = "", StateLive
			m.Shares[name] = sh
		}
		for name, r := range m.Remotes {
			for share, s := range r.Shares {
				s.LagAge, s.LagBytes, s.LagEvents = 0, 0, 0
				r.Shares[share] = s
			}
			m.Remotes[name] = r
		}
	}
	lag := func(remote string, age float64, bytes int64, paused bool) func(*MainStatus) {
		return func(m *MainStatus) {
			level(m)
			r := m.Remotes[remote]
			s := r.Shares["wapt"]
			s.LagAge, s.LagBytes = age, bytes
			r.Shares["wapt"] = s
			r.Paused = paused
			m.Remotes[remote] = r
		}
	}
	for _, tt := range []struct {
		name string
		edit func(*MainStatus)
		want string // empty: ready
	}{
		{"all level", level, ""},
		{"behind within the limit", lag("colmar", 299, 1000, false), ""},
		{"too old", lag("colmar", 301, 0, false), "remote colmar, share wapt is 5m1s behind: the limit is 5m0s"},
		{"too much", lag("colmar", 1, 1001, false), "remote colmar, share wapt still has to get 1001 bytes: the limit is 1000"},
		{"paused on purpose", lag("colmar", 9999, 9999, true), ""},
		{"outside its hours", func(m *MainStatus) {
			lag("colmar", 9999, 9999, false)(m)
			s := m.Remotes["colmar"].Shares["wapt"]
			s.State = StateWaiting
			m.Remotes["colmar"].Shares["wapt"] = s
		}, ""},
		{"held", func(m *MainStatus) {
			level(m)
			sh := m.Shares["wapt"]
			sh.Held = "it is empty"
			m.Shares["wapt"] = sh
		}, "share wapt is held: it is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, Options{Ready: ReadyLimits{Age: 5 * time.Minute, Bytes: 1000}})
			r.main.edit(tt.edit)
			eventually(t, "a fresh state", func() bool { _, err := r.server.sampler.within(t.Context(), 0); return err == nil })
			a := r.get("/readyz")
			if tt.want == "" {
				want(t, a, http.StatusOK)
				return
			}
			want(t, a, http.StatusServiceUnavailable)
			if strings.TrimSpace(a.body) != tt.want {
				t.Errorf("says %q, want %q", a.body, tt.want)
			}
			want(t, r.get("/healthz"), http.StatusOK) // behind is not ill
		})
	}
}

func TestRemoteWithoutItsMainIsNotReadyForLong(t *testing.T) {
	fake := newFakeReplica(time.Now())
	fake.status.Connected, fake.status.Shares = false, nil
	r := start(t, Options{Replica: fake, Ready: ReadyLimits{Age: 100 * time.Millisecond}, Data: t.TempDir()})
	eventually(t, "it is not ready", func() bool {
		a := r.get("/readyz")
		return a.status == http.StatusServiceUnavailable && strings.Contains(a.body, "no connection to the main for ")
	})
	want(t, r.get("/healthz"), http.StatusOK)
}

func TestRemotesPageIsReadOnly(t *testing.T) {
	r := start(t, Options{Replica: newFakeReplica(time.Now()), Ready: ReadyLimits{Age: time.Minute}, Data: t.TempDir()})
	a := r.get("/")
	want(t, a, http.StatusOK)
	if strings.Contains(a.body, "<form") || strings.Contains(a.body, "<button") {
		t.Error("the page has something to press")
	}
	want(t, r.post("/api/remotes/colmar/pause", "", "{}"), http.StatusNotFound)
	want(t, r.do(http.MethodGet, "/", "", "", func(req *http.Request) { req.Host = "evil.example" }), http.StatusMisdirectedRequest)
	s := r.stream()
	s.until("share/wapt", func(raw string, _ bool) bool { return strings.Contains(raw, `"dir":"/var/www/wapt"`) })
	r.client.Timeout = 20 * time.Second
	want(t, r.get("/healthz"), http.StatusOK)
	if a = r.get("/readyz"); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "share wapt is 21m52s behind") {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	if a = r.get("/metrics"); !strings.Contains(a.body, `waptsync_lag_events{remote="mulhouse",share="wapt"} 14`) ||
		!strings.Contains(a.body, `waptsync_waiting{remote="mulhouse",share="wads"} 1`) {
		t.Errorf("metrics lack the lag: %s", a.body)
	}
}
