package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestArrowsPointDownOnly holds docs/design.md section 1: who may import whom.
func TestArrowsPointDownOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "waptsync/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	allowed := map[string][]string{
		"waptsync/alive":               {},
		"waptsync/boltfile":            {},
		"waptsync/objects":             {},
		"waptsync/index":               {},
		"waptsync/bandwidth":           {},
		"waptsync/bus":                 {"waptsync/objects", "waptsync/bandwidth"},
		"waptsync/publisher":           {"waptsync/alive", "waptsync/boltfile", "waptsync/bus", "waptsync/objects", "waptsync/index"},
		"waptsync/subscriber":          {"waptsync/alive", "waptsync/boltfile", "waptsync/bus", "waptsync/objects", "waptsync/index", "waptsync/bandwidth"},
		"waptsync/console":             {},
		"waptsync/cmd/waptsync/sample": {},
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name, imports := fields[0], fields[1:]
		seen[name] = true
		for _, i := range imports {
			if strings.HasPrefix(i, "github.com/nats-io/") || strings.HasPrefix(i, "github.com/synadia-io/") {
				if name != "waptsync/bus" {
					t.Errorf("%s imports %s: only bus may", name, i)
				}
			}
			if may, ruled := allowed[name]; ruled && strings.HasPrefix(i, "waptsync/") && !slices.Contains(may, i) {
				t.Errorf("%s imports %s: it may only import %v", name, i, may)
			}
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("%s is ruled here and does not exist", name)
		}
	}
}
