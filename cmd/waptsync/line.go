package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/rs/zerolog"

	"waptsync/bandwidth"
	"waptsync/bus"
	"waptsync/subscriber"
)

// remoteLine is a remote's line to the main, with what has to be remembered of
// it over a restart: else a remote would use all of its line until it hears from
// the main again. Its methods may be called concurrently.
type remoteLine struct {
	line       *subscriber.Line
	path       string
	configured bandwidth.Rule
	log        zerolog.Logger

	mu   sync.Mutex
	kept keptLine
	told string // the main's rule that could not be read
}

// keptLine is the file.
type keptLine struct {
	// Own is the remote's own rule as a command set it, instead of the configured
	// one, which was Instead; it holds until the configuration changes.
	Own     *bandwidth.Rule `json:"own,omitempty"`
	Instead bandwidth.Rule  `json:"instead,omitzero"`
	Main    bandwidth.Rule  `json:"main,omitzero"`
	Passing bool            `json:"passing,omitempty"`
}

const lineFile = "bandwidth.json"

// openLine reads what is remembered.
func openLine(data *dataDir, configured bandwidth.Rule, log zerolog.Logger) (*remoteLine, error) {
	l := &remoteLine{line: subscriber.NewLine(), path: data.join(lineFile), configured: configured, log: log}
	text, err := os.ReadFile(l.path)
	if err == nil {
		err = json.Unmarshal(text, &l.kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(fmt.Errorf("reading the bandwidth rules in %s: %w", l.path, err),
			"remove the file: the main's rule comes again with the next report, one of your own is set with `waptsync bandwidth`")
	}
	if l.kept.Own != nil && l.kept.Instead.String() != configured.String() {
		l.kept.Own, l.kept.Instead = nil, bandwidth.Rule{} // the configuration is newer
	}
	l.line.SetOwn(l.own())
	l.line.SetMain(l.kept.Main)
	l.line.Pass(l.kept.Passing)
	return l, nil
}

// own is the remote's own rule; l.mu must be held.
func (l *remoteLine) own() bandwidth.Rule {
	if l.kept.Own != nil {
		return *l.kept.Own
	}
	return l.configured
}

// SetOwn replaces the remote's own rule until the configuration changes; nil
// returns to the configured one.
func (l *remoteLine) SetOwn(rule *bandwidth.Rule) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.kept
	next.Own, next.Instead = rule, bandwidth.Rule{}
	if rule != nil {
		next.Instead = l.configured
	}
	if err := l.keep(next); err != nil {
		return err
	}
	l.line.SetOwn(l.own())
	l.log.Info().Str("rule", l.own().String()).Msg("the bandwidth rule of this remote is changed")
	return nil
}

// heed takes the main's rule as it came with the answer to a report. It says
// whether that is another one.
func (l *remoteLine) heed(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rule bandwidth.Rule
	if err := rule.UnmarshalText([]byte(text)); err != nil {
		if l.told != text {
			l.log.Error().Err(err).Msg("the main's bandwidth rule cannot be read; the one before holds")
		}
		l.told = text
		return false
	}
	l.told = ""
	if rule.String() == l.kept.Main.String() {
		return false
	}
	next := l.kept
	next.Main = rule
	if err := l.keep(next); err != nil { // it holds all the same
		l.log.Warn().Err(err).Msg("the main's bandwidth rule is not remembered; after a restart it comes again with the first report")
		l.kept = next
	}
	l.line.SetMain(rule)
	l.log.Info().Str("rule", text).Msg("the main changed the bandwidth rule of this remote")
	return true
}

// pass lets everything flow until all shares are level, or ends that.
func (l *remoteLine) pass(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept.Passing == on {
		return
	}
	next := l.kept
	next.Passing = on
	if err := l.keep(next); err != nil {
		l.log.Warn().Err(err).Msg("that the bandwidth rules are passed over is not remembered for a restart")
		l.kept = next
	}
	l.line.Pass(on)
}

// passing says whether the rules are passed over.
func (l *remoteLine) passing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.Passing
}

// keep writes the file, whole or not at all. l.mu must be held.
func (l *remoteLine) keep(next keptLine) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := bus.WriteDurably(l.path, append(text, '\n')); err != nil {
		return fmt.Errorf("remembering the bandwidth rules: %w", err)
	}
	l.kept = next
	return nil
}

// report is how the line is used now.
func (l *remoteLine) report() *bus.BandwidthReport {
	s := l.line.State()
	return &bus.BandwidthReport{Own: s.Own.String(), Main: s.Main.String(), Now: s.Now.String(), Until: s.Until, Passing: s.Passing}
}
