package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"waptsync/bandwidth"
)

// Size is a number of bytes that configuration writes as 512KiB, 2GiB, 4GB or 1000.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// Set reads a size; it makes Size a flag value.
func (s *Size) Set(text string) error {
	number, factor := strings.TrimSpace(text), 1.0
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v*factor >= math.MaxInt64 {
		return fmt.Errorf("%q is no size: want a number with KiB, MiB, GiB, TiB, KB, MB, GB, TB or nothing for bytes", text)
	}
	*s = Size(v * factor)
	return nil
}

// UnmarshalText reads a size from a configuration file.
func (s *Size) UnmarshalText(b []byte) error { return s.Set(string(b)) }

// MarshalText writes a size so that Set reads the same one.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is exact: it falls back to plain bytes where a unit would round.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if unit := int64(sizeUnits[i].bytes); s != 0 && int64(s)%unit == 0 {
			return fmt.Sprintf("%d%s", int64(s)/unit, sizeUnits[i].name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Type names the value in a flag's usage.
func (s *Size) Type() string { return "SIZE" }

// Duration is a time.Duration that configuration writes as 30s, 1h or 14d.
type Duration time.Duration

// Set reads a duration; it makes Duration a flag value.
func (d *Duration) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && math.Abs(n) < 100_000 {
			*d = Duration(n * 24 * float64(time.Hour))
			return nil
		}
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration: want for example 300ms, 30s, 1h30m or 14d", text)
	}
	*d = Duration(v)
	return nil
}

// UnmarshalText reads a duration from a configuration file.
func (d *Duration) UnmarshalText(b []byte) error { return d.Set(string(b)) }

// MarshalText writes a duration so that Set reads the same one.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	if days := time.Duration(d) / day; days > 0 && time.Duration(d)%day == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return time.Duration(d).String()
}

// Type names the value in a flag's usage.
func (d *Duration) Type() string { return "DURATION" }

// Bandwidth is a bandwidth.Rule as a setting; empty is none.
type Bandwidth struct{ bandwidth.Rule }

// Set reads a rule; it makes Bandwidth a flag value.
func (b *Bandwidth) Set(text string) error { return b.UnmarshalText([]byte(text)) }

// Type names the value in a flag's usage.
func (b *Bandwidth) Type() string { return "RULE" }

// showBytes is a size for people, to three digits.
func showBytes(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/(1<<10), 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1 << 10
		i++
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %ciB", v, units[i])
	}
	return fmt.Sprintf("%.0f %ciB", v, units[i])
}

// showDuration is a time span for people, in at most two units.
func showDuration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
