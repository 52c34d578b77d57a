package bandwidth

import (
	"fmt"
	"strconv"
	"strings"
)

// Rate is bits a second, a whole number of kbit/s; 0 means no limit.
type Rate int64

// The units of a rate. A kbit is 1000 bits, as on every line's contract.
const (
	Kbit Rate = 1000
	Mbit Rate = 1000 * Kbit
	Gbit Rate = 1000 * Mbit
)

const (
	leastRate = 16 * Kbit // below, one request of content takes longer than anybody waits
	mostRate  = 1000 * Gbit
)

var units = []struct {
	name string
	rate Rate
}{{"Gbit/s", Gbit}, {"Mbit/s", Mbit}, {"kbit/s", Kbit}}

const wantRate = "want a number with kbit/s, Mbit/s or Gbit/s, as 2 Mbit/s"

// parseRate reads "2 Mbit/s", with or without the space.
func parseRate(text string) (Rate, error) {
	for _, u := range units {
		n := len(text) - len(u.name)
		if n <= 0 || !strings.EqualFold(text[n:], u.name) {
			continue
		}
		r, err := times(strings.TrimSpace(text[:n]), u.rate)
		if err != nil {
			return 0, fmt.Errorf("rate %q: %w", text, err)
		}
		if r < leastRate || r > mostRate {
			return 0, fmt.Errorf("rate %q: want %s to %s, or \"off\" or \"unlimited\"", text, leastRate, mostRate)
		}
		return r, nil
	}
	return 0, fmt.Errorf("rate %q: %s (a bit is an eighth of a byte: 1 MB/s is 8 Mbit/s)", text, wantRate)
}

// times is a decimal number of units, exactly.
func times(number string, unit Rate) (Rate, error) {
	whole, fraction, _ := strings.Cut(number, ".")
	// Digits behind the point stand for powers of ten of a unit that is one.
	scale := int64(1)
	for range fraction {
		scale *= 10
		if scale > int64(unit/Kbit) {
			return 0, fmt.Errorf("%q is no whole number of kbit/s", number)
		}
	}
	digits := whole + fraction
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, fmt.Errorf("%q is no number: %s", number, wantRate)
		}
	}
	if whole == "" || len(digits) > 12 || strings.HasSuffix(number, ".") {
		return 0, fmt.Errorf("%q is no number: %s", number, wantRate)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, err
	}
	return Rate(n) * (unit / Rate(scale)), nil
}

// Bytes are those of a second.
func (r Rate) Bytes() float64 { return float64(r) / 8 }

// String is the rate in the largest unit of which it is at least one.
func (r Rate) String() string {
	if r == 0 {
		return "unlimited"
	}
	u := units[len(units)-1]
	for _, larger := range units {
		if r >= larger.rate {
			u = larger
			break
		}
	}
	text := strconv.FormatInt(int64(r/u.rate), 10)
	if rest := r % u.rate; rest != 0 {
		digits := len(strconv.FormatInt(int64(u.rate), 10)) - 1
		text += "." + strings.TrimRight(fmt.Sprintf("%0*d", digits, rest), "0")
	}
	return text + " " + u.name
}
