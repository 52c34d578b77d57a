package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/publisher"
)

const (
	manifestsDir = "manifests" // in the data folder: what is remembered of files' objects
	sharesDir    = "shares"    // in the data folder: an administrator's holds, and which folders were published
)

// withoutIndex is the share that has no index by WAPT's rules: its packages are
// named by their hosts, and no MD5 is asked for.
const withoutIndex = "wapt-host"

// openShares opens the shares' streams and windows, and their folders' publishers.
func (s *publishService) openShares(ctx context.Context, names []string, data *dataDir) error {
	// The windows come first, because the events get what they do not reserve.
	windows := make(map[string]*bus.Window)
	for _, name := range names {
		window, err := s.openWindow(ctx, name)
		if err != nil {
			return err
		}
		if window != nil {
			windows[name] = window
		}
	}
	var missing []error
	for _, name := range names {
		log, err := bus.OpenLog(ctx, s.server.JetStream(), bus.LogOptions{
			Share: name, TombstoneTTL: time.Duration(s.config.Tombstones), Server: s.server, Log: s.log,
		})
		if err != nil {
			return withHint(err, s.roomHint())
		}
		s.logs[name] = log
		// A folder that was published before and is not there now may be a disk
		// that is not mounted yet: its publisher holds the share and waits. One
		// that was never there is a mistake.
		if log.Last() == 0 {
			missing = append(missing, checkFolder(name, s.config.Shares[name].Dir))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return withHint(err, "make the folder or mount its disk, or correct --share NAME=DIR")
	}
	for _, dir := range []string{manifestsDir, sharesDir} {
		if err := os.MkdirAll(data.join(dir), 0o700); err != nil {
			return fmt.Errorf("making the folder %s: %w", data.join(dir), err)
		}
	}
	for _, name := range names {
		if err := s.openShare(name, windows[name], data); err != nil {
			return fmt.Errorf("opening share %s: %w", name, err)
		}
	}
	return nil
}

func checkFolder(share, dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", dir)
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", share, err)
	}
	return nil
}

// roomHint says how the bus's store gets more room.
func (s *publishService) roomHint() string {
	return fmt.Sprintf("make room on the disk of %s, or set window and max-store to what it has, or put --data on a larger one", s.server.Dir())
}

// openWindow opens a share's window as large as it may be; nil means none. That
// it is smaller than configured is no reason not to start: what is not in the
// window is fetched.
func (s *publishService) openWindow(ctx context.Context, share string) (*bus.Window, error) {
	if s.config.Window == 0 {
		return nil, s.server.DropWindow(ctx, share)
	}
	window, err := s.server.OpenWindow(ctx, share, int64(s.config.Window))
	var note string
	switch {
	case errors.Is(err, bus.ErrNoWindow):
		note = fmt.Sprintf("switched off until the next start: there is no room for the least of %s, and %s is configured", showBytes(bus.MinWindow), s.config.Window)
	case err != nil:
		return nil, withHint(err, s.roomHint())
	case window.MaxBytes() < int64(s.config.Window):
		note = fmt.Sprintf("made smaller until the next start: %s in the place of %s", showBytes(window.MaxBytes()), s.config.Window)
	default:
		return window, nil
	}
	s.windowNotes[share] = bus.PathProblem{Path: ".", Op: "window", Cause: note + "; remotes fetch what is not in it", Hint: s.roomHint()}
	s.log.Warn().Str("share", share).Str("hint", s.roomHint()).Msg("the window is " + note)
	return window, nil
}

func (s *publishService) openShare(name string, window *bus.Window, data *dataDir) error {
	// One store a share: each publisher forgets there what its own share has no use for.
	manifests, err := publisher.OpenManifests(data.join(filepath.Join(manifestsDir, name+".db")))
	if err != nil {
		return err
	}
	s.manifests = append(s.manifests, manifests)
	c := s.config.Shares[name]
	rule, err := index.NewRule(c.indexPatterns())
	if err != nil {
		return err
	}
	o := publisher.Options{
		Share: name, Dir: c.Dir, Exclude: c.Exclude, MD5: !c.NoMD5 && name != withoutIndex, Log: s.logs[name], Manifests: manifests,
		Rescan: time.Duration(c.Rescan), Quiet: time.Duration(c.Quiet), DeleteDelay: time.Duration(c.DeleteDelay),
		Hold:  publisher.HoldLimit{Paths: c.HoldPaths, Share: c.HoldPart},
		Index: rule, IndexLimit: time.Duration(c.IndexLimit), IndexDelay: time.Duration(c.IndexDelay),
		StateFile: data.join(filepath.Join(sharesDir, name+".json")), Logger: s.log,
	}
	if window != nil {
		o.Window = window
	}
	s.shares[name], err = publisher.New(o)
	return err
}

func showShare(st publisher.Status) mainShare {
	return mainShare{
		Dir: st.Dir, State: st.State, Held: st.Held, Files: st.Files, Bytes: st.Bytes, Newest: st.Newest,
		Watch: st.Mode, Scanned: st.ScannedFiles, Hashed: st.HashedBytes, Events: st.Events,
		Errors: int64(st.Errors), Skipped: int64(st.Skipped), Problems: st.Problems,
		Indexes: st.Indexes,
	}
}

// Approve lets a held share go on: what vanished on the main is deleted on the remotes.
func (s *publishService) Approve(share string) error {
	p, err := s.share(share)
	if err != nil {
		return err
	}
	return p.Approve()
}

// Hold publishes nothing of a share until it is approved.
func (s *publishService) Hold(share, reason string) error {
	p, err := s.share(share)
	if err != nil {
		return err
	}
	return p.Hold(reason)
}

// Rescan looks at a share's whole folder now.
func (s *publishService) Rescan(share string) error {
	p, err := s.share(share)
	if err != nil {
		return err
	}
	p.Rescan()
	return nil
}

func (s *publishService) share(name string) (*publisher.Publisher, error) {
	if p := s.shares[name]; p != nil {
		return p, nil
	}
	return nil, s.noShare(name)
}
