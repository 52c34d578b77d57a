package table

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file anew")

var rows = []Row{
	{"big", Floor, 0, 1, []Figure{{"seconds", 1.5}}, ""},
	{"big", Ours, 0, 1, []Figure{{"seconds", 8.25}, {"wire_MB", 2031}}, ""},
	{"big", Basis, 0, 1, []Figure{{"seconds", 4}, {"wire_MB", 2009.4}}, ""},
	{"big", Ours, 1, 1, []Figure{{"seconds", 9.5}, {"wire_MB", 2031.2}}, ""},
	{"big", Basis, 1, 1, []Figure{{"seconds", 4}, {"wire_MB", 2009.4}}, ""},
	{"big", Ours, 2, 1, []Figure{{"seconds", 8.5}, {"wire_MB", 2031.4}}, ""},
	{"latency", Ours, 0, 1, []Figure{{"p50_ms", 8.1234}, {"max_ms", 13}}, ""},
	{"latency", "lsyncd", 0, 1, nil, "trees differ\nafter 5m0s: \"x\" is missing"},
}

func TestTable(t *testing.T) {
	var got bytes.Buffer
	if err := Write(&got, rows); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/table.md"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
	}
}

func TestRowIsOneFlatLine(t *testing.T) {
	for _, c := range []struct {
		name string
		row  Row
		want string
	}{
		{"figures", rows[1], `{"workload":"big","system":"waptsync","run":0,"scale":1,"seconds":8.25,"wire_MB":2031}`},
		{"rounded", Row{"w", "s", 1, 0.05, []Figure{{"x_s", 1.23456}}, ""}, `{"workload":"w","system":"s","run":1,"scale":0.05,"x_s":1.235}`},
		{"error", Row{"w", "s", 0, 1, nil, "a \"b\""}, `{"workload":"w","system":"s","run":0,"scale":1,"error":"a \"b\""}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := json.Marshal(c.row)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{{0, "0"}, {0.001, "0.001"}, {0.12345, "0.123"}, {1.5, "1.5"}, {12.345, "12.3"}, {1234.6, "1235"}, {100, "100"}, {-2.25, "-2.25"}} {
		if got := Number(c.v); got != c.want {
			t.Errorf("%v is printed as %s, want %s", c.v, got, c.want)
		}
	}
}
