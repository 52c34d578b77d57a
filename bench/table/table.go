package table

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Names of systems that have columns of their own at the table's end.
const (
	Ours  = "waptsync"
	Basis = "rsync" // what ratios are against
	Floor = "floor" // what the machine itself needs for the same work
)

const nothing = "–"

// Write prints the rows as a Markdown table: a line for each figure of each
// workload, a column for each system, then the ratio of ours to the basis, and
// the floor. Several runs give their median. Workloads, figures and systems
// stand in the order in which they were first measured.
func Write(w io.Writer, rows []Row) error {
	g := gather(rows)
	head := append([]string{"workload", "figure"}, g.systems...)
	head = append(head, Ours+" : "+Basis, Floor)
	rule := "|---|---" + strings.Repeat("|---:", len(head)-2) + "|"
	if _, err := fmt.Fprintf(w, "| %s |\n%s\n", strings.Join(head, " | "), rule); err != nil {
		return err
	}
	for _, l := range g.lines {
		cells := []string{l.workload, l.figure}
		for _, s := range g.systems {
			cells = append(cells, g.cell(l, s))
		}
		cells = append(cells, g.ratio(l), g.cell(l, Floor))
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")); err != nil {
			return err
		}
	}
	return g.faults(w, rows)
}

type line struct{ workload, figure string }

type gathered struct {
	systems []string // without the floor
	lines   []line
	values  map[line]map[string][]float64
}

func gather(rows []Row) gathered {
	g := gathered{values: make(map[line]map[string][]float64)}
	var workloads []string
	figures := make(map[string][]string)
	for _, r := range rows {
		if r.System != Floor && !slices.Contains(g.systems, r.System) {
			g.systems = append(g.systems, r.System)
		}
		if !slices.Contains(workloads, r.Workload) {
			workloads = append(workloads, r.Workload)
		}
		for _, f := range r.Figures {
			if !slices.Contains(figures[r.Workload], f.Name) {
				figures[r.Workload] = append(figures[r.Workload], f.Name)
			}
			l := line{r.Workload, f.Name}
			if g.values[l] == nil {
				g.values[l] = make(map[string][]float64)
			}
			g.values[l][r.System] = append(g.values[l][r.System], f.Value)
		}
	}
	for _, w := range workloads {
		for _, f := range figures[w] {
			g.lines = append(g.lines, line{w, f})
		}
	}
	return g
}

func (g gathered) cell(l line, system string) string {
	v, there := g.median(l, system)
	if !there {
		return nothing
	}
	return Number(v)
}

func (g gathered) ratio(l line) string {
	ours, a := g.median(l, Ours)
	basis, b := g.median(l, Basis)
	if !a || !b || basis == 0 {
		return nothing
	}
	return Number(ours / basis)
}

func (g gathered) median(l line, system string) (float64, bool) {
	v := slices.Sorted(slices.Values(g.values[l][system]))
	if len(v) == 0 {
		return 0, false
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2, true
}

// faults says below the table what could not be measured.
func (g gathered) faults(w io.Writer, rows []Row) error {
	first := true
	for _, r := range rows {
		if r.Error == "" {
			continue
		}
		if first {
			if _, err := fmt.Fprint(w, "\nNot measured:\n\n"); err != nil {
				return err
			}
			first = false
		}
		text := strings.Join(strings.Fields(r.Error), " ")
		if _, err := fmt.Fprintf(w, "- %s, %s, run %d: %s\n", r.Workload, r.System, r.Run, text); err != nil {
			return err
		}
	}
	return nil
}

// Number prints three digits that count, and all of a whole number before the
// point.
func Number(v float64) string {
	digits := 0
	for a := max(v, -v); a < 100 && digits < 3; a *= 10 {
		digits++
	}
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
