package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manual writes one page in the man(7) macros.
type manual struct{ bytes.Buffer }

func newManual(name string, section int, version string) *manual {
	m := new(manual)
	// No date: the same source shall give the same page.
	fmt.Fprintf(m, ".TH %s %d \"\" %s \"waptsync\"\n", argument(strings.ToUpper(name)), section, argument("waptsync "+version))
	return m
}

// roff escapes text: a backslash, a hyphen that shall be copied as one, and a
// line that would begin with a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// argument is one argument of a request.
func argument(text string) string {
	return `"` + strings.ReplaceAll(roff(text), `"`, `\(dq`) + `"`
}

func (m *manual) section(name string) { fmt.Fprintf(m, ".SH %s\n", argument(strings.ToUpper(name))) }

func (m *manual) text(text string) { fmt.Fprintln(m, roff(text)) }

// prose writes paragraphs that empty lines part. Those with indented lines are
// tables, which stay as they are.
func (m *manual) prose(text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			fmt.Fprintln(m, ".PP")
		}
		if strings.Contains("\n"+paragraph, "\n  ") {
			m.verbatim(paragraph)
			continue
		}
		m.text(paragraph)
	}
}

func (m *manual) verbatim(text string) { fmt.Fprintf(m, ".nf\n%s\n.fi\n", roff(text)) }

func (m *manual) item(name, text string) {
	fmt.Fprintf(m, ".TP\n.B %s\n%s\n", roff(name), roff(text))
}

// commands writes every command that shows in the help, depth first.
func (m *manual) commands(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		fmt.Fprintf(m, ".SS %s\n", argument(c.CommandPath()+strings.TrimPrefix(c.Use, c.Name())))
		m.text(c.Short + ".")
		if c.Long != "" {
			fmt.Fprintln(m, ".PP")
			m.prose(c.Long)
		}
		m.flags(c.NonInheritedFlags(), "--")
		if c.Example != "" {
			fmt.Fprintln(m, ".PP\nExamples:")
			m.verbatim(c.Example)
		}
		m.commands(c)
	}
}

// flags writes each flag, its name after prefix, with its default.
func (m *manual) flags(flags *pflag.FlagSet, prefix string) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := prefix + f.Name
		if f.Shorthand != "" && prefix != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if kind != "" {
			name += " " + kind
		}
		switch f.DefValue {
		case "", "false", "[]", "0", "0s":
		default:
			usage += " (default " + f.DefValue + ")"
		}
		m.item(name, usage)
	})
}
