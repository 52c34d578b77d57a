package deploy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is what a program prints, read while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// startService runs the program until the test's end and returns the page's address.
func startService(t *testing.T, args ...string) string {
	t.Helper()
	log := &output{}
	cmd := exec.Command(program, append(args, "--http", "127.0.0.1:0", "--log-format", "json")...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("%s ended with %v:\n%s", args[0], err, log)
		}
	})
	var address string
	said := regexp.MustCompile(`"http":"([^"]+)"`)
	eventually(t, args[0]+" has a page", 2*patience, func() (bool, string) {
		if m := said.FindStringSubmatch(log.String()); m != nil {
			address = m[1]
		}
		return address != "", log.String()
	})
	return address
}

// scrape returns what /metrics says.
func scrape(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(text)
}

// expressions are those of the dashboard, by their panel.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("grafana/waptsync.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	taken := make(map[[2]int]string)
	for _, p := range board.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel%d_%d", p.ID, i)] = strings.NewReplacer("$__rate_interval", "5m", "$remote", ".*").Replace(target.Expr)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("panels %q and %q lie on each other", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("the dashboard has %d expressions only", len(all))
	}
	return all
}

// TestDashboardAndAlertsUseMetricsThatAre asks a real main and a real remote.
func TestDashboardAndAlertsUseMetricsThatAre(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "www", "a"), "text", time.Now())
	mainData, remoteData := filepath.Join(dir, "main"), filepath.Join(dir, "remote")
	mainPage := "https://" + startService(t, "publish", "--data", mainData, "--listen", "127.0.0.1:0", "--window", "0", "--share", "wapt="+filepath.Join(dir, "www"))
	line := filepath.Join(dir, "line")
	run(t, program, "invite", "colmar", "--data", mainData, "--output", line)
	remotePage := "http://" + startService(t, "subscribe", "--invitation", line, "--data", remoteData, "--share", "wapt="+filepath.Join(dir, "copy"))

	ca, err := os.ReadFile(filepath.Join(mainData, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	var metrics string
	eventually(t, "the main knows its remote", 2*patience, func() (bool, string) {
		metrics = scrape(t, client, mainPage)
		return strings.Contains(metrics, `waptsync_lag_seconds{remote="colmar",share="wapt"}`), metrics
	})
	metrics += scrape(t, client, remotePage)
	there := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+)[ {]`).FindAllStringSubmatch(metrics, -1) {
		there[m[1]] = true
	}

	alerts, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	used := string(alerts)
	for _, e := range expressions(t) {
		used += e + "\n"
	}
	names := regexp.MustCompile(`\b(waptsync|process|go)_[a-z_]+\b`).FindAllString(used, -1)
	if len(names) < 20 {
		t.Errorf("only %d uses of metrics were found", len(names))
	}
	for _, name := range names {
		if !there[name] {
			t.Errorf("%s is used, and no service has it", name)
		}
	}
}

// TestAlertsSayWhatTheyShall has Prometheus' own tool try each alert, and parse
// each expression of the dashboard.
func TestAlertsSayWhatTheyShall(t *testing.T) {
	need(t, "promtool")
	run(t, "promtool", "check", "rules", "prometheus/alerts.yml")
	run(t, "promtool", "test", "rules", "prometheus/alerts_test.yml")
	tests, err := os.ReadFile("prometheus/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(alerts), -1) {
		if !strings.Contains(string(tests), "alertname: "+m[1]+"\n        exp_alerts:\n") {
			t.Errorf("%s is never seen to go off", m[1])
		}
	}
	rules := "groups:\n  - name: dashboard\n    rules:\n"
	for name, e := range expressions(t) {
		rules += fmt.Sprintf("      - {record: %s, expr: %q}\n", name, e)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	put(t, path, rules, time.Now())
	run(t, "promtool", "check", "rules", path)
}
