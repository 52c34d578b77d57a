// Package screen drives a real browser, Debian's Chromium, in tests of the page.
package screen

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// timeout is for one page to show what it is told; a busy machine needs some.
const timeout = 60 * time.Second

// Screen is a tab of a real browser. Its steps wait until they can be done, and
// fail the test if that takes longer than a minute.
type Screen struct {
	t     *testing.T
	ctx   context.Context
	url   string
	shots string // folder of pictures
}

// Start starts Debian's Chromium, for the page at url; its certificate may be of
// any authority. The test is skipped where there is no Chromium. What the page's
// policy refuses and what its script does not catch fails the test.
func Start(t *testing.T, url string) *Screen {
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
	s := &Screen{t: t, ctx: ctx, url: url, shots: os.Getenv("WAPTSYNC_ARTIFACTS")}
	if s.shots == "" {
		s.shots = filepath.Join(t.TempDir(), "artefacts")
	}
	if err := os.MkdirAll(s.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	// What the policy refuses, and what the script does not catch, is a fault.
	err = chromedp.Listen(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			s.t.Errorf("the page's script failed: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Source == log.EntrySourceSecurity || e.Entry.Source == log.EntrySourceViolation {
				s.t.Errorf("the browser says: %s", e.Entry.Text)
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

// In lets a subtest go on with the same tab. What fails then fails the subtest.
func (s *Screen) In(t *testing.T) { s.t = t }

// Do runs steps, each of which has to come true in time.
func (s *Screen) Do(what string, steps ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		s.fail(what, err)
	}
}

func (s *Screen) fail(what string, err error) {
	s.t.Helper()
	text, _ := chromedp.Run(s.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	s.t.Fatalf("%s: %v\nthe page shows:\n%s", what, err, text)
}

// Until waits for an expression of the page to be true. It may load another
// page meanwhile.
func (s *Screen) Until(what, expression string) {
	s.t.Helper()
	var err error
	for end := time.Now().Add(timeout); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var ok bool
		if ok, err = chromedp.Run(s.ctx, chromedp.Evaluate[bool]("!!("+expression+")")); ok {
			return
		}
	}
	s.fail("never: "+what, err)
}

// Eval returns an expression's value.
func Eval[T any](s *Screen, expression string) T {
	s.t.Helper()
	v, err := chromedp.Run(s.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		s.fail(expression, err)
	}
	return v
}

// Open goes to a path of the page, once its load event came.
func (s *Screen) Open(path string) {
	s.t.Helper()
	s.Do("opening "+path, chromedp.Navigate(s.url+path))
}

// Visible waits until what the CSS selector finds can be seen.
func (s *Screen) Visible(selector string) {
	s.t.Helper()
	s.Do("waiting for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

// Click presses what the CSS selector finds.
func (s *Screen) Click(selector string) {
	s.t.Helper()
	s.Do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Button presses a button by its text within what selector finds.
func (s *Screen) Button(selector, text string) {
	s.t.Helper()
	s.Do("pressing "+text, chromedp.Click(chromedp.JSPath(fmt.Sprintf(
		`[...document.querySelector(%q).querySelectorAll("button")].find(b => b.textContent === %q && !b.hidden)`, selector, text))))
}

// Fill sets the value of the field that the CSS selector finds.
func (s *Screen) Fill(selector, text string) {
	s.t.Helper()
	s.Do("filling "+selector, chromedp.SetValue(chromedp.CSS(selector), text))
}

// Size sets the window's size in pixels, and whether the page shall be "dark" or
// "light". Below 500 the screen is a phone's.
func (s *Screen) Size(width, height int64, scheme string) {
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

// Language sets what the browser asks pages for, as "fr-FR,fr"; it counts from the
// next page on.
func (s *Screen) Language(accept string) {
	s.t.Helper()
	_, err := chromedp.Call(s.ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: "test", AcceptLanguage: accept})
	if err != nil {
		s.fail("setting the language", err)
	}
}

// Sideways names what a window of that many pixels has to be scrolled sideways for.
func (s *Screen) Sideways(width int64) string {
	s.t.Helper()
	return Eval[string](s, fmt.Sprintf(`[...document.querySelectorAll("body *")].filter(e => !e.closest(".unseen") && e.getBoundingClientRect().right > %d).map(e => e.tagName + "." + e.className).join(" ")`, width+1))
}

// Shot keeps a picture of the whole page, or of the dialog that is open, as
// NAME.png in the folder that WAPTSYNC_ARTIFACTS names, or in the test's own.
func (s *Screen) Shot(name string) {
	s.t.Helper()
	take := chromedp.FullScreenshot(100)
	if Eval[bool](s, `document.querySelector("dialog[open]") !== null`) {
		take = chromedp.CaptureScreenshot()
	}
	s.keep(filepath.Join(s.shots, name+".png"), take)
}

// Window keeps a picture of what the window shows in the file at path.
func (s *Screen) Window(path string) {
	s.t.Helper()
	s.keep(path, chromedp.CaptureScreenshot())
}

func (s *Screen) keep(path string, take chromedp.Action[[]byte]) {
	s.t.Helper()
	png, err := chromedp.Run(s.ctx, take)
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil {
		s.fail("taking a picture", err)
	}
}
