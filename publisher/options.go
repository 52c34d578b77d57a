package publisher

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/objects"
)

// EventLog is what the publisher needs of a share's event stream.
type EventLog interface {
	Append(ctx context.Context, events []*bus.Event) (uint64, error)
	Replay(ctx context.Context, fn func(seq uint64, e *bus.Event) error) error
	Generation() uuid.UUID
	Last() uint64
	// Check says whether the stream still is what was written: nil,
	// bus.ErrLogLost, bus.ErrRolledBack or bus.ErrLogBroken, and with
	// bus.ErrStoreFull that there is no room for more.
	Check(ctx context.Context) error
	// Reopen begins a new generation after bus.ErrLogLost or bus.ErrRolledBack.
	Reopen(ctx context.Context) error
	// Remake does so after bus.ErrLogBroken, with an empty stream.
	Remake(ctx context.Context) error
}

// ObjectWindow is what the publisher needs of a share's objects stream. Put is
// called by several goroutines at once.
type ObjectWindow interface {
	Put(ctx context.Context, id objects.ID, data []byte) error
	Flush(ctx context.Context) error
	MaxBytes() int64
}

// ManifestStore remembers encoded manifests across restarts, so that asking for
// one does not read its file again. Losing it is harmless.
type ManifestStore interface {
	Get(id objects.ID) ([]byte, bool)
	Put(id objects.ID, encoded []byte)
}

var (
	_ EventLog     = (*bus.Log)(nil)
	_ ObjectWindow = (*bus.Window)(nil)
)

// HoldLimit is how much may vanish at once without an administrator's word. A
// deletion is held when it goes beyond both.
type HoldLimit struct {
	Paths int     // 0 means 100
	Share float64 // of the known paths, 0 to 1; 0 means 0.2
}

// Options configures one share's publisher.
type Options struct {
	Share string
	Dir   string

	// Exclude are patterns on top of the defaults; see [Excludes].
	Exclude []string
	// MD5 makes events carry the MD5 too: for shares with a WAPT index.
	MD5 bool

	Log       EventLog
	Window    ObjectWindow  // nil: contents are only fetched
	Manifests ManifestStore // nil: manifests are kept in memory only

	Rescan      time.Duration // between full scans; 0 means an hour
	Quiet       time.Duration // without change until a file counts as written, where leases are refused; 0 means 500 ms
	DeleteDelay time.Duration // until a path that is gone counts as deleted; 0 means a second
	Poll        time.Duration // between scans of what cannot be watched; 0 means 10 s
	Hold        HoldLimit

	// Index says which files name other files; nil means none does.
	Index *index.Rule
	// IndexLimit is for how long an index waits for what it names before it is
	// published as incomplete; 0 means 5 minutes.
	IndexLimit time.Duration
	// IndexDelay is until an index that is gone counts as deleted: WAPT unlinks
	// Packages before it moves the new one in; 0 means 30 s.
	IndexDelay time.Duration

	// StateFile is where the publisher remembers an administrator's hold and
	// which folder it published; "" means until its end only. The folder of the
	// file must exist, apart from Dir.
	StateFile string

	Hashers int // files hashed at once; 0 means GOMAXPROCS

	Logger zerolog.Logger
}

func (o *Options) setDefaults() error {
	if err := bus.ValidName(o.Share); err != nil {
		return fmt.Errorf("share: %w", err)
	}
	if o.Log == nil {
		return errors.New("no event log")
	}
	dir, err := filepath.Abs(o.Dir)
	if o.Dir == "" || err != nil {
		return fmt.Errorf("folder %q of share %s: not usable", o.Dir, o.Share)
	}
	o.Dir = dir
	for d, v := range map[*time.Duration]time.Duration{
		&o.Rescan:      time.Hour,
		&o.Quiet:       500 * time.Millisecond,
		&o.DeleteDelay: time.Second,
		&o.Poll:        10 * time.Second,
		&o.IndexLimit:  5 * time.Minute,
		&o.IndexDelay:  30 * time.Second,
	} {
		if *d <= 0 {
			*d = v
		}
	}
	if o.Hold.Paths <= 0 {
		o.Hold.Paths = 100
	}
	if o.Hold.Share <= 0 {
		o.Hold.Share = 0.2
	}
	if o.Hashers <= 0 {
		o.Hashers = runtime.GOMAXPROCS(0)
	}
	return nil
}
