package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestTheManualHasEveryCommandAndFlag(t *testing.T) {
	dir := t.TempDir()
	must(t, "", "docs", "--settings", "../../deploy", dir)
	text, err := os.ReadFile(filepath.Join(dir, "waptsync.1"))
	if err != nil {
		t.Fatal(err)
	}
	// Also in names, hyphens are written so that they can be copied.
	page := strings.ReplaceAll(string(text), `\-`, "-")
	var look func(*cobra.Command)
	look = func(parent *cobra.Command) {
		for _, c := range parent.Commands() {
			if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
				continue
			}
			if !strings.Contains(page, ".SS \""+c.CommandPath()) {
				t.Errorf("%s is missing", c.CommandPath())
			}
			look(c)
		}
	}
	look((&app{version: "test"}).newRootCommand())
	for _, want := range []string{"--serve HOST:PORT", "Exit codes:", "(default 1d)", ".SH \"FILES\""} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	if regexp.MustCompile(`(?m)^\.([^A-Znf]|n[^f]|f[^i])`).MatchString(string(text)) {
		t.Error("a line begins with a dot and is no request")
	}
}

// TestEverySettingIsInTheInstalledFiles holds that who reads the commented files,
// or waptsync.toml(5), which shows them, misses nothing.
func TestEverySettingIsInTheInstalledFiles(t *testing.T) {
	for name, c := range map[string]any{"publish": PublishConfig{}, "subscribe": SubscribeConfig{}} {
		text, err := os.ReadFile("../../deploy/" + name + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range tomlKeys(reflect.TypeOf(c)) {
			if !regexp.MustCompile(`(?m)^#?` + regexp.QuoteMeta(key) + ` = |^\[` + regexp.QuoteMeta(key) + `\.`).Match(text) {
				t.Errorf("deploy/%s.toml does not have %s", name, key)
			}
		}
	}
}

func tomlKeys(t reflect.Type) (keys []string) {
	switch t.Kind() {
	case reflect.Map:
		return tomlKeys(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if key, _, _ := strings.Cut(f.Tag.Get("toml"), ","); key != "" && key != "-" {
			keys = append(keys, key)
		}
		keys = append(keys, tomlKeys(f.Type)...)
	}
	return keys
}
