package console

import (
	"crypto/subtle"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ReadyLimits say from when on a service that is behind is not ready; 0 means
// no limit.
type ReadyLimits struct {
	Age   time.Duration // of the oldest change that is not on a remote's disk
	Bytes int64         // that a remote still has to get, of one share
}

// healthz says whether the process and its store are well; lag is no illness.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	n, err := s.sampler.within(r.Context(), sampleFresh)
	var bad []string
	switch {
	case err != nil:
		bad = append(bad, err.Error())
	case n.main != nil && n.main.Trouble != "":
		bad = append(bad, n.main.Trouble)
	case n.replica != nil && n.replica.Unwell != "":
		bad = append(bad, n.replica.Unwell)
	}
	s.answerCheck(w, r, bad)
}

// readyz says whether everything is where it should be, within the limits.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	n, err := s.sampler.within(r.Context(), sampleFresh)
	if err != nil {
		s.answerCheck(w, r, []string{err.Error()})
		return
	}
	s.answerCheck(w, r, notReady(n, s.o.Ready))
}

// notReady lists what keeps a service from being ready, a line each.
func notReady(n *sample, limits ReadyLimits) []string {
	if n.replica != nil {
		bad := behind("", n.replica.Shares, limits)
		// How far it is behind is not known then.
		if limits.Age > 0 && !n.replica.Connected && n.away > limits.Age {
			bad = append(bad, fmt.Sprintf("no connection to the main for %s: the limit is %s", n.away.Round(time.Second), limits.Age))
		}
		return bad
	}
	var bad []string
	for _, name := range slices.Sorted(maps.Keys(n.main.Shares)) {
		if sh := n.main.Shares[name]; sh.Held != "" {
			bad = append(bad, fmt.Sprintf("share %s is held: %s", name, sh.Held))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.main.Remotes)) {
		if rm := n.main.Remotes[name]; !rm.Paused {
			bad = append(bad, behind("remote "+name+", ", rm.Shares, limits)...)
		}
	}
	return bad
}

func behind(who string, shares map[string]RemoteShare, limits ReadyLimits) []string {
	var bad []string
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		sh := shares[name]
		age := time.Duration(sh.LagAge * float64(time.Second)).Round(time.Second)
		if sh.State == StateHeld {
			bad = append(bad, fmt.Sprintf("%sshare %s is held", who, name))
		}
		if sh.State == StateWaiting {
			continue // as an administrator's rule wants it
		}
		if limits.Age > 0 && age > limits.Age {
			bad = append(bad, fmt.Sprintf("%sshare %s is %s behind: the limit is %s", who, name, age, limits.Age))
		}
		if limits.Bytes > 0 && sh.LagBytes > limits.Bytes {
			bad = append(bad, fmt.Sprintf("%sshare %s still has to get %d bytes: the limit is %d", who, name, sh.LagBytes, limits.Bytes))
		}
	}
	return bad
}

// answerCheck tells strangers yes or no, and why only to those who may know.
func (s *Server) answerCheck(w http.ResponseWriter, r *http.Request, bad []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(bad) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	if !s.mayWatch(r) {
		fmt.Fprintln(w, "not ok; why is told over loopback, with the token, or to who is signed in")
		return
	}
	fmt.Fprintln(w, strings.Join(bad, "\n"))
}

// mayWatch says whether a request may read names and numbers: it comes over
// loopback, has the token, or a session.
func (s *Server) mayWatch(r *http.Request) bool {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
			return true
		}
	}
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && s.o.MetricsToken != "" {
		return subtle.ConstantTimeCompare([]byte(given), []byte(s.o.MetricsToken)) == 1
	}
	_, ok := s.present(r, false)
	return ok
}
