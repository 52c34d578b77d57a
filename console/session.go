package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"sync"
	"time"
)

const (
	// The prefix has browsers refuse the cookie from anything but this very
	// host over TLS (RFC 6265bis section 4.1.3.2).
	sessionCookie = "__Host-waptsync"
	formCookie    = "__Host-waptsync-form"

	maxSessions = 128
	tokenBytes  = 16
)

// newToken is 128 random bits as text.
func newToken() string {
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails, says its documentation
	return base64.RawURLEncoding.EncodeToString(b)
}

func sameToken(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// session is one signed-in browser.
type session struct {
	csrf    string
	account string // version of the account that signed in
	made    time.Time
	used    time.Time
}

// sessions are the signed-in browsers, in memory: a restart ends them. Its
// methods may be called concurrently.
type sessions struct {
	now      func() time.Time
	idle     time.Duration
	absolute time.Duration

	mu sync.Mutex
	// by holds hashes of the cookies, so that looking one up takes a time that
	// tells nothing of the others.
	by map[[sha256.Size]byte]*session
}

func newSessions(now func() time.Time, idle, absolute time.Duration) *sessions {
	return &sessions{now: now, idle: idle, absolute: absolute, by: make(map[[sha256.Size]byte]*session)}
}

// start makes a session and returns its cookie's value. Beyond maxSessions the
// one that was used longest ago ends.
func (s *sessions) start(account string) string {
	id, now := newToken(), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	if len(s.by) >= maxSessions {
		var oldest [sha256.Size]byte
		var when time.Time
		for key, have := range s.by {
			if when.IsZero() || have.used.Before(when) {
				oldest, when = key, have.used
			}
		}
		delete(s.by, oldest)
	}
	s.by[sha256.Sum256([]byte(id))] = &session{csrf: newToken(), account: account, made: now, used: now}
	return id
}

// find returns a copy of a session that is still good. touch: it is used now.
func (s *sessions) find(id, account string, touch bool) (session, bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	key := sha256.Sum256([]byte(id))
	have, ok := s.by[key]
	if !ok {
		return session{}, false
	}
	if have.account != account {
		delete(s.by, key)
		return session{}, false
	}
	if touch {
		have.used = now
	}
	return *have, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, sha256.Sum256([]byte(id)))
}

// expire forgets what is too old; s.mu must be held.
func (s *sessions) expire(now time.Time) {
	for key, have := range s.by {
		if now.Sub(have.used) > s.idle || now.Sub(have.made) > s.absolute {
			delete(s.by, key)
		}
	}
}

func setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if c.MaxAge = int(age.Seconds()); value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}
