package bandwidth

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Bounds of a rule's text, for rules that come over the wire.
const (
	maxText  = 1024 // bytes
	maxParts = 32
)

// What people write with a keyboard or paste from a text is the same.
var (
	dashes = strings.NewReplacer("–", "-", "—", "-", "‑", "-", "−", "-", "\u00a0", " ", "\u202f", " ")
	spaces = regexp.MustCompile(`\s*([-,])\s*`)
)

// Parse reads a rule; the package's comment says how one is written. Its errors
// name the part and the word, and say what is possible there.
func Parse(text string) (Rule, error) {
	if len(text) > maxText {
		return Rule{}, fmt.Errorf("bandwidth: a rule of %d bytes: at most %d", len(text), maxText)
	}
	if strings.TrimSpace(text) == "" {
		return Rule{}, errors.New(`bandwidth: the rule is empty: want for example "2 Mbit/s", or "unlimited"`)
	}
	texts := strings.Split(dashes.Replace(text), ";")
	if len(texts) > maxParts {
		return Rule{}, fmt.Errorf("bandwidth: a rule of %d parts: at most %d", len(texts), maxParts)
	}
	var r Rule
	for i, one := range texts {
		p, err := parsePart(one)
		if err == nil && i > 0 && r.parts[i-1].always() {
			err = errors.New("it can never hold, because the part before it always does")
		}
		if err != nil {
			return Rule{}, fmt.Errorf("bandwidth: part %d, %q: %w", i+1, strings.TrimSpace(one), err)
		}
		r.parts = append(r.parts, p)
	}
	return r, nil
}

func parsePart(text string) (part, error) {
	p := part{days: everyDay}
	words := strings.Fields(spaces.ReplaceAllString(text, "$1"))
	if len(words) == 0 {
		return p, errors.New("it is empty: remove the semicolon")
	}
	var err error
	if strings.EqualFold(words[0], "else") {
		words = words[1:]
	} else {
		if isDays(words[0]) {
			if p.days, err = parseDays(words[0]); err != nil {
				return p, err
			}
			words = words[1:]
		}
		if len(words) > 0 && strings.Contains(words[0], ":") {
			if p.times, err = parseTimes(words[0]); err != nil {
				return p, err
			}
			words = words[1:]
		}
	}
	p.allowed, err = parseAllowance(words)
	return p, err
}

const wantWhat = `want days as Mo-Fr, times as 08:00-18:00, and then "unlimited", "off", a rate as 2 Mbit/s, or "only" and shares`

func parseAllowance(words []string) (Allowance, error) {
	var a Allowance
	if len(words) == 0 {
		return a, errors.New("it does not say what may flow: " + wantWhat)
	}
	switch first := strings.ToLower(words[0]); first {
	case "unlimited", "off":
		if len(words) > 1 {
			return a, fmt.Errorf("%q stands behind %q, where the part ends", strings.Join(words[1:], " "), first)
		}
		a.Closed = first == "off"
		return a, nil
	case "only":
		if len(words) == 1 {
			return a, errors.New(`"only" names no share: want for example only wapt-host`)
		}
		a.Closed, a.Open = true, strings.Split(words[1], ",")
		for _, share := range a.Open {
			if !sharePattern.MatchString(share) {
				return a, fmt.Errorf("share %q: want 1 to 63 of a-z, 0-9 and -, not beginning with -", share)
			}
		}
		slices.Sort(a.Open)
		a.Open = slices.Compact(a.Open)
		if words = words[2:]; len(words) == 0 {
			return a, nil
		}
	}
	if c := words[0][0]; c < '0' || c > '9' {
		return a, fmt.Errorf("%q is not known here: %s", words[0], wantWhat)
	}
	var err error
	a.Limit, err = parseRate(strings.Join(words, " "))
	return a, err
}

// sharePattern is what a share's name may be; the bus holds the same.
var sharePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

const wantDays = "want Mo Tu We Th Fr Sa Su, as Mo-Fr or Sa,Su"

// isDays says whether a word is meant as days.
func isDays(word string) bool {
	c := word[0] | 0x20 // a small letter
	return dayOf(word) >= 0 || c >= 'a' && c <= 'z' && strings.ContainsAny(word, ",-")
}

func dayOf(name string) int {
	return slices.IndexFunc(dayNames[:], func(d string) bool { return strings.EqualFold(d, name) })
}

func parseDays(word string) (days, error) {
	var set days
	for _, one := range strings.Split(word, ",") {
		from, to, ranged := strings.Cut(one, "-")
		if !ranged {
			to = from
		}
		first, last := dayOf(from), dayOf(to)
		if first < 0 || last < 0 {
			return 0, fmt.Errorf("%q are no days: %s", one, wantDays)
		}
		for day := first; ; day = (day + 1) % 7 {
			set |= 1 << day
			if day == last {
				break
			}
		}
	}
	return set, nil
}

const wantTimes = "want for example 08:00-18:00, between 00:00 and 24:00"

func parseTimes(word string) ([]span, error) {
	var out []span
	for _, one := range strings.Split(word, ",") {
		from, to, ok := strings.Cut(one, "-")
		if !ok {
			return nil, fmt.Errorf("%q is no span of time: %s", one, wantTimes)
		}
		var s span
		var err error
		if s.from, err = parseClock(from); err == nil {
			s.to, err = parseClock(to)
		}
		switch {
		case err != nil:
			return nil, err
		case s.from == s.to:
			return nil, fmt.Errorf("%q is empty: the whole day is 00:00-24:00", one)
		case s.from == dayMinutes:
			return nil, fmt.Errorf("%q begins where the day ends: 24:00 can only end a span", one)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b span) int { return (a.from-b.from)*(dayMinutes+1) + a.to - b.to })
	return slices.Compact(out), nil
}

func parseClock(text string) (int, error) {
	bad := fmt.Errorf("%q is no time: %s", text, wantTimes)
	if len(text) == 4 {
		text = "0" + text // 8:00
	}
	if len(text) != 5 || text[2] != ':' {
		return 0, bad
	}
	for _, i := range []int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, bad
		}
	}
	hour, minute := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	if minute > 59 || hour*60+minute > dayMinutes {
		return 0, bad
	}
	return hour*60 + minute, nil
}
