package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// said are the messages of a log of JSON lines.
func said(t *testing.T, log string) (out []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		fields, err := jsonFields([]byte(line))
		if err != nil {
			t.Fatalf("no JSON: %v: %s", err, line)
		}
		for _, f := range fields {
			if f.key == zerolog.MessageFieldName {
				out = append(out, strings.Trim(string(f.value), `"`))
			}
		}
	}
	return out
}

func TestRepeatedTroubleIsCounted(t *testing.T) {
	full := errors.New("no space")
	type step func(log zerolog.Logger)
	fail := func(share string, tries int) step {
		return func(log zerolog.Logger) {
			log.Error().Err(full).Str("share", share).Int("tries", tries).Msg("not stored")
		}
	}
	many := func(n int) (out []step) {
		for i := range n {
			out = append(out, fail("wapt", i))
		}
		return out
	}
	info := func(share string) step {
		return func(log zerolog.Logger) { log.Info().Str("share", share).Msg("stored again") }
	}
	rest := func(d time.Duration) step { return func(zerolog.Logger) { time.Sleep(d); synctest.Wait() } }
	for _, c := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"one", many(1), []string{"not stored"}},
		{"two", append(many(2), rest(time.Hour)), []string{"not stored", "not stored"}},
		{"forty-two", append(many(42), rest(61*time.Second)), []string{"not stored", "not stored (41 times more in 1m0s)"}},
		{"it goes on", append(append(many(3), rest(61*time.Second)), append(many(3), rest(61*time.Second))...),
			[]string{"not stored", "not stored (2 times more in 1m0s)", "not stored (3 times more in 1m0s)"}},
		{"it comes back", append(append(many(3), rest(time.Hour)), many(1)...),
			[]string{"not stored", "not stored (2 times more in 1m0s)", "not stored"}},
		{"the end writes what is left", many(4), []string{"not stored", "not stored (3 times more in 0s)"}},
		{"another share", []step{fail("wapt", 1), fail("wapt-host", 1)}, []string{"not stored", "not stored"}},
		{"a change of state ends it", []step{fail("wapt", 1), info("wapt"), fail("wapt", 1), info("wapt-host"), fail("wapt", 2)},
			[]string{"not stored", "stored again", "not stored", "stored again", "not stored"}},
		{"no trouble", []step{info("wapt"), info("wapt")}, []string{"stored again", "stored again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out lines
				log, end := newServiceLogger(&out, Common{LogLevel: "info", LogFormat: "json"})
				for _, do := range c.steps {
					do(log)
				}
				end()
				if got := said(t, out.String()); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
					t.Errorf("said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
				}
			})
		})
	}
}

func TestTheCountedLineKeepsItsFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		log, end := newServiceLogger(&out, Common{LogLevel: "info", LogFormat: "json"})
		for i := range 3 {
			log.Warn().Str("path", `a "b"`).Int("tries", i).Strs("first", []string{"x"}).Msg("not <read>")
		}
		end()
		all := strings.Split(out.String(), "\n")
		for _, want := range []string{`"level":"warn"`, `"path":"a \"b\""`, `"tries":2`, `"first":["x"]`, `"repeated":2`, `"time":"2000-01-01T00:00:00`} {
			if !strings.Contains(all[1], want) {
				t.Errorf("%s is not in %s", want, all[1])
			}
		}
	})
}

func TestRememberedLinesAreBounded(t *testing.T) {
	var out lines
	w := newRepeatWriter(&out)
	log := zerolog.New(w)
	const n = 10 * maxRepeats
	for i := range n {
		log.Warn().Str("path", fmt.Sprint(i)).Msg("not read")
	}
	log.Warn().Str("path", strings.Repeat("x", maxRepeated)).Msg("not read")
	if len(w.known) > maxRepeats || len(w.order) > maxRepeats {
		t.Errorf("remembers %d, %d lines: at most %d", len(w.known), len(w.order), maxRepeats)
	}
	w.Close()
	if got := strings.Count(out.String(), "\n"); got != n+1 {
		t.Errorf("%d lines of %d different ones", got, n+1)
	}
	for _, odd := range []string{"", "{", "no JSON", `{"a":`, `[1]`} {
		if _, err := w.WriteLevel(zerolog.ErrorLevel, []byte(odd)); err != nil {
			t.Errorf("%q: %v", odd, err)
		}
	}
}
