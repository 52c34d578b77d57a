package console

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserTimeout is for one page to show what it is told; a busy machine needs some.
const browserTimeout = 60 * time.Second

// screen is a tab of a real browser. Its steps fail the test.
type screen struct {
	t     *testing.T
	ctx   context.Context
	url   string
	shots string // folder of pictures, or empty
}

// openBrowser starts Debian's Chromium. The test is skipped where there is none.
func openBrowser(t *testing.T, r *rig) *screen {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: nothing was tested in a real browser")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.IgnoreCertErrors, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en"),
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(options...))
	t.Cleanup(cancel)
	s := &screen{t: t, ctx: ctx, url: r.url, shots: os.Getenv("WAPTSYNC_ARTIFACTS")}
	if s.shots != "" {
		if err := os.MkdirAll(s.shots, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// What the policy refuses, and what the script does not catch, is a fault.
	err = chromedp.Listen(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page's script failed: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Source == log.EntrySourceSecurity || e.Entry.Source == log.EntrySourceViolation {
				t.Errorf("the browser says: %s", e.Entry.Text)
			}
		}
	})
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err != nil {
		t.Fatalf("starting chromium: %v", err)
	}
	return s
}

// do runs steps, each of which has to come true in time.
func (s *screen) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, browserTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		s.fail(what, err)
	}
}

func (s *screen) fail(what string, err error) {
	s.t.Helper()
	text, _ := chromedp.Run(s.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	s.t.Fatalf("%s: %v\nthe page shows:\n%s", what, err, text)
}

// until waits for an expression of the page to be true. It may load another
// page meanwhile.
func (s *screen) until(what, expression string) {
	s.t.Helper()
	var err error
	for end := time.Now().Add(browserTimeout); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var ok bool
		if ok, err = chromedp.Run(s.ctx, chromedp.Evaluate[bool]("!!("+expression+")")); ok {
			return
		}
	}
	s.fail("never: "+what, err)
}

// eval returns an expression's value.
func eval[T any](s *screen, expression string) T {
	s.t.Helper()
	v, err := chromedp.Run(s.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		s.fail(expression, err)
	}
	return v
}

func (s *screen) open(path string) {
	s.t.Helper()
	s.do("opening "+path, chromedp.Navigate(s.url+path))
}

func (s *screen) visible(selector string) {
	s.t.Helper()
	s.do("waiting for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

func (s *screen) click(selector string) {
	s.t.Helper()
	s.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// button presses a button by its text within what selector finds.
func (s *screen) button(selector, text string) {
	s.t.Helper()
	s.do("pressing "+text, chromedp.Click(chromedp.JSPath(fmt.Sprintf(
		`[...document.querySelector(%q).querySelectorAll("button")].find(b => b.textContent === %q && !b.hidden)`, selector, text))))
}

func (s *screen) fill(selector, text string) {
	s.t.Helper()
	s.do("filling "+selector, chromedp.SetValue(chromedp.CSS(selector), text))
}

// size is the window's, and whether the page shall be dark.
func (s *screen) size(width, height int64, scheme string) {
	s.t.Helper()
	_, err := chromedp.Call(s.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500})
	if err == nil {
		_, err = chromedp.Call(s.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	}
	if err != nil {
		s.fail("resizing", err)
	}
}

// shot keeps a picture of the whole page, or of the dialog that is open, if
// pictures are wished.
func (s *screen) shot(name string) {
	s.t.Helper()
	if s.shots == "" {
		return
	}
	take := chromedp.FullScreenshot(100)
	if eval[bool](s, `document.querySelector("dialog[open]") !== null`) {
		take = chromedp.CaptureScreenshot()
	}
	png, err := chromedp.Run(s.ctx, take)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.shots, name+".png"), png, 0o644)
	}
	if err != nil {
		s.fail("taking a picture", err)
	}
}

const card = `document.querySelector('[data-remote="%s"]')`

func TestPageInARealBrowser(t *testing.T) {
	r := start(t, Options{})
	s := openBrowser(t, r)
	s.size(1280, 900, "light")

	s.open("/")
	s.visible("#password")
	s.accessible("login")
	s.shot("login-light")
	s.fill("#password", "not the password")
	s.click("button.first")
	s.until("a wrong password is said", `document.querySelector("[role=alert]")?.textContent.includes("is wrong")`)
	s.accessible("login, wrong password")
	s.fill("#password", testPassword)
	s.click("button.first")
	s.until("the page is live", `document.querySelector("#link")?.dataset.state === "live"`)
	s.until("remotes are there", fmt.Sprintf(card+` !== null`, "colmar"))
	s.until("the held share says why", `document.querySelector('[data-share="wapt-host"] .notice')?.innerText.includes("6,120 of 18,402")`)

	t.Run("progress moves", func(t *testing.T) {
		s.t = t
		value := fmt.Sprintf(card+`.querySelector(".moving progress").value`, "mulhouse")
		before := eval[string](s, `String(`+value+`)`)
		move(r)
		s.until("the bar moved", value+` > `+before)
		s.until("the rate is told", fmt.Sprintf(card+`.querySelector(".moving .row").innerText.includes("/s")`, "mulhouse"))
	})

	t.Run("a new remote appears", func(t *testing.T) {
		s.t = t
		s.click("#invite-open")
		s.visible("#invite-name")
		s.accessible("invitation form")
		s.shot("invite-form")
		s.fill("#invite-name", "colmar")
		s.button("#invite-form", "Make the invitation")
		s.until("a taken name is said", `document.querySelector("#invite-form .notice").innerText.includes("is known already – revoke it first")`)
		s.fill("#invite-name", "thann")
		s.button("#invite-form", "Make the invitation")
		s.until("the line is shown", `document.querySelector("#invite-line").value === "waptsync join waptsync1-AVerySecretLineForthann"`)
		s.accessible("invitation line")
		s.shot("invite-line")
		s.click("#invite-copy")
		s.until("it was copied", `document.querySelector("#invite-copy").textContent === "Copied"`)
		s.button("#invite-done", "Done")
		s.until("the line does not stay", `document.querySelector("#invite-line").value === "" && !document.querySelector("#invite").open`)
		s.until("the invitation is listed", `document.querySelector("#invitations").innerText.includes("thann")`)
		r.main.edit(func(m *MainStatus) {
			m.Invitations = m.Invitations[:1]
			m.Remotes["thann"] = Remote{Connected: true, Address: "203.0.113.5:50000", Shares: map[string]RemoteShare{"wapt": {State: StateReconciling}}}
		})
		s.until("the remote is there", fmt.Sprintf(card+`?.querySelector(".state").textContent === "Comparing"`, "thann"))
	})

	t.Run("pause and resume", func(t *testing.T) {
		s.t = t
		s.button(`[data-remote="colmar"]`, "Pause")
		s.until("it is paused", fmt.Sprintf(card+`.querySelector(".state").textContent === "Paused"`, "colmar"))
		s.until("screen readers are told", `document.querySelector("#said").textContent === "colmar: Paused"`)
		s.button(`[data-remote="colmar"]`, "Resume")
		s.until("it is back", fmt.Sprintf(card+`.querySelector(".state").textContent === "In sync"`, "colmar"))
	})

	t.Run("shares are ticked", func(t *testing.T) {
		s.t = t
		s.button(`[data-remote="colmar"]`, "Shares…")
		s.visible("#tick-shares")
		s.accessible("ticking shares")
		s.click(`#tick-shares input[value="wapt-host"]`)
		s.button("#tick-form", "Save")
		s.until("one is left", fmt.Sprintf(card+`.querySelectorAll(".shares > li").length === 1`, "colmar"))
	})

	t.Run("wide pictures", func(t *testing.T) {
		s.t = t
		fillHistory(r)
		s.open("/")
		s.until("the history is drawn", `document.querySelector("#chart .trace") !== null`)
		move(r)
		s.until("the rate is told", fmt.Sprintf(card+`.querySelectorAll(".moving .row")[1].innerText.includes("left")`, "mulhouse"))
		s.accessible("light")
		s.shot("main-light")
		s.size(1280, 900, "dark")
		s.accessible("dark")
		s.shot("main-dark")
	})

	t.Run("a phone shows all without scrolling sideways", func(t *testing.T) {
		s.t = t
		for _, scheme := range []string{"light", "dark"} {
			s.size(360, 740, scheme)
			if over := eval[string](s, `[...document.querySelectorAll("body *")].filter(e => !e.closest(".unseen") && e.getBoundingClientRect().right > 361).map(e => e.tagName + "." + e.className).join(" ")`); over != "" {
				t.Errorf("%s: beyond the right edge: %s", scheme, over)
			}
			s.accessible("phone, " + scheme)
			s.shot("phone-" + scheme)
		}
		s.size(1280, 900, "light")
	})

	t.Run("a held share is approved", func(t *testing.T) {
		s.t = t
		s.button(`[data-share="wapt-host"]`, "Approve…")
		s.visible("#ask-text")
		s.accessible("question")
		s.shot("approve")
		if at := eval[string](s, `document.activeElement.textContent`); at != "Cancel" {
			t.Errorf("the focus is on %q, want it on what does no harm", at)
		}
		s.button("#ask", "Approve")
		s.until("it is live", `document.querySelector('[data-share="wapt-host"] .state').textContent === "Live"`)
		if did := r.main.acts(); did[len(did)-1] != "approve wapt-host" {
			t.Errorf("done was %v", did)
		}
	})

	t.Run("revoking asks first", func(t *testing.T) {
		s.t = t
		s.button(`[data-remote="thann"]`, "Revoke…")
		s.until("the question names it", `document.querySelector("#ask").open && document.querySelector("#ask-title").textContent === "Revoke thann?"`)
		s.button("#ask", "Revoke")
		s.until("it is gone", fmt.Sprintf(card+` === null`, "thann"))
	})

	t.Run("many remotes are filtered", func(t *testing.T) {
		s.t = t
		r.main.edit(func(m *MainStatus) {
			for i := range 20 {
				m.Remotes[fmt.Sprintf("site-%d", i)] = Remote{Connected: true, Shares: map[string]RemoteShare{"wapt": {State: StateLive}}}
			}
		})
		shown := `[...document.querySelectorAll("[data-remote]")].filter((e) => !e.hidden).length`
		s.until("all are there", shown+` === 24`)
		s.do("typing", chromedp.SendKeys(chromedp.CSS("#filter"), "offline"))
		s.until("one is left", shown+` === 1`)
	})

	t.Run("the end of the session leads to the login", func(t *testing.T) {
		s.t = t
		r.clock.add(defaultLongest + time.Minute)
		r.main.edit(func(m *MainStatus) { m.Host = "another" })
		s.until("the login", `location.pathname === "/login"`)
	})
}

func TestRemotesPageInARealBrowser(t *testing.T) {
	r := start(t, Options{Replica: newFakeReplica(time.Now()), Data: t.TempDir()})
	s := openBrowser(t, r)
	fillHistory(r)
	for _, size := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"replica-light", 1100, 700, "light"}, {"replica-phone-dark", 360, 740, "dark"}} {
		s.size(size.width, size.height, size.scheme)
		s.open("/")
		s.until("the share is there", `document.querySelector("#shares article") !== null && document.querySelector("#host").textContent === "mulhouse"`)
		s.accessible(size.name)
		s.shot(size.name)
	}
}

func TestPageSpeaksFrench(t *testing.T) {
	r := start(t, Options{})
	s := openBrowser(t, r)
	s.size(1280, 900, "light")
	_, err := chromedp.Call(s.ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: "test", AcceptLanguage: "fr-FR,fr"})
	if err != nil {
		t.Fatal(err)
	}
	s.open("/")
	s.visible("#password")
	s.fill("#password", testPassword)
	s.click("button.first")
	s.until("remotes in French", fmt.Sprintf(card+`?.innerText.includes("À jour")`, "colmar"))
	if text := eval[string](s, `document.body.innerText`); strings.Contains(text, "{") || !strings.Contains(text, "Gio") {
		t.Errorf("the page shows a hole, or bytes in English: %s", text)
	}
	s.shot("main-french")
}

// move lets a remote receive some more of its two files.
func move(r *rig) {
	const some = 15 << 20
	r.main.edit(func(m *MainStatus) {
		sh := m.Remotes["mulhouse"].Shares["wapt"]
		sh.Transfers = slices.Clone(sh.Transfers)
		for i := range sh.Transfers {
			sh.Transfers[i].Done += some
		}
		sh.LagBytes -= 2 * some
		sh.Bytes += 2 * some
		sh.Received += 2 * some
		m.Remotes["mulhouse"].Shares["wapt"] = sh
		m.Sent += 2 * some
	})
}

// fillHistory lets an hour have passed.
func fillHistory(r *rig) {
	s := r.server.sampler
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range totalPoints {
		x := float64(i) / totalPoints
		v := float32(1e6 * (3 + 2*math.Sin(9*x) + math.Sin(61*x)/2 + 9*math.Exp(-math.Pow((x-.45)*14, 4))))
		s.past.series[""] = append(s.past.series[""], v)
		if i < namedPoints {
			for _, name := range []string{"colmar", "mulhouse"} {
				s.past.series[name] = append(s.past.series[name], v/2)
			}
		}
	}
	s.board.addPoint(nil, s.past.all())
}
