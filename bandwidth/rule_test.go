package bandwidth

import (
	"strings"
	"testing"
	"time"
)

func parse(t testing.TB, text string) Rule {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOneCanonicalForm(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"2 Mbit/s", "2 Mbit/s"},
		{"  2Mbit/s ", "2 Mbit/s"},
		{"1500 kbit/s", "1.5 Mbit/s"},
		{"0.512 mbit/s", "512 kbit/s"},
		{"1.25 Gbit/s", "1.25 Gbit/s"},
		{"1000 Mbit/s", "1 Gbit/s"},
		{"unlimited", "unlimited"},
		{"else off", "off"},
		{"OFF", "off"},
		{"Mo–Fr 08:00 – 18:00 2 Mbit/s; else unlimited", "Mo-Fr 08:00-18:00 2 Mbit/s; else unlimited"},
		{"mo,tu,we 8:00-9:30 off", "Mo-We 08:00-09:30 off"},
		{"Fr-Mo 1 Mbit/s", "Mo,Fr-Su 1 Mbit/s"},
		{"Sa, Su off", "Sa,Su off"},
		{"Mo-Su 20:00-06:00 unlimited; ELSE only wapt-host", "20:00-06:00 unlimited; else only wapt-host"},
		{"14:00-18:00,08:00-12:00 1 Mbit/s; 2 Mbit/s", "08:00-12:00,14:00-18:00 1 Mbit/s; else 2 Mbit/s"},
		{"only wapt-host, wapt,wapt 500 kbit/s", "only wapt,wapt-host 500 kbit/s"},
		{"00:00-24:00 off", "00:00-24:00 off"},
	} {
		t.Run(c.text, func(t *testing.T) {
			r := parse(t, c.text)
			if got := r.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if again := parse(t, r.String()); again.String() != r.String() {
				t.Errorf("read again it is %q", again)
			}
		})
	}
}

func TestErrorsSayWhereAndWhatIsPossible(t *testing.T) {
	for _, c := range []struct{ text, where, possible string }{
		{"", "empty", "2 Mbit/s"},
		{"2 MB/s", `"2 MB/s"`, "kbit/s, Mbit/s or Gbit/s"},
		{"2", `rate "2"`, "kbit/s, Mbit/s or Gbit/s"},
		{"2 Mbit/s;", "part 2", "remove the semicolon"},
		{"1 kbit/s", `"1 kbit/s"`, "16 kbit/s to 1000 Gbit/s"},
		{"0 Mbit/s", `"0 Mbit/s"`, `"off"`},
		{"2,5 Mbit/s", `"2,5"`, "want a number"},
		{"1.0005 Mbit/s", "1.0005", "whole number of kbit/s"},
		{"9999999999999 Gbit/s", "9999999999999", "want a number"},
		{"Mo-Fr 08:00-18:00", "part 1", "what may flow"},
		{"Mo-Fr 2 Mbit/s; Mo-Xx off", `part 2, "Mo-Xx off"`, "Mo Tu We Th Fr Sa Su"},
		{"Monday off", `"Monday"`, "days as Mo-Fr"},
		{"08:00-25:00 off", `"25:00"`, "00:00 and 24:00"},
		{"08:00-24:01 off", `"24:01"`, "00:00 and 24:00"},
		{"08:00 off", `"08:00"`, "08:00-18:00"},
		{"08:00-08:00 off", `"08:00-08:00"`, "00:00-24:00"},
		{"24:00-08:00 off", `"24:00-08:00"`, "can only end"},
		{"off; Mo 2 Mbit/s", "part 2", "part before it"},
		{"only", `"only"`, "only wapt-host"},
		{"only Wapt", `share "Wapt"`, "a-z, 0-9"},
		{"off now", `"now"`, "the part ends"},
		{"fast", `"fast"`, `"unlimited"`},
		{"08:00-18:00 else off", `"else"`, `"off"`},
		{strings.Repeat("Mo off;", 40), "parts", "at most 32"},
		{strings.Repeat(" ", 2000), "2000 bytes", "at most 1024"},
	} {
		t.Run(c.text[:min(len(c.text), 40)], func(t *testing.T) {
			r, err := Parse(c.text)
			if err == nil {
				t.Fatalf("read as %q", r)
			}
			if !strings.Contains(err.Error(), c.where) || !strings.Contains(err.Error(), c.possible) {
				t.Errorf("%v: want it to name %q and %q", err, c.where, c.possible)
			}
		})
	}
}

func TestWhatHoldsWhen(t *testing.T) {
	const night = "20:00-06:00 unlimited; else only wapt-host"
	const office = "Mo-Fr 08:00-18:00 2 Mbit/s; Sa,Su off; else 10 Mbit/s"
	for _, c := range []struct{ rule, at, want, until string }{
		{"2 Mbit/s", "2026-03-02 12:00", "2 Mbit/s", ""},
		{office, "2026-03-02 07:59", "10 Mbit/s", "2026-03-02 08:00"}, // a Monday
		{office, "2026-03-02 08:00", "2 Mbit/s", "2026-03-02 18:00"},
		{office, "2026-03-02 18:00", "10 Mbit/s", "2026-03-03 08:00"},
		{office, "2026-03-06 18:00", "10 Mbit/s", "2026-03-07 00:00"},
		{office, "2026-03-07 09:00", "off", "2026-03-09 00:00"},
		{night, "2026-03-02 19:59", "only wapt-host", "2026-03-02 20:00"},
		{night, "2026-03-02 20:00", "unlimited", "2026-03-03 06:00"},
		{night, "2026-03-03 05:59", "unlimited", "2026-03-03 06:00"},
		// A night belongs to the day on which it begins.
		{"Fr 22:00-04:00 off", "2026-03-07 03:59", "off", "2026-03-07 04:00"},
		{"Fr 22:00-04:00 off", "2026-03-06 03:59", "unlimited", "2026-03-06 22:00"},
		{"Su 22:00-04:00 off", "2026-03-09 01:00", "off", "2026-03-09 04:00"},
		{"Mo 18:00-00:00 off", "2026-03-02 23:59", "off", "2026-03-03 00:00"},
		{"Mo 18:00-24:00 off", "2026-03-03 00:00", "unlimited", "2026-03-09 18:00"},
	} {
		t.Run(c.rule+" at "+c.at, func(t *testing.T) {
			r, at := parse(t, c.rule), wall(t, time.UTC, c.at)
			if got := r.At(at).String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			until := Until(at, r)
			if c.until == "" && !until.IsZero() || c.until != "" && !until.Equal(wall(t, time.UTC, c.until)) {
				t.Errorf("until %v, want %s", until, c.until)
			}
		})
	}
}

func wall(t testing.TB, where *time.Location, text string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", text, where)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestTheStricterOfTwoHolds(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"2 Mbit/s", "1 Mbit/s", "1 Mbit/s"},
		{"unlimited", "1 Mbit/s", "1 Mbit/s"},
		{"off", "1 Mbit/s", "off"},
		{"only wapt", "only wapt-host", "off"},
		{"only wapt,wads", "only wapt,wapt-host 2 Mbit/s", "only wapt 2 Mbit/s"},
		{"only wapt 3 Mbit/s", "2 Mbit/s", "only wapt 2 Mbit/s"},
	} {
		t.Run(c.a+" and "+c.b, func(t *testing.T) {
			a, b := parse(t, c.a), parse(t, c.b)
			if got := At(time.Now(), a, b).String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := At(time.Now(), b, a).String(); got != c.want {
				t.Errorf("the other way round: %s, want %s", got, c.want)
			}
		})
	}
	if got := At(time.Now()); !got.Equal(Allowance{}) {
		t.Errorf("without a rule: %s", got)
	}
}

// TestAcrossDaylightSaving compares Until with each minute of the days on which
// the clock is moved.
func TestAcrossDaylightSaving(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Skip("no time zones here:", err)
	}
	for _, rule := range []string{
		"02:30-05:00 off", "01:00-02:30 off", "20:00-06:00 1 Mbit/s; else off", "Su 02:00-03:00 off", "Sa 23:00-02:15,02:45-03:15 off",
	} {
		for _, day := range []string{"2026-03-28 12:00", "2026-10-24 12:00"} {
			t.Run(rule+" from "+day, func(t *testing.T) {
				r := parse(t, rule)
				at := wall(t, paris, day)
				want := Until(at, r)
				for end := at.Add(36 * time.Hour); at.Before(end); at = at.Add(time.Minute) {
					now, next := r.At(at), at.Add(time.Minute)
					until := Until(at, r)
					if changed := !r.At(next).Equal(now); changed != until.Equal(next) {
						t.Fatalf("at %v: until %v, and the next minute differs: %v", at, until, changed)
					}
					if !until.Equal(want) {
						t.Fatalf("at %v: until %v, a minute before it was %v", at, until, want)
					}
					if until.Equal(next) {
						want = Until(next, r)
					}
				}
			})
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"2 Mbit/s", "Mo-Fr 08:00-18:00 2 Mbit/s; else unlimited", "20:00-06:00 unlimited; else only wapt-host 16 kbit/s", "Sa,Su off", "8:00-9:00,10:00-24:00 1.5gbit/s",
	} {
		f.Add(text, int64(1_700_000_000))
	}
	f.Fuzz(func(t *testing.T, text string, second int64) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		canonical := r.String()
		again, err := Parse(canonical)
		if err != nil {
			t.Fatalf("%q was read and written as %q, which is not read: %v", text, canonical, err)
		}
		at := time.Unix(second%(1<<33), 0).UTC()
		if again.String() != canonical || !again.At(at).Equal(r.At(at)) {
			t.Fatalf("%q: %q at %v is %v, read again %q is %v", text, canonical, at, r.At(at), again, again.At(at))
		}
		if until := Until(at, r); !until.IsZero() && (!until.After(at) || r.At(until).Equal(r.At(at))) {
			t.Fatalf("%q at %v: until %v nothing changes", canonical, at, until)
		}
	})
}
