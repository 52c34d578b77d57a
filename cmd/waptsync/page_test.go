package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"waptsync/console"
)

// loggedService runs a command until stop, or the test's end, and returns what
// it logs as JSON lines.
func loggedService(t *testing.T, args ...string) (log *lines, stop func()) {
	t.Helper()
	log = &lines{}
	a := &app{in: strings.NewReader(""), out: log, err: log, env: noEnv, version: "test"}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- a.execute(ctx, append(args, "--log-format", "json")) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("waptsync %s ended with %d", args[0], code)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", args[0], log)
		}
	})
	t.Cleanup(stop)
	return log, stop
}

// logged waits for a line that matches and returns its first group.
func logged(t *testing.T, log *lines, pattern string) string {
	t.Helper()
	var found string
	eventually(t, "the log has "+pattern, func() (bool, string) {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(log.String()); m != nil {
			found = m[1]
		}
		return found != "", log.String()
	})
	return found
}

// pageClient is a browser that trusts the main's own authority.
type pageClient struct {
	t    *testing.T
	url  string
	http *http.Client
	csrf string
}

func newPageClient(t *testing.T, url, data string) *pageClient {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	if data != "" {
		text, err := os.ReadFile(filepath.Join(data, "tls", "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE" {
				ca, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				roots.AddCert(ca)
			}
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &pageClient{t: t, url: url, http: &http.Client{Jar: jar, Transport: transport, Timeout: patience}}
}

func (p *pageClient) do(method, path, kind string, body []byte) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest(method, p.url+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Origin", p.url)
		req.Header.Set("Content-Type", kind)
		req.Header.Set("X-CSRF-Token", p.csrf)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (p *pageClient) get(path string) (int, string) {
	p.t.Helper()
	return p.do(http.MethodGet, path, "", nil)
}

// act asks for a change as the page does.
func (p *pageClient) act(path string, in any) map[string]string {
	p.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	status, text := p.do(http.MethodPost, "/api/"+path, "application/json", body)
	if status != http.StatusOK {
		p.t.Fatalf("%s: %d %s", path, status, text)
	}
	out := make(map[string]string)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *pageClient) signIn(password string) {
	p.t.Helper()
	_, form := p.get("/login")
	token := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(form)
	if token == nil {
		p.t.Fatalf("no form: %s", form)
	}
	fields := url.Values{"name": {"admin"}, "password": {password}, "form": {token[1]}}
	status, page := p.do(http.MethodPost, "/login", "application/x-www-form-urlencoded", []byte(fields.Encode()))
	csrf := regexp.MustCompile(`<meta name="csrf" content="([^"]+)">`).FindStringSubmatch(page)
	if status != http.StatusOK || csrf == nil {
		p.t.Fatalf("signing in: %d %s", status, page)
	}
	p.csrf = csrf[1]
}

func metric(t *testing.T, p *pageClient, line string) func() (bool, string) {
	return func() (bool, string) {
		t.Helper()
		_, text := p.get("/metrics")
		return strings.Contains(text, "\n"+line+"\n"), text
	}
}

// TestAPageRunsAMainFromInvitationToRevocation is the page with everything
// behind it: no part is a double.
func TestAPageRunsAMainFromInvitationToRevocation(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	www, copied := filepath.Join(dir, "www"), filepath.Join(dir, "copy")
	if err := os.Mkdir(www, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(www, fmt.Sprintf("file%d", i)), bytes.Repeat([]byte{byte(i)}, 10_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mainData, remoteData := filepath.Join(dir, "main"), filepath.Join(dir, "remote")
	must(t, "correct horse battery\n", "console", "passwd", "--data", mainData)
	if _, errs, code := command(t, "short\n", "console", "passwd", "--data", mainData); code != exitUsage {
		t.Errorf("a short password: exit code %d: %s", code, errs)
	}
	log, _ := loggedService(t, "publish", "--data", mainData, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--window", "16MiB", "--share", "wapt="+www)
	p := newPageClient(t, "https://"+logged(t, log, `"http":"([^"]+)"`), mainData)
	p.signIn("correct horse battery")
	if strings.Contains(log.String(), "token=") {
		t.Error("there is an account, and yet a link in the log")
	}
	eventually(t, "the main is ready", func() (bool, string) { s, text := p.get("/readyz"); return s == http.StatusOK, text })
	eventually(t, "all files are counted", metric(t, p, `waptsync_share_files{share="wapt"} 20`))

	line := p.act("invite", map[string]any{"name": "colmar", "shares": []string{"wapt"}, "expires": 3600})["line"]
	must(t, line, "join", "-", "--data", remoteData)
	remoteLog, _ := loggedService(t, "subscribe", "--data", remoteData, "--http", "127.0.0.1:0", "--share", "wapt="+copied)
	equal(t, www, copied)
	eventually(t, "the main sees the remote level", metric(t, p, `waptsync_lag_events{remote="colmar",share="wapt"} 0`))
	eventually(t, "the main counts what it sent", func() (bool, string) {
		_, text := p.get("/metrics")
		return regexp.MustCompile(`waptsync_sent_bytes_total [1-9]`).MatchString(text), text
	})

	t.Run("the remote has a page of its own", func(t *testing.T) {
		r := newPageClient(t, "http://"+logged(t, remoteLog, `"http":"([^"]+)"`), "")
		eventually(t, "it is ready", func() (bool, string) { s, text := r.get("/readyz"); return s == http.StatusOK, text })
		eventually(t, "it counts the files", metric(t, r, `waptsync_share_files{share="wapt"} 20`))
		eventually(t, "it timed its fetches", func() (bool, string) {
			_, text := r.get("/metrics")
			return regexp.MustCompile(`waptsync_fetch_seconds_count [1-9]`).MatchString(text), text
		})
		if s, text := r.get("/"); s != http.StatusOK || !strings.Contains(text, `src="/assets/replica.js"`) {
			t.Errorf("its page: %d %s", s, text)
		}
	})

	t.Run("verify repairs a damaged copy", func(t *testing.T) {
		path := filepath.Join(copied, "file3")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		// The same size and time: only its bytes tell.
		if err := os.WriteFile(path, bytes.Repeat([]byte{99}, 10_000), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
			t.Fatal(err)
		}
		p.act("remotes/colmar/verify", struct{}{})
		eventually(t, "the file is whole again", func() (bool, string) {
			b, err := os.ReadFile(path)
			return err == nil && bytes.Equal(b, bytes.Repeat([]byte{3}, 10_000)), remoteLog.String()
		})
		eventually(t, "the main knows how it ended", func() (bool, string) {
			out, _, _ := command(t, "", "status", "--json", "--data", mainData)
			var s struct {
				Remotes map[string]struct {
					Verified struct{ Files, Differences int64 }
				}
			}
			err := json.Unmarshal([]byte(out), &s)
			v := s.Remotes["colmar"].Verified
			return err == nil && v.Files == 20 && v.Differences == 1, out
		})
	})

	t.Run("pause, resume and sync", func(t *testing.T) {
		p.act("remotes/colmar/pause", struct{}{})
		eventually(t, "it is cut off", metric(t, p, `waptsync_remote_connected{remote="colmar"} 0`))
		p.act("remotes/colmar/resume", struct{}{})
		eventually(t, "it is back", metric(t, p, `waptsync_remote_connected{remote="colmar"} 1`))
		p.act("remotes/colmar/sync", struct{}{})
		eventually(t, "it takes the order", func() (bool, string) {
			return strings.Contains(remoteLog.String(), `"order":"reconcile"`), remoteLog.String()
		})
	})

	t.Run("its bandwidth is ruled", func(t *testing.T) {
		p.act("remotes/colmar/bandwidth", map[string]string{"rule": "Mo-Su 00:00–24:00  2Mbit/s"})
		eventually(t, "the remote takes the rule", func() (bool, string) {
			out, _, _ := command(t, "", "bandwidth", "colmar", "--data", mainData)
			return strings.Contains(out, "00:00-24:00 2 Mbit/s  -             2 Mbit/s"), out
		})
		if status, text := p.do(http.MethodPost, "/api/remotes/colmar/bandwidth", "application/json", []byte(`{"rule":"2 MB/s"}`)); status != http.StatusBadRequest || !strings.Contains(text, "Mbit/s or Gbit/s") {
			t.Errorf("a wrong rule: %d %s", status, text)
		}
		p.act("remotes/colmar/bandwidth", map[string]string{"rule": ""})
	})

	t.Run("a held share is approved", func(t *testing.T) {
		all, err := filepath.Glob(filepath.Join(www, "file*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range all {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the share is held", func() (bool, string) {
			s, text := p.get("/readyz")
			return s == http.StatusServiceUnavailable && strings.Contains(text, "share wapt is held"), text
		})
		if _, err := os.Stat(filepath.Join(copied, "file1")); err != nil {
			t.Fatalf("it was deleted before anybody approved: %v", err)
		}
		p.act("shares/wapt/approve", struct{}{})
		eventually(t, "the copies go", func() (bool, string) {
			_, err := os.Stat(filepath.Join(copied, "file1"))
			return errors.Is(err, fs.ErrNotExist), fmt.Sprint(err)
		})
	})

	p.act("remotes/colmar/revoke", struct{}{})
	eventually(t, "it is forgotten", func() (bool, string) {
		_, text := p.get("/metrics")
		return !strings.Contains(text, `remote="colmar"`), text
	})
	if status, text := p.do(http.MethodPost, "/api/remotes/colmar/pause", "application/json", []byte("{}")); status != http.StatusNotFound || !strings.Contains(text, "hint") {
		t.Errorf("pausing what is not there: %d %s", status, text)
	}
}

func TestAPageWithoutAccountLogsItsLinkOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	log, _ := loggedService(t, "publish", "--data", filepath.Join(dir, "main"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0",
		"--window", "0", "--share", "wapt="+t.TempDir())
	link := logged(t, log, `"link":"([^"]+)"`)
	p := newPageClient(t, "", filepath.Join(dir, "main"))
	if status, text := p.get(link); status != http.StatusOK || !strings.Contains(text, `action="/setup"`) {
		t.Errorf("the link: %d %s", status, text)
	}
}

func TestARemotesPageIsForLoopbackWithoutACertificate(t *testing.T) {
	dir := t.TempDir()
	_, errs, code := command(t, "", "subscribe", "--data", dir, "--http", ":8384", "--share", "wapt="+filepath.Join(dir, "copy"))
	if code != exitUsage || !strings.Contains(errs, "http: want an address on loopback") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestPagesAreThereByDefault has both roles on one host, where one port is not
// enough for two pages: whoever comes second goes on without.
func TestPagesAreThereByDefault(t *testing.T) {
	c := defaultPublish()
	if address, must := c.address(httpMain); address != ":8384" || must {
		t.Errorf("a main's page: %s, must be had: %t", address, must)
	}
	r := defaultSubscribe()
	if address, must := r.address(httpRemote); address != "127.0.0.1:8384" || must || !r.local() {
		t.Errorf("a remote's page: %s, must be had: %t", address, must)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := console.Options{Replica: remotePage{}, Data: t.TempDir()}
	log := &lines{}
	p, err := openPage(taken.Addr().String(), false, o, zerolog.New(log))
	if p != nil || err != nil || !strings.Contains(log.String(), "set http to another address") {
		t.Errorf("a port that is taken: %v, %v: %s", p, err, log)
	}
	if _, err := openPage(taken.Addr().String(), true, o, zerolog.New(log)); err == nil {
		t.Error("a port that was asked for is taken, and nobody is told")
	}
}
