package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waptsync/cmd/waptsync/sample"
	"waptsync/console/screen"
)

// slowLine passes TCP connections on to an address, with at most limit bytes a
// second in all towards who connected; 0 is no limit.
type slowLine struct {
	listener net.Listener
	limit    atomic.Int64
	mu       sync.Mutex // held by who sends
	conns    sync.Map
}

func newSlowLine(t *testing.T) *slowLine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &slowLine{listener: l}
}

func (s *slowLine) address() string { return s.listener.Addr().String() }

// run passes on until the test's end.
func (s *slowLine) run(t *testing.T, to string) {
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			near, err := s.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			s.conns.Store(near, far)
			passing.Go(func() { _, _ = io.Copy(far, near); far.Close() })
			passing.Go(func() { s.slowly(near, far); near.Close() })
		}
	})
	t.Cleanup(func() {
		s.limit.Store(0)
		s.listener.Close()
		s.conns.Range(func(near, far any) bool {
			near.(net.Conn).Close()
			far.(net.Conn).Close()
			return true
		})
		passing.Wait()
	})
}

// slowly sleeps while it holds the line, as a line does that is busy.
func (s *slowLine) slowly(to io.Writer, from io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		if limit := s.limit.Load(); limit > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(limit))
		}
		_, err = to.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// remoteSays is an expression that is true when a remote's card has text at selector.
func remoteSays(name, selector, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('[data-remote="%s"] %s')].some((e) => e.innerText.includes(%q))`, name, selector, text)
}

// publishSlowly starts a main of the repository, with its page, that remotes reach
// by a slow line.
func publishSlowly(t *testing.T, repo *sample.Repository, data string) (line *slowLine, log *lines) {
	t.Helper()
	line = newSlowLine(t)
	publish := []string{"publish", "--data", data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--window", "16MiB", "--advertise", line.address()}
	for name, folder := range repo.Shares() {
		publish = append(publish, "--share", name+"="+folder)
	}
	log, _ = loggedService(t, publish...)
	line.run(t, logged(t, log, `"listen":"([^"]+)"`))
	return line, log
}

// TestAnAdministratorsDayInARealBrowser has everything behind the page: a main,
// remotes that join with the line which the page shows, and files. Pictures are
// kept in the folder that WAPTSYNC_ARTIFACTS names.
func TestAnAdministratorsDayInARealBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services and a browser")
	}
	const password = "correct horse battery"
	dir := t.TempDir()
	// What `waptsync demo` shows, but always the same.
	repo, err := sample.Create(filepath.Join(dir, "www"), sample.Options{Packages: 12, Hosts: 160, Payload: 1 << 20, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	mainData := filepath.Join(dir, "main")
	line, log := publishSlowly(t, repo, mainData)
	link := logged(t, log, `"link":"([^"]+)"`)
	url, _, _ := strings.Cut(link, "/setup")
	s := screen.Start(t, url)
	s.Size(1280, 900, "light")
	day := t // what is started in a step goes on in the next ones
	step := func(name string, do func(t *testing.T)) {
		if !t.Run(name, do) {
			t.FailNow()
		}
	}

	step("the link in the log makes the account", func(t *testing.T) {
		s.In(t)
		s.Open(strings.TrimPrefix(link, url))
		s.Visible("#repeat")
		s.Accessible("setup")
		s.Shot("setup")
		s.Fill("#password", password)
		s.Fill("#repeat", password+"!")
		s.Click("button.first")
		s.Until("that they differ is said", `document.querySelector("[role=alert]") !== null`)
		s.Fill("#password", password)
		s.Fill("#repeat", password)
		s.Click("button.first")
		s.Until("the page is live", `document.querySelector("#link")?.dataset.state === "live"`)
		s.Until("it says that nobody is there yet", `!document.querySelector("#no-remotes").hidden`)
		s.Accessible("without remotes")
		s.Shot("empty")
		s.Button("header", "Sign out")
		s.Visible("#password")
		s.Open(strings.TrimPrefix(link, url))
		s.Until("the link works once", `document.querySelector("#repeat") === null`)
	})

	step("a wrong password does not get in", func(t *testing.T) {
		s.In(t)
		s.Open("/login")
		s.Visible("#password")
		s.Fill("#password", "not the password")
		s.Click("button.first")
		s.Until("a wrong password is said", `document.querySelector("[role=alert]")?.textContent.includes("is wrong")`)
		s.Accessible("wrong password")
		s.Shot("login-wrong")
		s.Fill("#password", password)
		s.Click("button.first")
		s.Until("the page is live", `document.querySelector("#link")?.dataset.state === "live"`)
	})

	step("a remote joins with the line of the page and appears", func(t *testing.T) {
		for _, name := range []string{"colmar", "mulhouse"} {
			s.In(t)
			s.Click("#invite-open")
			s.Visible("#invite-name")
			s.Fill("#invite-name", name)
			s.Button("#invite-form", "Make the invitation")
			s.Until("the line is shown", `document.querySelector("#invite-line").value.startsWith("waptsync join waptsync1-")`)
			said := screen.Eval[string](s, `document.querySelector("#invite-line").value`)
			s.Button("#invite-done", "Done")
			s.Until("the invitation is listed", fmt.Sprintf(`document.querySelector("#invitations").innerText.includes(%q)`, name))
			data := filepath.Join(dir, name)
			must(t, strings.TrimPrefix(said, "waptsync join "), "join", "-", "--data", data)
			subscribe := []string{"subscribe", "--data", data, "--http", "127.0.0.1:0"}
			for share := range repo.Shares() {
				subscribe = append(subscribe, "--share", share+"="+filepath.Join(dir, name+"-"+share))
			}
			loggedService(day, subscribe...)
			s.Until("the remote is there and has all", remoteSays(name, "> .head .state", "In sync"))
			s.Until("its invitation is used up", fmt.Sprintf(`!document.querySelector("#invitations").innerText.includes(%q)`, name))
		}
	})
	copied := func(remote, share, path string) string { return filepath.Join(dir, remote+"-"+share, path) }

	step("a large file's progress is live", func(t *testing.T) {
		s.In(t)
		line.limit.Store(2 << 20)
		big := make([]byte, 16<<20)
		rand.Read(big)
		if err := os.WriteFile(filepath.Join(repo.Shares()["wapt"], "large.wapt"), big, 0o644); err != nil {
			t.Fatal(err)
		}
		bar := `document.querySelector('[data-remote="mulhouse"] .moving progress')`
		s.Until("the file is on its way", bar+`?.value > 0`)
		before := screen.Eval[float64](s, bar+`?.value ?? 0`)
		s.Until("it moves", fmt.Sprintf(bar+`?.value > %v`, before))
		s.Until("its rate and the time left are told", remoteSays("mulhouse", ".moving .row", "/s")+" && "+remoteSays("mulhouse", ".moving .row", "left"))
		s.Until("what is left is summed up", `document.querySelector("#behind").innerText.includes("MiB")`)
		s.Accessible("progress")
		s.Shot("page")
		for _, look := range []struct {
			name, language string
			width, height  int64
			scheme         string
		}{
			{"page-dark", "en", 1280, 900, "dark"}, {"page-french", "fr-FR,fr", 1280, 900, "light"},
			{"phone-light", "en", 360, 740, "light"}, {"phone-french-dark", "fr-FR,fr", 360, 740, "dark"},
		} {
			s.Language(look.language)
			s.Size(look.width, look.height, look.scheme)
			s.Open("/")
			s.Until("both remotes are there", `document.querySelectorAll("[data-remote]").length === 2`)
			if over := s.Sideways(look.width); over != "" {
				t.Errorf("%s: beyond the right edge: %s", look.name, over)
			}
			s.Accessible(look.name)
			s.Shot(look.name)
		}
		s.Language("en")
		s.Size(1280, 900, "light")
		s.Open("/")
		line.limit.Store(0)
		for _, name := range []string{"colmar", "mulhouse"} {
			s.Until(name+" has it", remoteSays(name, "> .head .state", "In sync"))
			if got, err := os.ReadFile(copied(name, "wapt", "large.wapt")); err != nil || !bytes.Equal(got, big) {
				t.Errorf("%s says that it is in sync, and its copy differs: %v", name, err)
			}
		}
	})

	step("a rule for a remote's line is taken by it, and goes", func(t *testing.T) {
		s.In(t)
		s.Button(`[data-remote="colmar"]`, "Bandwidth…")
		s.Fill("#bandwidth-rule", "only wapt-host")
		s.Button("#bandwidth-form", "Save")
		s.Until("the remote has taken it", remoteSays("colmar", "> .meta", "rule: only wapt-host")+" && !"+remoteSays("colmar", "> .meta", "not taken"))
		const name = "ruled.wapt"
		if err := os.WriteFile(filepath.Join(repo.Shares()["wapt"], name), []byte("for all hours"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.Until("the other remote is done with the new file", `document.querySelector('[data-share="wapt"]') !== null && `+remoteSays("mulhouse", "> .head .state", "In sync"))
		s.Until("colmar waits with it", remoteSays("colmar", ".shares", "waits"))
		if _, err := os.Stat(copied("colmar", "wapt", name)); err == nil {
			t.Error("the file came in spite of the rule")
		}
		s.Shot("ruled")
		s.Button(`[data-remote="colmar"]`, "Bandwidth…")
		s.Fill("#bandwidth-rule", "unlimited")
		s.Button("#bandwidth-form", "Save")
		s.Until("colmar has it", remoteSays("colmar", "> .head .state", "In sync"))
		for _, remote := range []string{"colmar", "mulhouse"} {
			if _, err := os.Stat(copied(remote, "wapt", name)); err != nil {
				t.Error(err)
			}
		}
	})

	step("a paused remote gets nothing until it is resumed", func(t *testing.T) {
		s.In(t)
		s.Button(`[data-remote="colmar"]`, "Pause")
		s.Until("it is paused and cut off", remoteSays("colmar", "> .head .state", "Paused")+
			` && document.querySelector("#connected").innerText.startsWith("1 ")`)
		name, err := repo.AddHost()
		if err != nil {
			t.Fatal(err)
		}
		s.Until("mulhouse has the new file", fmt.Sprintf(`document.querySelector('[data-share="wapt-host"]').innerText.includes("161") && %s`, remoteSays("mulhouse", ".shares", "161 files")))
		if _, err := os.Stat(copied("colmar", "wapt-host", name)); err == nil {
			t.Error("the paused remote got it too")
		}
		s.Shot("paused")
		s.Button(`[data-remote="colmar"]`, "Resume")
		s.Until("it is back and has it", remoteSays("colmar", "> .head .state", "In sync")+" && "+remoteSays("colmar", ".shares", "161 files"))
		if _, err := os.Stat(copied("colmar", "wapt-host", name)); err != nil {
			t.Error(err)
		}
	})

	step("what is held goes on when it is approved", func(t *testing.T) {
		s.In(t)
		hosts, err := filepath.Glob(filepath.Join(repo.Shares()["wapt-host"], "*.wapt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range hosts[:150] {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		s.Until("the share is held", `document.querySelector('[data-share="wapt-host"] .notice')?.checkVisibility()`)
		if left, err := filepath.Glob(copied("mulhouse", "wapt-host", "*.wapt")); err != nil || len(left) != 161 {
			t.Errorf("before anybody approved, a copy has %d files of 161: %v", len(left), err)
		}
		s.Accessible("held")
		s.Shot("held")
		s.Button(`[data-share="wapt-host"]`, "Approve…")
		s.Visible("#ask-text")
		s.Shot("approve")
		s.Button("#ask", "Approve")
		for _, name := range []string{"colmar", "mulhouse"} {
			s.Until("the copies go", remoteSays(name, ".shares", "11 files"))
		}
		if left, err := filepath.Glob(copied("mulhouse", "wapt-host", "*.wapt")); err != nil || len(left) != 11 {
			t.Errorf("a copy has %d files, want 11: %v", len(left), err)
		}
	})

	step("a revoked remote is cut off and forgotten", func(t *testing.T) {
		s.In(t)
		s.Button(`[data-remote="mulhouse"]`, "Revoke…")
		s.Until("the question names it", `document.querySelector("#ask").open && document.querySelector("#ask-title").textContent === "Revoke mulhouse?"`)
		s.Button("#ask", "Revoke")
		s.Until("it is gone", `document.querySelector('[data-remote="mulhouse"]') === null`)
		if list := must(t, "", "remote", "list", "--data", mainData); strings.Contains(list, "mulhouse") {
			t.Errorf("it is still listed:\n%s", list)
		}
	})
}

// TestARemotesPageInARealBrowser has a remote that just joined, in French on a phone
// and in English on a desk.
func TestARemotesPageInARealBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services and a browser")
	}
	dir := t.TempDir()
	repo, err := sample.Create(filepath.Join(dir, "www"), sample.Options{Packages: 3, Hosts: 5, Payload: 100_000, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	mainData, remoteData := filepath.Join(dir, "main"), filepath.Join(dir, "remote")
	service(t, "publish", "--data", mainData, "--listen", "127.0.0.1:0", "--window", "0", "--share", "wapt="+repo.Shares()["wapt"])
	answers(t, mainData)
	must(t, must(t, "", "invite", "colmar", "--data", mainData), "join", "-", "--data", remoteData)
	log, _ := loggedService(t, "subscribe", "--data", remoteData, "--http", "127.0.0.1:0", "--share", "wapt="+filepath.Join(dir, "copy"))
	s := screen.Start(t, "http://"+logged(t, log, `"http":"([^"]+)"`))
	for _, look := range []struct {
		name, language, says string
		width, height        int64
		scheme               string
	}{
		{"remote-light", "en", "In sync", 1100, 700, "light"}, {"remote-phone-french-dark", "fr-FR,fr", "À jour", 360, 740, "dark"},
	} {
		s.Language(look.language)
		s.Size(look.width, look.height, look.scheme)
		s.Open("/")
		s.Until("the share is there", fmt.Sprintf(`document.querySelector("#shares article")?.innerText.includes(%q)`, look.says))
		if over := s.Sideways(look.width); over != "" {
			t.Errorf("%s: beyond the right edge: %s", look.name, over)
		}
		s.Accessible(look.name)
		s.Shot(look.name)
	}
}
