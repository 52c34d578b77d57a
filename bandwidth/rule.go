package bandwidth

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rule says what may flow when. The zero Rule is none: everything may flow.
type Rule struct{ parts []part }

// part is one part of a rule.
type part struct {
	days    days
	times   []span // in order; none means the whole day
	allowed Allowance
}

// days is a set; bit 0 is Monday.
type days uint8

const (
	everyDay   days = 1<<7 - 1
	dayMinutes      = 24 * 60
)

var dayNames = [7]string{"Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"}

// span is from one minute of a day up to another, on the next day if that is
// not later.
type span struct{ from, to int }

func (d days) has(day int) bool { return d&(1<<((day+7)%7)) != 0 }

// holds says whether the part holds at a minute of a day.
func (p *part) holds(day, minute int) bool {
	if len(p.times) == 0 {
		return p.days.has(day)
	}
	for _, s := range p.times {
		switch {
		case s.from < s.to:
			if p.days.has(day) && minute >= s.from && minute < s.to {
				return true
			}
		case p.days.has(day) && minute >= s.from, p.days.has(day-1) && minute < s.to:
			return true
		}
	}
	return false
}

// always says that nothing behind this part is ever reached.
func (p *part) always() bool { return p.days == everyDay && len(p.times) == 0 }

// IsZero says that there is no rule.
func (r Rule) IsZero() bool { return len(r.parts) == 0 }

// At is what may flow at t, by the clock of t's location.
func (r Rule) At(t time.Time) Allowance {
	return r.at(minuteOf(t))
}

func minuteOf(t time.Time) (day, minute int) {
	return (int(t.Weekday()) + 6) % 7, t.Hour()*60 + t.Minute()
}

func (r Rule) at(day, minute int) Allowance {
	for i := range r.parts {
		if r.parts[i].holds(day, minute) {
			return r.parts[i].allowed
		}
	}
	return Allowance{}
}

// At is what all the rules allow at t.
func At(t time.Time, rules ...Rule) Allowance {
	var a Allowance
	for _, r := range rules {
		a = a.And(r.At(t))
	}
	return a
}

// horizon is for how long something may not change that changes at all: a week,
// and a day for clocks that are moved.
const horizon = 8 * 24 * time.Hour

// Until is when what the rules allow at t changes next; the zero time if it
// never does.
func Until(t time.Time, rules ...Rule) time.Time {
	now := At(t, rules...)
	marks := []int{0}
	for _, r := range rules {
		for i := range r.parts {
			for _, s := range r.parts[i].times {
				marks = append(marks, s.from, s.to)
			}
		}
	}
	slices.Sort(marks)
	marks = slices.Compact(marks)
	// While the location's clock runs evenly its marks lie whole minutes ahead;
	// where it is moved begins another stretch.
	end := t.Add(horizon)
	for begin := t; begin.Before(end); {
		_, moved := begin.ZoneBounds()
		if moved.IsZero() || moved.After(end) {
			moved = end
		}
		_, minute := minuteOf(begin)
		midnight := begin.Add(-time.Duration(minute)*time.Minute - time.Duration(begin.Second())*time.Second - time.Duration(begin.Nanosecond()))
		for ; midnight.Before(moved); midnight = midnight.Add(24 * time.Hour) {
			for _, m := range marks {
				at := midnight.Add(time.Duration(m) * time.Minute)
				if at.After(t) && at.Before(moved) && !At(at, rules...).Equal(now) {
					return at
				}
			}
		}
		if moved.After(t) && !moved.Equal(end) && !At(moved, rules...).Equal(now) {
			return moved
		}
		begin = moved
	}
	return time.Time{}
}

// Opens is when contents of the share may flow next, if they may not at t; the
// zero time if that is not within sight.
func Opens(t time.Time, share string, rules ...Rule) time.Time {
	for end := t.Add(horizon); !t.IsZero() && t.Before(end); t = Until(t, rules...) {
		if At(t, rules...).Allows(share) {
			return t
		}
	}
	return time.Time{}
}

// String is the one form that a rule is kept and shown in; empty for none.
func (r Rule) String() string {
	var b strings.Builder
	for i := range r.parts {
		p := &r.parts[i]
		if i > 0 {
			b.WriteString("; ")
		}
		switch {
		case p.always() && i > 0:
			b.WriteString("else ")
		case p.days != everyDay:
			b.WriteString(p.days.String() + " ")
		}
		for j, s := range p.times {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%s-%s", clock(s.from), clock(s.to))
		}
		if len(p.times) > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.allowed.String())
	}
	return b.String()
}

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

func (d days) String() string {
	var runs []string
	for day := 0; day < 7; day++ {
		if !d.has(day) {
			continue
		}
		first := day
		for day < 6 && d.has(day+1) {
			day++
		}
		switch day - first {
		case 0:
			runs = append(runs, dayNames[first])
		case 1:
			runs = append(runs, dayNames[first], dayNames[day])
		default:
			runs = append(runs, dayNames[first]+"-"+dayNames[day])
		}
	}
	return strings.Join(runs, ",")
}

// MarshalText writes the rule as String does.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a rule as Parse does; empty text is no rule.
func (r *Rule) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Rule{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err == nil {
		*r = parsed
	}
	return err
}
