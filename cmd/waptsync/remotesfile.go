package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"waptsync/bandwidth"
	"waptsync/bus"
)

// remotesFile is a list of remotes that configuration management keeps.
type remotesFile struct {
	Remotes map[string]remoteEntry `toml:"remote" json:"remote"`
}

// remoteEntry is one remote of the list.
type remoteEntry struct {
	// ID is what `waptsync id` prints there, U….
	ID string `toml:"id" json:"id"`
	// Shares may be left out, which means all.
	Shares []string `toml:"shares" json:"shares"`
	// Paused may be left out, which leaves it to `waptsync remote pause`.
	Paused *bool `toml:"paused" json:"paused"`
	// Bandwidth is the rule for the remote's line, empty for none; it may be left
	// out, which leaves it to `waptsync bandwidth`.
	Bandwidth *bandwidth.Rule `toml:"bandwidth" json:"bandwidth"`
}

// remotesRest gathers what a tool that writes the file does in several steps.
const remotesRest = 200 * time.Millisecond

// readRemotes reads the list, JSON if its name ends so, else TOML, and names
// all that is wrong with it.
func readRemotes(path string, published []string) ([]bus.ManagedRemote, error) {
	var f remotesFile
	if strings.EqualFold(filepath.Ext(path), ".json") {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the remotes: %w", err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&f); err != nil {
			return nil, fmt.Errorf("remotes %s: %w", path, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("remotes %s: something follows the list", path)
		}
	} else if err := decodeFile(&f, path); err != nil {
		return nil, err
	}
	var list []bus.ManagedRemote
	var bad []string
	for _, name := range slices.Sorted(maps.Keys(f.Remotes)) {
		e := f.Remotes[name]
		if e.Shares == nil {
			e.Shares = published
		}
		for _, share := range e.Shares {
			if !slices.Contains(published, share) {
				bad = append(bad, fmt.Sprintf("remote.%s: share %q is not published here", name, share))
			}
		}
		list = append(list, bus.ManagedRemote{Name: name, ID: e.ID, Shares: e.Shares, Paused: e.Paused, Bandwidth: e.Bandwidth})
	}
	if len(bad) > 0 {
		return nil, &configError{path, bad}
	}
	return list, nil
}

// syncRemotes makes the registry follow the list. On an error it stays as it was.
func (s *publishService) syncRemotes() (bus.SyncResult, error) {
	list, err := readRemotes(s.config.Remotes, slices.Sorted(maps.Keys(s.config.Shares)))
	if err != nil {
		return bus.SyncResult{}, err
	}
	done, err := s.registry.Sync(list)
	if err != nil {
		return done, fmt.Errorf("remotes %s: %w", s.config.Remotes, err)
	}
	if !done.Empty() {
		s.log.Info().Str("file", s.config.Remotes).Strs("added", done.Added).Strs("changed", done.Changed).
			Strs("removed", done.Removed).Msg("the list of remotes was taken over")
	}
	return done, nil
}

// followRemotes takes the list over whenever it changes, and at SIGHUP.
func (s *publishService) followRemotes(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var changes chan fsnotify.Event
	var lost chan error
	// The folder, because tools replace the file, or a link to it.
	if w, err := fsnotify.NewWatcher(); err != nil {
		s.log.Warn().Err(err).Msg("the list of remotes is not watched: send SIGHUP after a change")
	} else {
		defer w.Close()
		if err := w.Add(filepath.Dir(s.config.Remotes)); err != nil {
			s.log.Warn().Err(err).Msg("the list of remotes is not watched: send SIGHUP after a change")
		}
		changes, lost = w.Events, w.Errors
	}
	rest := time.NewTimer(remotesRest) // once now: it may have changed since the start
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			rest.Reset(0)
		case <-changes:
			rest.Reset(remotesRest)
		case <-lost: // events were lost
			rest.Reset(remotesRest)
		case <-rest.C:
			s.retakeRemotes(ctx)
		}
	}
}

func (s *publishService) retakeRemotes(ctx context.Context) {
	done, err := s.syncRemotes()
	if err == nil && !done.Empty() {
		if err = s.apply(); err == nil {
			err = s.tidy(ctx, "the list of remotes")
		}
	}
	s.mu.Lock()
	news := err != nil && (s.remotesErr == nil || s.remotesErr.Error() != err.Error())
	s.remotesErr = err
	for _, name := range done.Removed {
		delete(s.reports, name)
	}
	s.mu.Unlock()
	if news {
		s.log.Error().Err(err).Msg("the list of remotes is not taken over; what was before holds")
	}
}
