package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheREADMEsCommandsAre holds its table of commands against the program.
func TestTheREADMEsCommandsAre(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	root := (&app{env: noEnv}).newRootCommand()
	told := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ").FindAllStringSubmatch(string(text), -1) {
		words := strings.Fields(row[1])
		name := words[0]
		told[name] = true
		for _, sub := range strings.Split(strings.Join(words[1:min(2, len(words))], ""), `\|`) {
			path := []string{name}
			if sub != "" && sub[0] >= 'a' && sub[0] <= 'z' {
				path = append(path, sub)
			}
			c, rest, err := root.Find(path)
			if err != nil || len(rest) > 0 && c.HasSubCommands() || c == root {
				t.Errorf("%v is no command: %v", path, err)
			}
		}
	}
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" && !told[c.Name()] {
			t.Errorf("%s is not in the README", c.Name())
		}
	}
}

// TestLinksOfDocumentsLead looks for each file that a document links to.
func TestLinksOfDocumentsLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../test/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(text), -1) {
				if _, err := os.Stat(filepath.Join(filepath.Dir(f), m[1])); err != nil {
					t.Errorf("%s links to what is not there: %v", filepath.Base(f), err)
				}
			}
		}
	}
}
