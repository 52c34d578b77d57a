package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"
)

const day = 24 * time.Hour

// settings is what load fills: a configuration that binds its fields to flags
// and knows what is wrong with it.
type settings interface {
	bind(*pflag.FlagSet)
	validate() []string
}

// configError lists all faults of a configuration.
type configError struct {
	path   string // the file, or empty
	faults []string
}

func (e *configError) Error() string {
	where := "configuration"
	if e.path != "" {
		where += " " + e.path
	}
	if len(e.faults) == 1 {
		return where + ": " + e.faults[0]
	}
	return fmt.Sprintf("%s has %d faults:\n  %s", where, len(e.faults), strings.Join(e.faults, "\n  "))
}

// load fills c, which holds the defaults, from the file at path (none if
// empty), then from WAPTSYNC_* variables, then from the flags that were given.
// flags are those of a second value that c's bind was called on.
func load(c settings, path string, flags *pflag.FlagSet, env func(string) (string, bool)) error {
	if path != "" {
		if err := decodeFile(c, path); err != nil {
			return withCode(exitUsage, err)
		}
	}
	target := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	c.bind(target)
	var bad []string
	target.VisitAll(func(f *pflag.Flag) {
		name := envName(f.Name)
		if text, ok := env(name); ok {
			if err := setFlag(f.Value, text); err != nil {
				bad = append(bad, fmt.Sprintf("%s: %v", name, err))
			}
		}
	})
	flags.Visit(func(f *pflag.Flag) {
		to := target.Lookup(f.Name)
		if to == nil {
			return // not a setting: --config, --help
		}
		var err error
		if list, ok := f.Value.(pflag.SliceValue); ok {
			err = to.Value.(pflag.SliceValue).Replace(list.GetSlice())
		} else {
			err = to.Value.Set(f.Value.String())
		}
		if err != nil {
			bad = append(bad, fmt.Sprintf("--%s: %v", f.Name, err))
		}
	})
	bad = append(bad, c.validate()...)
	if len(bad) > 0 {
		return withCode(exitUsage, &configError{path, bad})
	}
	return nil
}

// envName is the variable of a setting: log-level is WAPTSYNC_LOG_LEVEL.
func envName(setting string) string {
	return "WAPTSYNC_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// setFlag sets a value from one text; a list's elements are parted by commas.
func setFlag(v pflag.Value, text string) error {
	if list, ok := v.(pflag.SliceValue); ok {
		return list.Replace(strings.Split(text, ","))
	}
	return v.Set(text)
}

// decodeFile reads TOML strictly: all unknown keys are reported at once, with
// their lines.
func decodeFile(c any, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading configuration: %w", err)
	}
	err = toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(c)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		e := &configError{path: path}
		for _, u := range unknown.Errors {
			line, _ := u.Position()
			e.faults = append(e.faults, fmt.Sprintf("line %d: unknown key %s", line, strings.Join(u.Key(), ".")))
		}
		return e
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return &configError{path, []string{fmt.Sprintf("line %d: %s", line, strings.TrimPrefix(wrong.Error(), "toml: "))}}
	case err != nil:
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

// pathFlag is a path; a relative one is meant from the present folder.
type pathFlag string

func (p *pathFlag) Type() string   { return "DIR" }
func (p *pathFlag) String() string { return string(*p) }

// Set makes the path absolute.
func (p *pathFlag) Set(text string) error {
	abs, err := filepath.Abs(text)
	if err == nil {
		*p = pathFlag(abs)
	}
	return err
}

// fileFlag is a file, or none; a relative path is meant from the present folder.
type fileFlag string

func (p *fileFlag) Type() string   { return "FILE" }
func (p *fileFlag) String() string { return string(*p) }

// Set makes the path absolute.
func (p *fileFlag) Set(text string) error {
	if text == "" {
		*p = ""
		return nil
	}
	abs, err := filepath.Abs(text)
	if err == nil {
		*p = fileFlag(abs)
	}
	return err
}

// shareFlag is --share NAME=DIR: the folders of a map of shares. Given at all,
// it says which shares there are; what a file says besides of a share of the
// same name stays.
type shareFlag[S any] struct {
	shares *map[string]S
	dir    func(*S) *string
}

func (v *shareFlag[S]) Type() string { return "NAME=DIR" }

func (v *shareFlag[S]) String() string {
	if v.shares == nil {
		return ""
	}
	return strings.Join(v.GetSlice(), ",")
}

// Set adds one share.
func (v *shareFlag[S]) Set(text string) error { return v.Append(text) }

// Append adds one share.
func (v *shareFlag[S]) Append(text string) error {
	name, dir, ok := strings.Cut(text, "=")
	if !ok || name == "" || dir == "" {
		return fmt.Errorf("%q: want NAME=DIR", text)
	}
	if *v.shares == nil {
		*v.shares = make(map[string]S)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s := (*v.shares)[name]
	*v.dir(&s) = dir
	(*v.shares)[name] = s
	return nil
}

// Replace makes these the only shares.
func (v *shareFlag[S]) Replace(texts []string) error {
	before := *v.shares
	*v.shares = make(map[string]S)
	for _, text := range texts {
		if name, _, ok := strings.Cut(text, "="); ok {
			if s, known := before[name]; known {
				(*v.shares)[name] = s
			}
		}
		if err := v.Append(text); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice returns the shares as they would be given, in order of their names.
func (v *shareFlag[S]) GetSlice() []string {
	var out []string
	for name, s := range *v.shares {
		out = append(out, name+"="+*v.dir(&s))
	}
	slices.Sort(out)
	return out
}
