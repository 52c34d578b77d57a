package bus

import (
	"fmt"
	"regexp"
	"sync"
)

// NotAllowedError is returned when the main's server refuses a request, because
// this remote has no right to it: most often the share was taken from it.
type NotAllowedError struct {
	Subject string
	Share   string // empty if the request is not about one
	Remote  string
}

func (e *NotAllowedError) Error() string {
	if e.Share == "" {
		return fmt.Sprintf("the main does not let %s publish to %s", e.Remote, e.Subject)
	}
	return fmt.Sprintf("the main does not give the share %s to %s (any more), or does not publish it: on the main, `waptsync remote list` shows what it gives, and `waptsync remote set %s --share …` changes it",
		e.Share, e.Remote, e.Remote)
}

// publishRefused finds the subject in what the server says of a message that
// its sender may not send. That comes by itself and not as an answer.
var publishRefused = regexp.MustCompile(`(?i)permissions violation for publish to "([^"]+)"`)

// denials tells who waits for an answer that the request was refused. The zero
// value is ready.
type denials struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]struct{} // by subject
}

// watch returns a channel that is closed when the server refuses a message on
// the subject, and what ends the watch.
func (d *denials) watch(subject string) (denied <-chan struct{}, end func()) {
	c := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = map[string]map[chan struct{}]struct{}{}
	}
	if d.waiting[subject] == nil {
		d.waiting[subject] = map[chan struct{}]struct{}{}
	}
	d.waiting[subject][c] = struct{}{}
	return c, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting[subject], c)
		if len(d.waiting[subject]) == 0 {
			delete(d.waiting, subject)
		}
	}
}

// note takes an error of the connection; it says whether somebody waited for it.
func (d *denials) note(err error) bool {
	m := publishRefused.FindStringSubmatch(err.Error())
	if m == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.waiting[m[1]]
	for c := range all {
		close(c)
	}
	delete(d.waiting, m[1])
	return len(all) > 0
}
