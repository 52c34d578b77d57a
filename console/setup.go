package console

import (
	"sync"
	"time"
)

const setupLife = time.Hour

// setup is the one-time link with which the first password is set.
type setup struct {
	now func() time.Time

	mu    sync.Mutex
	token string // empty when there is none, or when it was used
	until time.Time
}

func newSetup(now func() time.Time) *setup { return &setup{now: now} }

// open makes a new token; one made before is void.
func (s *setup) open() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.until = newToken(), s.now().Add(setupLife)
	return s.token
}

// good says whether the token would be taken now.
func (s *setup) good(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.valid(token)
}

// use takes the token: do is called if it is good, and the token is void
// unless do fails.
func (s *setup) use(token string, do func() error) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.valid(token) {
		return false, nil
	}
	if err := do(); err != nil {
		return true, err
	}
	s.token = ""
	return true, nil
}

func (s *setup) valid(token string) bool {
	return sameToken(s.token, token) && s.now().Before(s.until)
}
