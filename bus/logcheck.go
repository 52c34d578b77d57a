package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

// ErrLogBroken is returned when the stream is there and takes no events: the
// server remembers a failed write for as long as the stream lives, also when the
// disk has space again (nats-server 2.15, fileStore.werr), and it goes on
// writing into files that were deleted under it. [Log.Remake] helps.
var ErrLogBroken = errors.New("event stream takes no events")

// Check says whether the stream is still what this log wrote: nil, ErrLogLost,
// ErrRolledBack or ErrLogBroken, or another error if that is not known. With
// ErrStoreFull, alone or beside ErrLogBroken, there is no room for more. It costs
// one question to the server and a few file attributes, and is meant for a log
// to which nothing is appended, since an Append notices most of it by itself.
func (l *Log) Check(ctx context.Context) error {
	if err := l.check(ctx); err != nil {
		return fmt.Errorf("checking the event log of %s: %w", l.o.Share, err)
	}
	return nil
}

func (l *Log) check(ctx context.Context) error {
	if err := l.notOpened(); err != nil {
		return err
	}
	generation := l.Generation()
	last := l.Last() // before the question, because an Append may be under way
	s, err := l.js.Stream(ctx, l.stream)
	if err != nil {
		return logError("looking at stream "+l.stream, err)
	}
	info := s.CachedInfo()
	past, err := parseHistory(info.Config.Metadata[generationsKey])
	switch {
	case l.Generation() != generation:
		return nil // reopened meanwhile
	case info.State.LastSeq < last:
		return fmt.Errorf("%w: it was at %d, and ends at %d", ErrRolledBack, last, info.State.LastSeq)
	case err != nil || len(past) == 0 || past[len(past)-1].generation != generation:
		return fmt.Errorf("%w: its newest generation is not %s", ErrRolledBack, generation)
	case l.o.Server == nil:
		return nil
	}
	if err := l.o.Server.checkStream(l.stream, l.storedAs()); err != nil {
		return fmt.Errorf("%w: %w", ErrLogBroken, err)
	}
	return l.o.Server.room()
}

// notOpened says why the log has no generation of its own, or nil.
func (l *Log) notOpened() error {
	l.mu.Lock()
	why := l.unopened
	l.mu.Unlock()
	if why == nil {
		return nil
	}
	if err := l.o.Server.room(); err != nil {
		return fmt.Errorf("%w: %w: %w", ErrLogLost, err, why)
	}
	return fmt.Errorf("%w: it could not be opened: %w", ErrLogLost, why)
}

// Remake deletes the stream and makes it anew, with a new generation: for one
// that Check calls broken. What it held is to be appended again. It fails while
// the store's disk is full.
func (l *Log) Remake(ctx context.Context) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if l.o.Server != nil {
		if err := l.o.Server.room(); err != nil {
			return fmt.Errorf("making the event log of %s anew: %w", l.o.Share, err)
		}
	}
	if err := deleteStream(ctx, l.js, l.stream); err != nil {
		return fmt.Errorf("making the event log of %s anew: deleting the old stream: %w", l.o.Share, err)
	}
	if err := l.begin(ctx); err != nil {
		return fmt.Errorf("making the event log of %s anew: %w", l.o.Share, err)
	}
	return nil
}

func (l *Log) storedAs() fs.FileInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored
}

// messagesDir is where the server keeps the stream's messages.
func (s *Server) messagesDir(stream string) string {
	return filepath.Join(s.dir, server.JetStreamStoreDir, streamsAccount, "streams", stream, "msgs")
}

// messages identifies the stream's folder, nil if it is not there.
func (s *Server) messages(stream string) fs.FileInfo {
	fi, err := os.Stat(s.messagesDir(stream))
	if err != nil {
		return nil
	}
	return fi
}

// checkStream says why the server's store does not keep what the stream gets,
// or nil. Its folder was once the one of stored, unless that is nil.
func (s *Server) checkStream(stream string, stored fs.FileInfo) error {
	dir := s.messagesDir(stream)
	fi, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("its files are gone: %w", err)
	}
	if stored != nil && !os.SameFile(fi, stored) {
		return fmt.Errorf("its files are gone: another folder is in the place of %s", dir)
	}
	h := s.ns.Healthz(&server.HealthzOptions{Account: streamsAccount, Stream: stream})
	if h.Error == "" {
		return nil
	}
	if err := s.room(); err != nil {
		return fmt.Errorf("%s: %w", h.Error, err)
	}
	return errors.New(h.Error)
}
