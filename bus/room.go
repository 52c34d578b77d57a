package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// MinWindow is the least that a window has, in bytes: below it everything
	// is fetched.
	MinWindow = 8 << 20
	// smallStore is what a small disk gives to the events although that is more
	// than a quarter of it: some 500,000 paths. Without events nothing is published.
	smallStore = 256 << 20
	leastStore = 1 << 20 // the server takes 0 for three quarters of the disk
	// minFree is the free space below which the store is called full: the server
	// needs some to write what it already promised. Of a small disk it is an eighth.
	minFree = 64 << 20
)

// ErrNoWindow is returned where the store has no room for a window of MinWindow.
var ErrNoWindow = errors.New("there is no room for a window")

// budget divides the store's room: at most maxStore bytes if that is not 0, else
// a quarter of what is free or the store's own already. What it has counts, else
// the bounds would shrink at each start. The windows get what they reserve, at
// most seven eighths, and leave half of the disk: a disk that they filled would
// take no events.
func budget(free, used, maxStore int64) (store, windows int64) {
	bulk := maxStore
	store = maxStore
	if maxStore <= 0 {
		bulk = (free + used) / 4
		store = max(bulk, used+min(free/2, smallStore), leastStore)
	}
	return store, min(bulk-bulk/8, (free+used)/2)
}

// roomOf returns what is free at the store's folder and what it has, in bytes. What
// goes meanwhile has none: the server deletes files of streams in the background.
func roomOf(dir string) (free, used int64, err error) {
	if free, _, err = diskSpace(dir); err != nil {
		return 0, 0, err
	}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		used += fi.Size()
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("size of the store: %w", err)
	}
	return free, used, nil
}

// ErrStoreFull is returned while the disk of the bus's store has no space.
var ErrStoreFull = errors.New("the disk of the bus's store is full")

// room says that the store's disk is full, or nil.
func (s *Server) room() error {
	free, size, err := diskSpace(s.dir)
	if err != nil {
		return err
	}
	if free < min(minFree, size/8) {
		return fmt.Errorf("%w: %d MiB are free at %s", ErrStoreFull, free>>20, s.dir)
	}
	return nil
}

// Dir is the store's folder.
func (s *Server) Dir() string { return s.dir }

// OpenWindow opens a share's window of at most maxBytes on the connection that
// the main keeps for bulk bytes, so that an event does not wait behind objects.
// It is smaller where the store has no room for that much in each share's
// window; [Window.MaxBytes] tells. ErrNoWindow means that there is none, and one
// of an earlier start is gone too: windows are to be opened before event logs,
// to which they leave what they reserved. On a full disk the window begins to
// take objects once there is room.
func (s *Server) OpenWindow(ctx context.Context, share string, maxBytes int64) (*Window, error) {
	fits := min(maxBytes, s.windows/int64(max(1, len(s.shares))))
	if maxBytes >= MinWindow && fits < MinWindow {
		if err := s.DropWindow(ctx, share); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("opening the window of %s: %w: %d MiB are to be had for it", share, ErrNoWindow, fits>>20)
	}
	w, err := newWindow(s.bulkJS, share, fits)
	if err != nil {
		return nil, err
	}
	w.server = s
	err = whenReady(ctx, readyPatience, func() error { return w.open(ctx) })
	if noReservation(err) {
		// The server makes no window smaller while all that is reserved is too much.
		if err = s.DropWindow(ctx, share); err == nil {
			err = w.open(ctx)
		}
	}
	if err != nil {
		err = fmt.Errorf("opening the window of %s: %w", share, err)
		if s.room() == nil || ctx.Err() != nil {
			return nil, err
		}
		s.log.Warn().Err(err).Str("share", share).Msg("the window takes nothing until the disk of the store has room")
		w.rest()
	}
	return w, nil
}

// DropWindow deletes a share's window and gives up what it reserved; what it
// held is fetched from the files. No window is no error.
func (s *Server) DropWindow(ctx context.Context, share string) error {
	err := whenReady(ctx, readyPatience, func() error { return deleteStream(ctx, s.js, objectsStream(share)) })
	if err != nil {
		return fmt.Errorf("dropping the window of %s: %w", share, err)
	}
	return nil
}

// noReservation says whether the server refused a stream since its store has no
// room left to reserve.
func noReservation(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == storageExceeded
}

// storageExceeded is the server's JSStorageResourcesExceededErr.
const storageExceeded jetstream.ErrorCode = 10047

// remake deletes a stream that takes nothing any more, as after a full disk, and
// makes it anew by open. It returns why the stream was broken, nil if it is well,
// and fails while the disk has no room.
func (s *Server) remake(ctx context.Context, js jetstream.JetStream, stream string, open func(context.Context) error) (broken, err error) {
	if broken = s.checkStream(stream, nil); broken == nil {
		return nil, s.room()
	}
	if err := s.room(); err != nil {
		return broken, fmt.Errorf("%w: %w", broken, err)
	}
	if err := deleteStream(ctx, js, stream); err != nil {
		return broken, fmt.Errorf("%w: deleting the old stream: %w", broken, err)
	}
	if err := open(ctx); err != nil {
		return broken, fmt.Errorf("%w: making the stream anew: %w", broken, err)
	}
	return broken, nil
}

// deleteStream deletes a stream. No stream is no error.
func deleteStream(ctx context.Context, js jetstream.JetStream, stream string) error {
	if err := js.DeleteStream(ctx, stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return nil
}
