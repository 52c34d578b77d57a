package table

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// Figure is one number of a measurement. Its name ends in its unit, such as
// wire_MB, cpu_s or p50_ms; "seconds" is its own.
type Figure struct {
	Name  string
	Value float64
}

// Row is one measurement: a workload with a system. Error says why there are
// no figures: a system that cannot do the work is a result too.
type Row struct {
	Workload string
	System   string
	Run      int
	Scale    float64
	Figures  []Figure
	Error    string
}

// MarshalJSON writes one flat object, the figures in their order and rounded
// to a thousandth.
func (r Row) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	field := func(name string, value any) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(name))
		b.WriteByte(':')
		v, err := json.Marshal(value)
		b.Write(v)
		return err
	}
	for _, f := range []struct {
		name  string
		value any
	}{{"workload", r.Workload}, {"system", r.System}, {"run", r.Run}, {"scale", r.Scale}} {
		if err := field(f.name, f.value); err != nil {
			return nil, err
		}
	}
	for _, f := range r.Figures {
		if err := field(f.Name, math.Round(f.Value*1000)/1000); err != nil {
			return nil, err
		}
	}
	if r.Error != "" {
		if err := field("error", r.Error); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
