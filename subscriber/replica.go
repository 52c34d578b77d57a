package subscriber

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"waptsync/alive"
	"waptsync/bus"
	"waptsync/index"
)

// Owner is who owns what a replica writes; -1 keeps what the system gives.
type Owner struct{ UID, GID int }

// Options configures a Replica.
type Options struct {
	Share string
	Dir   string // made if it is missing, its parent is there and the state knows no files
	State *State
	Bus   Bus

	// Owner, FileMode and DirMode replace what the main has: owner nil means the
	// service's own, a mode of 0 the main's. Another owner needs the right to chown.
	Owner    *Owner
	FileMode uint32
	DirMode  uint32

	Trash   time.Duration // how long files the main does not have are kept; 0 means 30 days
	Rescan  time.Duration // between two comparisons of folder and state; 0 means 1 h
	MinFree int64         // bytes to leave free on the folder's disk
	Logger  zerolog.Logger
	// Index says which files name others; nil means index.DefaultPatterns.
	Index *index.Rule
	// DeleteGrace is how long a file stays that only a replaced index named:
	// clients may hold that index for hours.
	DeleteGrace time.Duration
	// KeepExtra leaves alone what the main does not have and no tombstone names,
	// instead of moving it to the trash.
	KeepExtra bool
	// Line, if not nil, says how much of the line to the main contents may use. It
	// is one for all shares.
	Line *Line
	// Changed, if not nil, is called when a Report may say something else than
	// before, often, and from several goroutines; it must return at once.
	// Transfers go on without a call.
	Changed func()
}

// Replica keeps one share's folder. Its methods may be called concurrently; Run
// is called once.
type Replica struct {
	o        Options
	log      zerolog.Logger
	state    *shareState
	openFeed func(ctx context.Context) (feed, error)
	now      func() time.Time

	// commit is held by whoever changes the visible part of the folder, the trash
	// or the state.
	commit sync.Mutex

	stop     chan struct{} // poked by Reconcile: end the session
	reread   atomic.Bool   // the next session reconciles
	received atomic.Int64  // content bytes over the wire
	reused   atomic.Int64  // content bytes from the own disk
	drift    atomic.Int64
	trashed  atomic.Int64
	extra    atomic.Int64  // files left alone, as the last look counted them
	retried  chan struct{} // poked when something was put into the waiting bucket
	shown    chan struct{} // poked when an index was replaced

	// following is of the goroutine that things depend on now: Run between two
	// sessions, the committer within one.
	following alive.Loop

	interrupted *interrupted // of the last session; nil: nothing was
	catalog     *catalog     // guarded by commit; nil: to be loaded
	failpoint   func(point string) error

	mu      sync.Mutex
	session *session // the present one, for Report
	trouble error    // why the last one ended, or none can begin
	held    *heldError
}

// New makes a Replica. It opens the share's part of the state and looks at
// nothing else.
func New(o Options) (*Replica, error) {
	if err := bus.ValidName(o.Share); err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("folder %q of share %q: want an absolute path", o.Dir, o.Share)
	}
	if o.State == nil || o.Bus == nil {
		return nil, fmt.Errorf("share %q: a replica needs a state and a bus", o.Share)
	}
	if o.FileMode > 0o777 || o.DirMode > 0o777 {
		return nil, fmt.Errorf("share %q: modes %#o and %#o: want permission bits only", o.Share, o.FileMode, o.DirMode)
	}
	if o.Trash == 0 {
		o.Trash = 30 * 24 * time.Hour
	}
	if o.Rescan == 0 {
		o.Rescan = time.Hour
	}
	if o.Index == nil {
		rule, err := index.NewRule(index.DefaultPatterns)
		if err != nil {
			return nil, err
		}
		o.Index = rule
	}
	if o.Line != nil {
		o.Bus = &metered{Bus: o.Bus, line: o.Line}
	}
	st, err := o.State.share(o.Share)
	if err != nil {
		return nil, err
	}
	return &Replica{
		o:     o,
		log:   o.Logger.With().Str("share", o.Share).Logger(),
		state: st,
		openFeed: func(ctx context.Context) (feed, error) {
			f, err := o.Bus.Feed(ctx, o.Share)
			if err != nil {
				return nil, err
			}
			return f, nil
		},
		now:     time.Now,
		stop:    make(chan struct{}, 1),
		retried: make(chan struct{}, 1),
		shown:   make(chan struct{}, 1),
	}, nil
}

// errAgain ends a session that has to begin anew at once, with another hello.
var errAgain = errors.New("a new hello is needed")

// Pauses between two sessions. There is no event to be had for a folder that
// comes back, so a held share looks again and again.
const (
	leastPause = 100 * time.Millisecond
	mostPause  = 10 * time.Second
	heldPause  = time.Second
)

// Run follows the share until ctx ends, whatever happens to the connection or
// the folder, and returns nil then.
func (r *Replica) Run(ctx context.Context) error {
	r.following.Turn()
	defer r.following.Rest()
	r.recover()
	pause := leastPause
	for ctx.Err() == nil {
		r.following.Turn()
		began := r.now()
		err := r.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		r.note(err)
		if errors.Is(err, errAgain) {
			continue
		}
		if r.now().Sub(began) > time.Minute {
			pause = leastPause
		}
		wait := pause
		if held := (*heldError)(nil); errors.As(err, &held) {
			wait = heldPause
		} else {
			pause = min(2*pause, mostPause)
		}
		r.following.Rest()
		select {
		case <-ctx.Done():
		case <-r.stop: // Reconcile
		case <-r.o.Bus.Changes():
		case <-time.After(wait):
		}
	}
	return nil
}

// Stuck returns an error when nothing has gone on for longer than limit in what
// makes changes visible. A share that is idle, held or without its main is not
// stuck, nor is one whose transfers wait for a disk.
func (r *Replica) Stuck(limit time.Duration) error {
	return r.following.Check("share "+r.o.Share+": the replica", limit)
}

// changed tells that a report may say something else.
func (r *Replica) changed() {
	if r.o.Changed != nil {
		r.o.Changed()
	}
}

// note remembers why a session ended, and logs it when it is news.
func (r *Replica) note(err error) {
	defer r.changed()
	r.mu.Lock()
	defer r.mu.Unlock()
	var held *heldError
	errors.As(err, &held)
	news := err != nil && (r.trouble == nil || r.trouble.Error() != err.Error())
	r.trouble, r.held = err, held
	switch {
	case !news || errors.Is(err, errAgain):
	case held != nil:
		r.log.Error().Err(err).Str("hint", held.hint).Msg("share is held: nothing is applied or deleted")
	case errors.Is(err, bus.ErrFeedLost):
		r.log.Info().Err(err).Msg("feed ended; saying hello again")
	default:
		r.log.Warn().Err(err).Msg("following failed; trying again")
	}
}

// Reconcile compares the whole folder with what the main has, soon. It is also
// the way to say that a folder which is held is right as it is.
func (r *Replica) Reconcile() {
	r.reread.Store(true)
	poke(r.stop)
}

// attributes are what ev's path is given on this disk.
func (r *Replica) attributes(ev *bus.Event) attributes {
	a := attributes{mode: ev.Mode, uid: -1, gid: -1, mtime: ev.MTime}
	if ev.Kind == bus.KindDir {
		a.mode = r.dirMode(ev.Mode)
	} else if r.o.FileMode != 0 {
		a.mode = r.o.FileMode
	}
	if r.o.Owner != nil {
		a.uid, a.gid = r.o.Owner.UID, r.o.Owner.GID
	}
	return a
}

// newDirMode is the main's likely mode of a folder whose own event comes later.
const newDirMode = 0o755

// dirMode keeps a folder open for its owner, unless the service may write
// everywhere: else it could not bring in what is beneath.
func (r *Replica) dirMode(mode uint32) uint32 {
	if r.o.DirMode != 0 {
		mode = r.o.DirMode
	}
	if !privileged() {
		mode |= 0o700
	}
	return mode
}

// differs says whether st lacks something that a demands. Times are judged by
// the caller.
func (a *attributes) differs(st stat) bool {
	return st.mode != a.mode || a.uid >= 0 && st.uid >= 0 && st.uid != a.uid || a.gid >= 0 && st.gid >= 0 && st.gid != a.gid
}
