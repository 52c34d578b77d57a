package deploy

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// repository is a web server with an index, which can be switched off.
type repository struct {
	*httptest.Server
	down atomic.Bool
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := new(repository)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.down.Load() || req.URL.Path != "/wapt/Packages" || req.Method != http.MethodHead {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *repository) url() string { return r.URL + "/wapt" }

// agent is a WAPT agent's folder with the package for its site.
type agent struct {
	dir, setup string
	site, main *repository
}

// newAgent makes an agent with that wapt-get.ini, in which MAIN is the main's
// repository, and the site's package.
func newAgent(t *testing.T, ini string, flags ...string) *agent {
	t.Helper()
	need(t, "python3")
	a := &agent{dir: t.TempDir(), site: newRepository(t), main: newRepository(t)}
	put(t, a.ini(), strings.ReplaceAll(ini, "MAIN", a.main.url()), time.Now())
	source := filepath.Join(t.TempDir(), "source")
	run(t, program, append([]string{"agent-package", "--site", "colmar", "--url", a.site.url() + "/", "--main", a.main.url(), "-o", source}, flags...)...)
	a.setup = filepath.Join(source, "setup.py")
	return a
}

func (a *agent) ini() string { return filepath.Join(a.dir, "wapt-get.ini") }

// do calls a function of the package and returns its result, or its error.
func (a *agent) do(t *testing.T, function string) string {
	t.Helper()
	out, err := exec.Command("python3", "-B", "-W", "error", "testdata/agent.py", a.setup, a.ini(), function).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && strings.Contains(string(out), "error: ")) {
		t.Fatalf("%s: %v\n%s", function, err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// option reads wapt-get.ini as plainly as it is written.
func (a *agent) option(t *testing.T, section, key string) string {
	t.Helper()
	text, err := os.ReadFile(a.ini())
	if err != nil {
		t.Fatal(err)
	}
	in := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			in = strings.Trim(line, "[]")
		}
		if k, v, ok := strings.Cut(line, "="); ok && in == section && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (a *agent) wants(t *testing.T, section, want string) {
	t.Helper()
	if got := a.option(t, section, "repo_url"); got != want {
		t.Errorf("[%s] repo_url is %q, want %q", section, got, want)
	}
}

const plainIni = "[global]\nrepo_url=MAIN\nwapt_server=https://srvwapt.example.org\n"

func TestAgentsSwitchToTheirSiteAndBack(t *testing.T) {
	a := newAgent(t, plainIni)
	if got := a.do(t, "install"); got != "None" {
		t.Fatalf("install: %s", got)
	}
	a.wants(t, "global", a.site.url())
	if got := a.option(t, "global", "wapt_server"); got != "https://srvwapt.example.org" {
		t.Errorf("the server became %q", got)
	}
	a.wants(t, "wapt-host", "")
	if got := a.do(t, "audit"); got != "OK" {
		t.Errorf("audit: %s", got)
	}
	if got := a.do(t, "uninstall"); got != "None" {
		t.Errorf("uninstall: %s", got)
	}
	a.wants(t, "global", a.main.url())
}

func TestAgentsStayWhereTheyAreWhenTheSiteDoesNotAnswer(t *testing.T) {
	a := newAgent(t, plainIni)
	a.site.down.Store(true)
	if got := a.do(t, "install"); !strings.HasPrefix(got, "error: ") {
		t.Errorf("install: %s", got)
	}
	a.wants(t, "global", a.main.url())
}

func TestAuditComesBackToTheMainAndReturns(t *testing.T) {
	a := newAgent(t, plainIni)
	a.do(t, "install")
	a.site.down.Store(true)
	for range 2 {
		if got := a.do(t, "audit"); got != "WARNING" {
			t.Errorf("audit without the site: %s", got)
		}
		a.wants(t, "global", a.main.url())
	}
	a.main.down.Store(true)
	if got := a.do(t, "audit"); got != "ERROR" {
		t.Errorf("audit without both: %s", got)
	}
	a.site.down.Store(false)
	if got := a.do(t, "audit"); got != "WARNING" {
		t.Errorf("audit at the site's return: %s", got)
	}
	a.wants(t, "global", a.site.url())
	if got := a.do(t, "audit"); got != "OK" {
		t.Errorf("audit after that: %s", got)
	}
}

func TestAWaptSectionIsSwitchedToo(t *testing.T) {
	a := newAgent(t, plainIni+"[wapt]\nrepo_url=MAIN\nverify_cert=0\n")
	a.do(t, "install")
	a.wants(t, "wapt", a.site.url())
	a.do(t, "uninstall")
	a.wants(t, "wapt", a.main.url())
}

func TestHostPackagesComeFromTheSiteOnRequestOnly(t *testing.T) {
	a := newAgent(t, plainIni, "--hosts")
	a.do(t, "install")
	a.wants(t, "wapt-host", a.site.url()+"-host")
	a.do(t, "uninstall")
	a.wants(t, "wapt-host", a.main.url()+"-host")
}

// TestDynamicConfigurationDoesNotPutTheMainBack is about WAPT 2.x, which makes
// wapt-get.ini anew from [default_global] and conf.d.
func TestDynamicConfigurationDoesNotPutTheMainBack(t *testing.T) {
	ini := plainIni + "[default_global]\nrepo_url=MAIN\n"
	t.Run("with files in conf.d", func(t *testing.T) {
		a := newAgent(t, ini, "--hosts")
		put(t, filepath.Join(a.dir, "conf.d", "policy.json"), `{"name":"policy","priority":40,"global":{"repo_url":"`+a.main.url()+`"}}`, time.Now())
		put(t, filepath.Join(a.dir, "conf.d", "broken.json"), `{`, time.Now())
		if got := a.do(t, "install"); got != "None" {
			t.Fatalf("install: %s", got)
		}
		if got := a.do(t, "audit"); got != "OK" {
			t.Errorf("audit: %s", got)
		}
		path := filepath.Join(a.dir, "conf.d", "waptsync-site.json")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Name     string
			Priority int
			Global   map[string]string
			Host     map[string]string `json:"wapt-host"`
		}
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if file.Priority <= 40 || file.Global["repo_url"] != a.site.url() || file.Host["repo_url"] != a.site.url()+"-host" {
			t.Errorf("conf.d has %s", text)
		}
		a.do(t, "uninstall")
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after the removal: %v", err)
		}
		a.wants(t, "global", a.main.url())
		a.wants(t, "default_global", a.main.url())
	})
	t.Run("with the section alone", func(t *testing.T) {
		a := newAgent(t, ini)
		a.do(t, "install")
		a.wants(t, "global", a.site.url())
		a.wants(t, "default_global", a.site.url())
		a.do(t, "uninstall")
		a.wants(t, "default_global", a.main.url())
	})
}

func TestNothingButAPlainURLGetsIntoThePackage(t *testing.T) {
	good := map[string]string{"--site": "colmar", "--url": "https://wapt.colmar.example.org/wapt", "--main": "https://srvwapt.example.org/wapt"}
	for _, c := range []struct{ name, flag, value string }{
		{"quote", "--url", "https://x/wapt'+evil()+'"},
		{"newline", "--url", "https://x/wapt\nimport os"},
		{"backslash", "--url", `https://x/wapt\`},
		{"variable of ini files", "--url", "https://x/%(y)s"},
		{"user", "--url", "https://u:p@x/wapt"},
		{"query", "--url", "https://x/wapt?a=b"},
		{"fragment", "--url", "https://x/wapt#"},
		{"file", "--url", "file:///etc/wapt"},
		{"no host", "--url", "https:///wapt"},
		{"no folder", "--url", "https://x/"},
		{"index", "--url", "https://x/wapt/Packages"},
		{"the main's", "--url", "https://srvwapt.example.org/wapt/"},
		{"none", "--url", ""},
		{"other letters", "--url", "https://café.example.org/wapt"},
		{"main", "--main", "https://x/wapt'"},
		{"site", "--site", "Col mar"},
		{"way out of the folder", "--site", "../x"},
		{"prefix", "--prefix", "a\nb"},
		{"version", "--package-version", "1"},
		{"maintainer", "--maintainer", "a\nsetup: b"},
		{"same key at the agent", "--url", "https://a-very-long-name-of-a-server-of-an-organisation.example.org/site1/wapt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			args := []string{"agent-package", "-o", dir}
			for flag, value := range good {
				if flag != c.flag {
					args = append(args, flag, value)
				}
			}
			if c.name == "same key at the agent" {
				args = append(args, "--main", "https://a-very-long-name-of-a-server-of-an-organisation.example.org/site2/wapt")
			}
			out, err := try(t, program, append(args, c.flag, c.value)...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Errorf("got %v: %s", err, out)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something was written: %v", err)
			}
		})
	}
}

func TestThePackagesControlNamesTheSite(t *testing.T) {
	a := newAgent(t, plainIni, "--prefix", "acme", "--package-version", "2-1", "--maintainer", "É. Admin")
	text, err := os.ReadFile(filepath.Join(filepath.Dir(a.setup), "WAPT", "control"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"package           : acme-repo-colmar", "version           : 2-1", "maintainer        : É. Admin"} {
		if !strings.Contains(string(text), line+"\n") {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	if strings.Contains(string(text), "@") {
		t.Errorf("a word was left open in\n%s", text)
	}
}
