package console

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net/http"
	"strconv"
	"time"
)

// loginPage is what the templates of login and setup show.
type loginPage struct {
	base
	Form    string // token of the form
	Token   string // of the setup link
	Name    string // of the account
	Problem string // key of a text, or empty
	Shortest,
	Longest int // of a password
}

// form answers with a login or setup page. Its token is in a cookie as well:
// no other site can make a browser send both, so nobody can sign a browser in
// to an account that is not its user's.
func (s *Server) form(w http.ResponseWriter, r *http.Request, status int, name, problem string) {
	token := newToken()
	setCookie(w, formCookie, token, time.Hour)
	s.page.show(w, status, name, loginPage{
		base: s.base(r), Form: token, Token: r.FormValue("token"), Name: AccountName, Problem: problem,
		Shortest: minPassword, Longest: maxPassword,
	})
}

func goodForm(r *http.Request) bool {
	return sameToken(cookie(r, formCookie), r.PostFormValue("form"))
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.present(r, true); ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	problem := ""
	if there, err := accountExists(s.o.Data); err == nil && !there {
		problem = "login.none"
	}
	s.form(w, r, http.StatusOK, "login", problem)
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if !goodForm(r) {
		s.form(w, r, http.StatusForbidden, "login", "login.again")
		return
	}
	if !s.mayTry(w, r, "login") {
		return
	}
	log := s.o.Log.With().Str("address", r.RemoteAddr).Logger()
	a, err := s.check(r.Context(), r.PostFormValue("name"), r.PostFormValue("password"))
	switch {
	case errors.Is(err, errWrongPassword):
		log.Warn().Msg("signing in to the page failed")
		s.form(w, r, http.StatusUnauthorized, "login", "login.wrong")
	case errors.Is(err, fs.ErrNotExist):
		log.Warn().Msg("signing in to the page failed: there is no account yet")
		s.form(w, r, http.StatusUnauthorized, "login", "login.none")
	case err != nil:
		log.Error().Err(err).Msg("signing in to the page failed")
		s.form(w, r, http.StatusInternalServerError, "login", "login.broken")
	default:
		log.Info().Msg("signed in to the page")
		s.begin(w, r, a)
	}
}

// mayTry answers 429 to who tries too often, before anything is hashed.
func (s *Server) mayTry(w http.ResponseWriter, r *http.Request, name string) bool {
	wait, ok := s.attempts.allow(r.RemoteAddr)
	if !ok {
		s.o.Log.Warn().Str("address", r.RemoteAddr).Dur("wait", wait).Msg("refused: too many tries to sign in")
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		s.form(w, r, http.StatusTooManyRequests, name, "login.often")
	}
	return ok
}

// begin starts a session, with a new cookie whatever was there before.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, a *account) {
	s.attempts.succeeded(r.RemoteAddr)
	s.sessions.end(cookie(r, sessionCookie))
	setCookie(w, sessionCookie, s.sessions.start(a.version), s.o.Longest)
	setCookie(w, formCookie, "", 0)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

var errWrongPassword = errors.New("wrong name or password")

// check does the same work whether the name is right, and whether there is an
// account at all.
func (s *Server) check(ctx context.Context, name, password string) (*account, error) {
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(password) > maxPassword {
		password = ""
	}
	a, err := loadAccount(s.o.Data)
	if err != nil {
		nobody := passwordHash{cost: defaultCost, salt: make([]byte, saltBytes)}
		nobody.of(password)
		return nil, err
	}
	if right := a.hash.matches(password); !right || name != AccountName {
		return nil, errWrongPassword
	}
	return a, nil
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(cookie(r, sessionCookie))
	setCookie(w, sessionCookie, "", 0)
	s.o.Log.Info().Str("address", r.RemoteAddr).Msg("signed out of the page")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// showSetup does not use up the token: mail scanners and previews open links too.
func (s *Server) showSetup(w http.ResponseWriter, r *http.Request) {
	if !s.setup.good(r.URL.Query().Get("token")) {
		s.form(w, r, http.StatusForbidden, "login", "setup.void")
		return
	}
	s.form(w, r, http.StatusOK, "setup", "")
}

func (s *Server) finishSetup(w http.ResponseWriter, r *http.Request) {
	if !goodForm(r) {
		s.form(w, r, http.StatusForbidden, "setup", "login.again")
		return
	}
	if !s.mayTry(w, r, "setup") {
		return
	}
	password := r.PostFormValue("password")
	if password != r.PostFormValue("repeat") {
		s.form(w, r, http.StatusBadRequest, "setup", "setup.differ")
		return
	}
	var made *account
	good, err := s.setup.use(r.PostFormValue("token"), func() (err error) {
		there, err := accountExists(s.o.Data)
		if err != nil {
			return err
		}
		if there {
			return fs.ErrExist
		}
		if err := SetPassword(s.o.Data, password); err != nil {
			return err
		}
		made, err = loadAccount(s.o.Data)
		return err
	})
	var bad *PasswordError
	switch {
	case !good || errors.Is(err, fs.ErrExist):
		s.o.Log.Warn().Str("address", r.RemoteAddr).Msg("refused: a setup link that is used up, too old or wrong")
		s.form(w, r, http.StatusForbidden, "login", "setup.void")
	case errors.As(err, &bad):
		s.form(w, r, http.StatusBadRequest, "setup", bad.key)
	case err != nil:
		s.o.Log.Error().Err(err).Msg("making the page's administrator failed")
		s.form(w, r, http.StatusInternalServerError, "setup", "login.broken")
	default:
		s.o.Log.Info().Str("address", r.RemoteAddr).Msg("the page's administrator is made")
		s.begin(w, r, made)
	}
}
