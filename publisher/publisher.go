package publisher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"

	"waptsync/alive"
	"waptsync/bus"
)

// Publisher publishes one share. Its methods may be called concurrently.
type Publisher struct {
	o         Options
	exclude   *Excludes
	log       zerolog.Logger
	problems  problemBook
	manifests *manifestCache
	readers   *readerCache
	making    singleflight.Group // manifests being made again, by ID

	calls    chan func(*session) // run by the session
	rescan   chan struct{}
	recheck  chan string // paths that a fetch found changed
	approved atomic.Bool // the next session may publish mass deletions
	inMemory atomic.Bool // no session keeps the published state in a file any more

	hashedFiles, hashedBytes atomic.Int64
	events                   atomic.Int64

	writers func(*os.File) settled // asks whether a file has writers
	refuse  func(dir string) error // not nil: stands in for the kernel that refuses a watch, or wholeWatcher

	checkPeriod time.Duration // between looks at the event stream

	following  alive.Loop // the session, and what is between two
	committing alive.Loop // its committer

	remembering sync.Mutex // held while the memory is written

	mu      sync.Mutex
	session *session // nil when none runs
	watch   *watcher
	scan    *scan // the newest full one
	held    string
	memory  memory
	marked  bool
	newest  time.Time
}

// New makes a publisher; Run starts it.
func New(o Options) (*Publisher, error) {
	if err := o.setDefaults(); err != nil {
		return nil, fmt.Errorf("publisher: %w", err)
	}
	x, err := NewExcludes(o.Exclude)
	if err != nil {
		return nil, fmt.Errorf("publisher of share %s: %w", o.Share, err)
	}
	p := &Publisher{
		o: o, exclude: x,
		log:     o.Logger.With().Str("share", o.Share).Logger(),
		calls:   make(chan func(*session)),
		rescan:  make(chan struct{}, 1),
		recheck: make(chan string, 256),
	}
	p.manifests = newManifestCache(o.Manifests)
	p.readers = newReaderCache()
	p.writers = writers
	p.checkPeriod = checkPeriod
	if p.memory, err = readMemory(o.StateFile); err != nil {
		// A hold must not be forgotten because its file is damaged.
		p.log.Error().Err(err).Msg("share held: its state file cannot be read")
		p.memory.Hold = fmt.Sprintf("held, because it is not known whether it was: %v", err)
	}
	p.held = p.memory.Hold
	return p, nil
}

// Run publishes until ctx ends, and returns its error, or one that makes going
// on pointless: the event log could not be read back. A missing folder is
// waited for.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.readers.close()
	defer p.following.Rest()
	for {
		f, err := p.waitFolder(ctx)
		if err != nil {
			return err
		}
		err = newSession(p, f).run(ctx)
		p.readers.close()
		f.close()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, bus.ErrLogLost), errors.Is(err, bus.ErrRolledBack):
			p.log.Warn().Err(err).Msg("the event stream is not what it was: publishing the folder anew")
			if err := p.mendLog(ctx, p.o.Log.Reopen); err != nil {
				return err
			}
		case errors.Is(err, bus.ErrLogBroken):
			p.log.Warn().Err(err).Msg("the event stream takes nothing any more: making it anew and publishing the folder")
			if err := p.mendLog(ctx, p.o.Log.Remake); err != nil {
				return err
			}
		case !errors.Is(err, errAgain):
			return err
		}
	}
}

// mendLog begins another generation, however long the server needs for it.
func (p *Publisher) mendLog(ctx context.Context, mend func(context.Context) error) error {
	for pause := appendRetryMin; ; pause = min(2*pause, appendRetryMax) {
		p.following.Turn()
		err := mend(ctx)
		if err == nil {
			p.problems.clear(logProblem)
			return nil
		}
		p.problems.note(logProblem, "reopen", err.Error(), logAdvice(err))
		p.log.Error().Err(err).Dur("again", pause).Msg("the event stream cannot be opened, will be tried again")
		p.following.Rest()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// waitFolder opens the share's folder as soon as it is there.
func (p *Publisher) waitFolder(ctx context.Context) (*folder, error) {
	tick := time.NewTicker(healthPeriod)
	defer tick.Stop()
	for {
		p.following.Turn()
		f, err := openFolder(p.o.Dir, p.exclude)
		if err == nil {
			if p.manualHold() == "" {
				p.setHeld("")
			}
			return f, nil
		}
		reason := fmt.Sprintf("the folder is not there: %v", err)
		if p.setHeld(reason) {
			p.log.Warn().Str("reason", reason).Msg("share held until its folder is there")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		case <-p.rescan:
		}
	}
}

// Stuck returns an error when nothing has gone on for longer than limit in what
// decides or in what stores events. An idle share, and one whose folder is missing,
// is not stuck, nor is one whose hashers wait for a disk.
func (p *Publisher) Stuck(limit time.Duration) error {
	return errors.Join(
		p.following.Check("share "+p.o.Share+": the publisher", limit),
		p.committing.Check("share "+p.o.Share+": storing events", limit))
}

// Rescan asks for a scan of the whole folder.
func (p *Publisher) Rescan() {
	select {
	case p.rescan <- struct{}{}:
	default: // one is asked for already
	}
}

// Approve lets a held share go on. A missing folder cannot be approved: an empty
// one in its place can.
func (p *Publisher) Approve() error {
	answer := make(chan error, 1)
	if err := p.call(func(s *session) {
		err := s.approve()
		if err == nil {
			err = p.change(func(m *memory) { m.Hold = "" }) // before another session asks
		}
		answer <- err
	}); err != nil {
		return err
	}
	return <-answer
}

// Hold stops publishing until Approve, across a restart of the service too
// unless an error says otherwise.
func (p *Publisher) Hold(reason string) error {
	if reason == "" {
		reason = "held by an administrator"
	}
	err := p.change(func(m *memory) { m.Hold = reason })
	_ = p.call(func(s *session) { s.hold(holdManual, reason) }) // the next session looks for itself
	return err
}

// call has the running session run fn.
func (p *Publisher) call(fn func(*session)) error {
	p.mu.Lock()
	s := p.session
	p.mu.Unlock()
	if s == nil {
		return fmt.Errorf("share %s is not being published: its folder is missing, or its state is being read back", p.o.Share)
	}
	select {
	case p.calls <- fn:
		return nil
	case <-s.ctx.Done():
		return fmt.Errorf("share %s: publishing ended", p.o.Share)
	}
}

// publish makes a session's state visible to the other methods.
func (p *Publisher) publish(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session, p.marked = s, false
}

func (p *Publisher) unpublish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session, p.watch, p.scan = nil, nil, nil
}

func (p *Publisher) setWatch(w *watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = w
}

func (p *Publisher) setScan(s *scan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scan = s
}

// setHeld says why the share is held, "" being not, and whether that is news.
func (p *Publisher) setHeld(reason string) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed = p.held != reason
	p.held = reason
	return changed
}

func (p *Publisher) manualHold() string { return p.remembered().Hold }

func (p *Publisher) appended(events int, at time.Time, marked bool) {
	p.events.Add(int64(events))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = at
	p.marked = p.marked || marked
}

// running returns the present session, nil if there is none.
func (p *Publisher) running() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session
}
