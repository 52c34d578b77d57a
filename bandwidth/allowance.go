package bandwidth

import (
	"slices"
	"strings"
)

// Allowance is what may flow at one moment. The zero value is everything, as
// fast as it comes.
type Allowance struct {
	Limit Rate // of all shares together; 0 means none
	// Closed: only the contents of the shares in Open may flow, none if it is empty.
	Closed bool
	Open   []string // in order, each once
}

// Allows says whether contents of the share may flow.
func (a Allowance) Allows(share string) bool {
	return !a.Closed || slices.Contains(a.Open, share)
}

// Off says that nothing may flow.
func (a Allowance) Off() bool { return a.Closed && len(a.Open) == 0 }

// Equal says whether a and b allow the same.
func (a Allowance) Equal(b Allowance) bool {
	return a.Limit == b.Limit && a.Closed == b.Closed && slices.Equal(a.Open, b.Open)
}

// And is what both allow.
func (a Allowance) And(b Allowance) Allowance {
	out := Allowance{Limit: a.Limit, Closed: a.Closed || b.Closed}
	if out.Limit == 0 || b.Limit != 0 && b.Limit < out.Limit {
		out.Limit = b.Limit
	}
	for _, share := range slices.Concat(a.Open, b.Open) {
		if a.Allows(share) && b.Allows(share) && !slices.Contains(out.Open, share) {
			out.Open = append(out.Open, share)
		}
	}
	slices.Sort(out.Open)
	if out.Off() {
		out.Limit = 0
	}
	return out
}

// String is as a rule says it.
func (a Allowance) String() string {
	switch {
	case a.Off():
		return "off"
	case !a.Closed:
		return a.Limit.String()
	}
	text := "only " + strings.Join(a.Open, ",")
	if a.Limit != 0 {
		text += " " + a.Limit.String()
	}
	return text
}
