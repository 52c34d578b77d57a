package objects

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Contents cut with other parameters have no objects in common, so these may
// not change between versions.
func TestGoldenParams(t *testing.T) {
	const k, m, g, tib = 1 << 10, 1 << 20, 1 << 30, 1 << 40
	for _, c := range []struct {
		size       int64
		plain, zip uint32
	}{
		{0, 16 * k, 4 * k},
		{SingleMax, 16 * k, 4 * k},
		{16 * m, 16 * k, 4 * k},
		{16*m + 1, 16 * k, 16 * k},
		{64 * m, 16 * k, 16 * k},
		{64*m + 1, 64 * k, 64 * k},
		{256 * m, 64 * k, 64 * k},
		{256*m + 1, 256 * k, 256 * k},
		{g, 256 * k, 256 * k},
		{g + 1, m, m},
		{4 * g, m, m},
		{4*g + 1, 2 * m, 2 * m},
		{tib, 2 * m, 2 * m},
		{1<<63 - 1, 2 * m, 2 * m},
	} {
		for zip, avg := range map[bool]uint32{false: c.plain, true: c.zip} {
			want := Params{Min: avg / 4, Avg: avg, Max: 4 * avg, Zip: zip}
			if got := ParamsFor(c.size, zip); got != want {
				t.Errorf("%d bytes, zip %v: %+v, want %+v", c.size, zip, got, want)
			}
			if err := want.check(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestParamsForFileKnowsZip(t *testing.T) {
	pad := strings.Repeat("-", SingleMax)
	for content, want := range map[string]bool{
		"PK\x03\x04" + pad: true,
		"PK\x05\x06" + pad: false, // empty container: nothing to cut at
		"MZ\x03\x04" + pad: false,
		"PK\x03\x04":       false, // one object anyway
		"PK":               false,
		"":                 false,
	} {
		if got := ParamsForFile(strings.NewReader(content), int64(len(content))).Zip; got != want {
			t.Errorf("%d bytes beginning %.4q: Zip is %v", len(content), content, got)
		}
	}
}

func TestParamsThatCannotCutAreRefused(t *testing.T) {
	for _, p := range []Params{
		{},
		{Min: 63, Avg: 256, Max: 1024},
		{Min: 64, Avg: 128, Max: 1024},
		{Min: 64, Avg: 300, Max: 1024},
		{Min: 257, Avg: 256, Max: 1024},
		{Min: 64, Avg: 256, Max: 255},
		{Min: 64, Avg: 256, Max: MaxObject + 1},
		{Min: 64, Avg: 4 << 20, Max: MaxObject},
	} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			if _, err := Describe(t.Context(), bytes.NewReader(nil), 0, p, DescribeOptions{}); err == nil {
				t.Error("Describe takes them")
			}
			m := &Manifest{Params: p, Digest: Sum(nil)}
			if _, err := m.AppendBinary(nil); err == nil {
				t.Error("AppendBinary takes them")
			}
		})
	}
}
