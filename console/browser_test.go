package console

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"waptsync/console/screen"
)

const card = `document.querySelector('[data-remote="%s"]')`

func TestPageInARealBrowser(t *testing.T) {
	r := start(t, Options{})
	s := screen.Start(t, r.url)
	s.Size(1280, 900, "light")

	s.Open("/")
	s.Visible("#password")
	s.Accessible("login")
	s.Shot("login-light")
	s.Fill("#password", "not the password")
	s.Click("button.first")
	s.Until("a wrong password is said", `document.querySelector("[role=alert]")?.textContent.includes("is wrong")`)
	s.Accessible("login, wrong password")
	s.Fill("#password", testPassword)
	s.Click("button.first")
	s.Until("the page is live", `document.querySelector("#link")?.dataset.state === "live"`)
	s.Until("remotes are there", fmt.Sprintf(card+` !== null`, "colmar"))
	s.Until("the held share says why", `document.querySelector('[data-share="wapt-host"] .notice')?.innerText.includes("6,120 of 18,402")`)

	t.Run("progress moves", func(t *testing.T) {
		s.In(t)
		value := fmt.Sprintf(card+`.querySelector(".moving progress").value`, "mulhouse")
		before := screen.Eval[string](s, `String(`+value+`)`)
		move(r)
		s.Until("the bar moved", value+` > `+before)
		s.Until("the rate is told", fmt.Sprintf(card+`.querySelector(".moving .row").innerText.includes("/s")`, "mulhouse"))
	})

	t.Run("a new remote appears", func(t *testing.T) {
		s.In(t)
		s.Click("#invite-open")
		s.Visible("#invite-name")
		s.Accessible("invitation form")
		s.Shot("invite-form")
		s.Fill("#invite-name", "colmar")
		s.Button("#invite-form", "Make the invitation")
		s.Until("a taken name is said", `document.querySelector("#invite-form .notice").innerText.includes("is known already – revoke it first")`)
		s.Fill("#invite-name", "thann")
		s.Button("#invite-form", "Make the invitation")
		s.Until("the line is shown", `document.querySelector("#invite-line").value === "waptsync join waptsync1-AVerySecretLineForthann"`)
		s.Accessible("invitation line")
		s.Shot("invite-line")
		s.Click("#invite-copy")
		s.Until("it was copied", `document.querySelector("#invite-copy").textContent === "Copied"`)
		s.Button("#invite-done", "Done")
		s.Until("the line does not stay", `document.querySelector("#invite-line").value === "" && !document.querySelector("#invite").open`)
		s.Until("the invitation is listed", `document.querySelector("#invitations").innerText.includes("thann")`)
		r.main.edit(func(m *MainStatus) {
			m.Invitations = m.Invitations[:1]
			m.Remotes["thann"] = Remote{Connected: true, Address: "203.0.113.5:50000", Shares: map[string]RemoteShare{"wapt": {State: StateReconciling}}}
		})
		s.Until("the remote is there", fmt.Sprintf(card+`?.querySelector(".state").textContent === "Comparing"`, "thann"))
	})

	t.Run("pause and resume", func(t *testing.T) {
		s.In(t)
		s.Button(`[data-remote="colmar"]`, "Pause")
		s.Until("it is paused", fmt.Sprintf(card+`.querySelector(".state").textContent === "Paused"`, "colmar"))
		s.Until("screen readers are told", `document.querySelector("#said").textContent === "colmar: Paused"`)
		s.Button(`[data-remote="colmar"]`, "Resume")
		s.Until("it is back", fmt.Sprintf(card+`.querySelector(".state").textContent === "In sync"`, "colmar"))
	})

	t.Run("shares are ticked", func(t *testing.T) {
		s.In(t)
		s.Button(`[data-remote="colmar"]`, "Shares…")
		s.Visible("#tick-shares")
		s.Accessible("ticking shares")
		s.Click(`#tick-shares input[value="wapt-host"]`)
		s.Button("#tick-form", "Save")
		s.Until("one is left", fmt.Sprintf(card+`.querySelectorAll(".shares > li").length === 1`, "colmar"))
	})

	t.Run("a rule for the bandwidth is set", func(t *testing.T) {
		s.In(t)
		mulhouse := fmt.Sprintf(card, "mulhouse")
		s.Until("what is allowed now is told", mulhouse+`.querySelector(".meta").innerText.includes("2 Mbit/s until 18:00 · the main’s rule: Mo-Fr 08:00-18:00 2 Mbit/s; else unlimited · its own rule: 8 Mbit/s")`)
		s.Until("a share says what it waits for", mulhouse+`.querySelector(".shares").innerText.includes("waits for 20:00")`)
		s.Button(`[data-remote="mulhouse"]`, "Bandwidth…")
		s.Until("the rule is there", `document.querySelector("#bandwidth-rule").value === "Mo-Fr 08:00-18:00 2 Mbit/s; else unlimited"`)
		s.Accessible("bandwidth form")
		s.Shot("bandwidth-form")
		s.Fill("#bandwidth-rule", "2 MB/s")
		s.Button("#bandwidth-form", "Save")
		s.Until("a wrong rule is said", `document.querySelector("#bandwidth-form .notice").innerText.includes("want kbit/s, Mbit/s or Gbit/s – see the help")`)
		s.Fill("#bandwidth-rule", "20:00-06:00 unlimited; else only wapt-host")
		s.Button("#bandwidth-form", "Save")
		s.Until("it is told", mulhouse+`.querySelector(".meta").innerText.includes("else only wapt-host, the remote has not taken it yet")`)
		if did := r.main.acts(); did[len(did)-1] != `bandwidth "20:00-06:00 unlimited; else only wapt-host" mulhouse` {
			t.Errorf("done was %v", did)
		}
	})

	t.Run("wide pictures", func(t *testing.T) {
		s.In(t)
		fillHistory(r)
		s.Open("/")
		s.Until("the history is drawn", `document.querySelector("#chart .trace") !== null`)
		move(r)
		s.Until("the rate is told", fmt.Sprintf(card+`.querySelectorAll(".moving .row")[1].innerText.includes("left")`, "mulhouse"))
		s.Accessible("light")
		s.Shot("main-light")
		s.Size(1280, 900, "dark")
		s.Accessible("dark")
		s.Shot("main-dark")
	})

	t.Run("a phone shows all without scrolling sideways", func(t *testing.T) {
		s.In(t)
		for _, scheme := range []string{"light", "dark"} {
			s.Size(360, 740, scheme)
			if over := s.Sideways(360); over != "" {
				t.Errorf("%s: beyond the right edge: %s", scheme, over)
			}
			s.Accessible("phone, " + scheme)
			s.Shot("phone-" + scheme)
		}
		s.Size(1280, 900, "light")
	})

	t.Run("a held share is approved", func(t *testing.T) {
		s.In(t)
		s.Button(`[data-share="wapt-host"]`, "Approve…")
		s.Visible("#ask-text")
		s.Accessible("question")
		s.Shot("approve")
		if at := screen.Eval[string](s, `document.activeElement.textContent`); at != "Cancel" {
			t.Errorf("the focus is on %q, want it on what does no harm", at)
		}
		s.Button("#ask", "Approve")
		s.Until("it is live", `document.querySelector('[data-share="wapt-host"] .state').textContent === "Live"`)
		if did := r.main.acts(); did[len(did)-1] != "approve wapt-host" {
			t.Errorf("done was %v", did)
		}
	})

	t.Run("revoking asks first", func(t *testing.T) {
		s.In(t)
		s.Button(`[data-remote="thann"]`, "Revoke…")
		s.Until("the question names it", `document.querySelector("#ask").open && document.querySelector("#ask-title").textContent === "Revoke thann?"`)
		s.Button("#ask", "Revoke")
		s.Until("it is gone", fmt.Sprintf(card+` === null`, "thann"))
	})

	t.Run("many remotes are filtered", func(t *testing.T) {
		s.In(t)
		r.main.edit(func(m *MainStatus) {
			for i := range 20 {
				m.Remotes[fmt.Sprintf("site-%d", i)] = Remote{Connected: true, Shares: map[string]RemoteShare{"wapt": {State: StateLive}}}
			}
		})
		shown := `[...document.querySelectorAll("[data-remote]")].filter((e) => !e.hidden).length`
		s.Until("all are there", shown+` === 24`)
		s.Do("typing", chromedp.SendKeys(chromedp.CSS("#filter"), "offline"))
		s.Until("one is left", shown+` === 1`)
	})

	t.Run("the end of the session leads to the login", func(t *testing.T) {
		s.In(t)
		r.clock.add(defaultLongest + time.Minute)
		r.main.edit(func(m *MainStatus) { m.Host = "another" })
		s.Until("the login", `location.pathname === "/login"`)
	})
}

func TestRemotesPageInARealBrowser(t *testing.T) {
	r := start(t, Options{Replica: newFakeReplica(time.Now()), Data: t.TempDir()})
	s := screen.Start(t, r.url)
	fillHistory(r)
	for _, size := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"replica-light", 1100, 700, "light"}, {"replica-phone-dark", 360, 740, "dark"}} {
		s.Size(size.width, size.height, size.scheme)
		s.Open("/")
		s.Until("the share is there", `document.querySelector("#shares article") !== null && document.querySelector("#host").textContent === "mulhouse"`)
		s.Until("its bandwidth is told", `document.querySelector("#bandwidth").textContent.startsWith("Bandwidth: 2 Mbit/s until 18:00")`)
		s.Accessible(size.name)
		s.Shot(size.name)
	}
}

func TestPageSpeaksFrench(t *testing.T) {
	r := start(t, Options{})
	s := screen.Start(t, r.url)
	s.Size(1280, 900, "light")
	s.Language("fr-FR,fr")
	s.Open("/")
	s.Visible("#password")
	s.Fill("#password", testPassword)
	s.Click("button.first")
	s.Until("remotes in French", fmt.Sprintf(card+`?.innerText.includes("À jour")`, "colmar"))
	if text := screen.Eval[string](s, `document.body.innerText`); strings.Contains(text, "{") || !strings.Contains(text, "Gio") {
		t.Errorf("the page shows a hole, or bytes in English: %s", text)
	}
	s.Shot("main-french")
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
