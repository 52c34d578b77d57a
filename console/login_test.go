package console

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestPageIsOnlyForWhoIsSignedIn(t *testing.T) {
	r := start(t, Options{})
	a := r.get("/")
	want(t, a, http.StatusSeeOther)
	if a.header.Get("Location") != "/login" {
		t.Errorf("leads to %q, want /login", a.header.Get("Location"))
	}
	want(t, r.get("/events"), http.StatusUnauthorized)
	want(t, r.post("/api/remotes/colmar/pause", "x", "{}"), http.StatusUnauthorized)

	r.signIn()
	a = r.get("/")
	want(t, a, http.StatusOK)
	if !strings.Contains(a.body, `id="remotes"`) {
		t.Error("the page has no list of remotes")
	}
	want(t, r.get("/login"), http.StatusSeeOther)
}

func TestWrongPasswordIsRefusedAndLoggedWithItsAddress(t *testing.T) {
	r := start(t, Options{})
	a := r.login("wrong password")
	want(t, a, http.StatusUnauthorized)
	if !strings.Contains(a.body, "The name or the password is wrong.") {
		t.Errorf("the page does not say so: %s", a.body)
	}
	if strings.Contains(r.log.String(), "wrong password") || !strings.Contains(r.log.String(), `"address":"127.0.0.1:`) {
		t.Errorf("want the address and no password in the log: %s", r.log)
	}
	want(t, r.get("/"), http.StatusSeeOther)
	a = r.submit("/login", url.Values{"name": {"root"}, "password": {testPassword}}, nil)
	want(t, a, http.StatusUnauthorized)
}

func TestTooManyTriesWait(t *testing.T) {
	r := start(t, Options{})
	for range addressBurst {
		want(t, r.login("wrong"), http.StatusUnauthorized)
	}
	a := r.login(testPassword)
	want(t, a, http.StatusTooManyRequests)
	if a.header.Get("Retry-After") != "12" {
		t.Errorf("Retry-After %q, want 12", a.header.Get("Retry-After"))
	}
	r.clock.add(addressEvery)
	want(t, r.login(testPassword), http.StatusSeeOther)
	// The right password gives all tries back.
	for range addressBurst {
		r.client = r.browser()
		want(t, r.login(testPassword), http.StatusSeeOther)
	}
}

func TestSessionCookieIsForThisHostAndNoScript(t *testing.T) {
	r := start(t, Options{})
	a := r.login(testPassword)
	want(t, a, http.StatusSeeOther)
	all := strings.Join(a.header.Values("Set-Cookie"), "\n")
	if !regexp.MustCompile(`(?m)^__Host-waptsync=[\w-]{22}; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Strict$`).MatchString(all) {
		t.Errorf("cookies: %s", all)
	}
}

func TestSessionEnds(t *testing.T) {
	tests := []struct {
		name string
		do   func(*testing.T, *rig)
	}{
		{"when it was not used", func(_ *testing.T, r *rig) { r.clock.add(defaultIdle + time.Second) }},
		{"when it is old, though used", func(t *testing.T, r *rig) {
			for range int(defaultLongest/defaultIdle) * 2 {
				want(t, r.get("/"), http.StatusOK)
				r.clock.add(defaultIdle/2 + time.Second)
			}
		}},
		{"at signing out", func(t *testing.T, r *rig) {
			want(t, r.do(http.MethodPost, "/logout", "application/x-www-form-urlencoded", url.Values{"csrf": {r.csrf()}}.Encode(), nil), http.StatusSeeOther)
		}},
		{"when the password changes", func(t *testing.T, r *rig) {
			if err := setPassword(r.data, "another password", cheap); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, Options{})
			r.signIn()
			u, err := url.Parse(r.url)
			if err != nil {
				t.Fatal(err)
			}
			kept := r.client.Jar.Cookies(u)
			tt.do(t, r)
			// Whoever kept the cookie has no more than who was told to drop it.
			r.client.Jar.SetCookies(u, kept)
			a := r.do(http.MethodGet, "/", "", "", func(req *http.Request) {
				for _, c := range kept {
					req.AddCookie(c)
				}
			})
			want(t, a, http.StatusSeeOther)
		})
	}
}

func TestLoginFormOfAnotherBrowserIsRefused(t *testing.T) {
	r := start(t, Options{})
	token := formToken.FindStringSubmatch(r.get("/login").body)[1]
	r.client = r.browser() // a browser without that form's cookie
	fields := url.Values{"name": {AccountName}, "password": {testPassword}, "form": {token}}
	want(t, r.do(http.MethodPost, "/login", "application/x-www-form-urlencoded", fields.Encode(), nil), http.StatusForbidden)
}

var setupLink = regexp.MustCompile(`"link":"https://127\.0\.0\.1:\d+(/setup\?token=[\w-]+)"`)

func TestSetupLinkMakesTheAccountOnce(t *testing.T) {
	data := t.TempDir()
	r := start(t, Options{Data: data})
	var link string
	eventually(t, "the link in the log", func() bool {
		if m := setupLink.FindStringSubmatch(r.log.String()); m != nil {
			link = m[1]
		}
		return link != ""
	})
	if a := r.get("/login"); !strings.Contains(a.body, "There is no administrator yet") {
		t.Error("the login page does not say that there is no account")
	}
	want(t, r.login(testPassword), http.StatusUnauthorized)
	want(t, r.get("/setup?token=wrong"), http.StatusForbidden)
	want(t, r.get(link), http.StatusOK)
	want(t, r.get(link), http.StatusOK) // looking does not use it up

	token := strings.TrimPrefix(link, "/setup?token=")
	fields := func(password, repeat string) url.Values {
		return url.Values{"token": {token}, "password": {password}, "repeat": {repeat}}
	}
	want(t, r.submit(link, fields("short", "short"), nil), http.StatusBadRequest)
	want(t, r.submit(link, fields(testPassword, "another"), nil), http.StatusBadRequest)
	want(t, r.submit(link, fields(testPassword, testPassword), nil), http.StatusSeeOther)
	want(t, r.get("/"), http.StatusOK)
	r.client = r.browser()
	want(t, r.get(link), http.StatusForbidden)
	want(t, r.login(testPassword), http.StatusSeeOther)

	info, err := os.Stat(filepath.Join(data, AccountFile))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the password file has mode %v, want 0600", info.Mode())
	}
}

func TestSetupLinkExpires(t *testing.T) {
	r := start(t, Options{Data: t.TempDir()})
	eventually(t, "the link in the log", func() bool { return setupLink.MatchString(r.log.String()) })
	link := setupLink.FindStringSubmatch(r.log.String())[1]
	want(t, r.get(link), http.StatusOK)
	r.clock.add(setupLife)
	want(t, r.get(link), http.StatusForbidden)
}

func TestPasswordIsKeptAsArgon2id(t *testing.T) {
	dir := t.TempDir()
	if err := SetPassword(dir, testPassword); err != nil {
		t.Fatal(err)
	}
	a, err := loadAccount(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.hash.cost != defaultCost {
		t.Errorf("cost %+v, want %+v", a.hash.cost, defaultCost)
	}
	if !a.hash.matches(testPassword) || a.hash.matches(testPassword+" ") {
		t.Error("the password does not match, or another does")
	}
	if err := SetPassword(dir, "too short"); err == nil {
		t.Error("a short password was taken")
	}
	if err := SetPassword(dir, strings.Repeat("long", 100)); err == nil {
		t.Error("a very long password was taken")
	}
}

func TestDamagedPasswordFileLetsNobodyIn(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "no hash": "admin:", "plain": "admin:secret", "another": "root:$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
		"too dear": "admin:$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, AccountFile), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := start(t, Options{Data: dir})
			want(t, r.login("secret"), http.StatusInternalServerError)
		})
	}
}

func FuzzParseHash(f *testing.F) {
	h := passwordHash{cost: cheap, salt: make([]byte, saltBytes), sum: make([]byte, hashBytes)}
	f.Add(h.String())
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text)
		if err != nil {
			return
		}
		again, err := parseHash(h.String())
		if err != nil || again.String() != h.String() {
			t.Errorf("%q: %v, then %q", text, err, again.String())
		}
	})
}

func TestFloodFromManyAddressesLocksNoAdministratorOut(t *testing.T) {
	c := &clock{now: time.Now()}
	a := newAttempts(c.Now)
	a.succeeded("192.0.2.1:1")
	refused := 0
	for i := range maxAddresses * 2 {
		if _, ok := a.allow("[2001:db8:" + hex4(i) + "::1]:9"); !ok {
			refused++
		}
	}
	if refused != maxAddresses*2-allBurst {
		t.Errorf("%d refused, want all but %d", refused, allBurst)
	}
	if _, ok := a.allow("192.0.2.1:2"); !ok {
		t.Error("the administrator's address is refused")
	}
	if len(a.by) > maxAddresses {
		t.Errorf("%d addresses are remembered, want at most %d", len(a.by), maxAddresses)
	}
}

func hex4(i int) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[i>>12&15], digits[i>>8&15], digits[i>>4&15], digits[i&15]})
}

func TestOneNetworkIsOneAddress(t *testing.T) {
	if network("[2001:db8::1]:80") != network("[2001:db8::ffff:2]:81") {
		t.Error("two addresses of one /64 count as two")
	}
	if network("192.0.2.1:80") == network("192.0.2.2:80") {
		t.Error("two addresses of IPv4 count as one")
	}
	if network("[::ffff:192.0.2.1]:80") != network("192.0.2.1:80") {
		t.Error("one address written in two ways counts as two")
	}
}
