package console

import (
	"flag"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

func sources(t *testing.T) fs.FS {
	t.Helper()
	return os.DirFS(".")
}

// TestPagesAreAsInTheGoldenFiles holds the pages' HTML, in both languages.
// Random tokens are replaced; the texts' table is checked elsewhere.
func TestPagesAreAsInTheGoldenFiles(t *testing.T) {
	r := start(t, Options{})
	remote := start(t, Options{Replica: newFakeReplica(time.Now()), Data: t.TempDir()})
	secret := regexp.MustCompile(`(name="form" value="|name="csrf" (?:content|value)=")[\w-]{22}"`)
	table := regexp.MustCompile(`(?s)(<script type="application/json" id="texts">).*?</script>`)
	for _, lang := range languages {
		for _, page := range []struct {
			name string
			rig  *rig
			path string
		}{{"login", r, "/login"}, {"main", r, "/"}, {"replica", remote, "/"}} {
			t.Run(page.name+"."+lang, func(t *testing.T) {
				if page.name == "main" {
					r.signIn()
				} else {
					page.rig.client = page.rig.browser()
				}
				a := page.rig.do(http.MethodGet, page.path, "", "", func(req *http.Request) { req.Header.Set("Accept-Language", lang) })
				want(t, a, http.StatusOK)
				got := secret.ReplaceAllString(a.body, `${1}TOKEN"`)
				got = table.ReplaceAllString(got, "${1}{}</script>")
				if strings.Contains(got, "style=") || strings.Contains(got, "<style") || regexp.MustCompile(`\son\w+=`).MatchString(got) {
					t.Error("the page has inline style or script, which its policy forbids")
				}
				if regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//`).MatchString(got) {
					t.Error("the page loads something from elsewhere")
				}
				path := filepath.Join("testdata", page.name+"."+lang+".html")
				if *updateGolden {
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				golden, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(golden) {
					t.Errorf("differs from %s (go test -run Golden -update writes it):\n%s", path, got)
				}
			})
		}
	}
}
