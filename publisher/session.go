package publisher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"waptsync/bus"
	"waptsync/objects"
)

const (
	// largeFile is the size in bytes from which files have hashers of their
	// own, so that a package of 4 GB does not delay a host package.
	largeFile = 8 << 20
	// maxActive bounds the works that scans may have under way, and so the
	// memory of a first copy. Watch events are bounded by the paths themselves.
	maxActive = 8192
	// maxBatch is how many events one append may have: JetStream's own bound
	// of an atomic batch.
	maxBatch = 1000
	maxSubs  = 2 // scans of new directories at a time
)

// errAgain ends a session that must begin anew: another generation of the event
// stream, or another folder.
var errAgain = errors.New("begin again")

// session is one life of a publisher between two replays of the event log. One
// goroutine runs it and owns all fields below the first group.
type session struct {
	// ctx ends with the session: its goroutines are started from its methods.
	ctx        context.Context
	p          *Publisher
	o          *Options
	log        zerolog.Logger
	folder     *folder
	tree       *tree
	hasher     *hasher
	problems   *problemBook
	generation uuid.UUID

	// announced are the files of the batch that is being appended: a remote may
	// have their events, and ask for the content, before the tree has them.
	announced sync.Map // path → entry

	works  map[string]*work
	times  timetable
	small  queue
	large  queue
	ready  queue
	inHand int // works with hashers
	gone   *goneSet
	tombs  map[string]int // tombstones under way, by the directory above
	recent recentDeletes
	// indexes: what the share's indexes name.
	indexes *indexBook

	watch    *watcher // nil: everything is scanned by timer
	warned   bool     // of what cannot be watched
	trusted  bool     // no watch event was lost since the last full scan
	nextPoll time.Time

	scanning bool // a full scan runs
	again    bool // another is to follow
	nextScan time.Time
	subs     []subscan
	subSet   map[subscan]bool
	subsRun  int

	firstLeft  int  // works of the first scan that the marker waits for
	firstDone  bool // the first scan itself is through
	markerMade bool

	another      string // how the folder is not the one published last
	holding      holdKind
	reason       string
	holdLook     time.Duration
	nextHoldLook time.Time
	looking      bool // for what a folder lacks
	lacked       int  // of what is published, at the last look; -1 without one
	approved     bool
	nextHealth   time.Time
	checking     bool // a look at the event stream is under way
	nextCheck    time.Time
	storeFull    bool // the committer's alone: no append succeeds now
	ended        error
	scratch      []byte // of makeReady

	toSmall, toLarge chan *work
	finished         chan finished
	found            chan foundBatch
	scanned          chan scanned
	committed        chan committed
	checked          chan error
	looked           chan lack
	batch            []*work // with the committer

	group sync.WaitGroup
}

// subscan is a directory to be scanned.
type subscan struct {
	dir    string
	deep   bool
	forced bool // even if the directory is watched
}

type foundBatch struct {
	list  []found
	first bool
	deep  bool
}

type scanned struct {
	sub   *subscan // nil for the full scan
	files int64
	bytes int64
}

type finished struct {
	w *work
	r *reading
}

func newSession(p *Publisher, f *folder) *session {
	s := &session{
		p: p, o: &p.o, log: p.log, folder: f, tree: newTree(p.recordsDir()), problems: &p.problems,
		generation: p.o.Log.Generation(),
		works:      make(map[string]*work),
		gone:       newGoneSet(),
		tombs:      make(map[string]int),
		indexes:    newIndexBook(),
		subSet:     make(map[subscan]bool),
		approved:   p.approved.Swap(false),
		another:    p.another(f),
		toSmall:    make(chan *work),
		toLarge:    make(chan *work),
		finished:   make(chan finished, 64),
		found:      make(chan foundBatch),
		scanned:    make(chan scanned),
		committed:  make(chan committed),
		checked:    make(chan error),
		lacked:     -1,
		looked:     make(chan lack),
	}
	s.hasher = &hasher{
		folder: f, window: p.o.Window, manifests: p.manifests, md5: p.o.MD5, writers: p.writers, quiet: p.o.Quiet,
		files: &p.hashedFiles, bytes: &p.hashedBytes,
	}
	return s
}

// run replays, scans and then follows the folder until ctx ends or errAgain.
func (s *session) run(ctx context.Context) error {
	defer s.tree.close()
	indexes, err := s.replay(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer s.group.Wait()
	defer cancel()
	s.ctx = ctx
	if err := s.tree.unkept(); err != nil {
		s.log.Warn().Err(err).Msg("what is published is kept in memory, which takes some 100 bytes a file")
	}
	s.p.publish(s)
	defer s.p.unpublish()

	for range s.o.Hashers {
		s.group.Go(func() { s.hash(ctx, s.toSmall) })
	}
	for range max(1, s.o.Hashers/2) {
		s.group.Go(func() { s.hash(ctx, s.toLarge) })
	}
	s.openWatcher()
	defer func() {
		if s.watch != nil {
			s.watch.close()
		}
	}()
	if reason := s.p.manualHold(); reason != "" {
		s.hold(holdManual, reason)
	} else if reason := s.lacksAtStart(); reason != "" {
		s.hold(holdFolder, reason)
	}
	s.startScan()
	for _, p := range indexes {
		s.look(p, hint{kind: hintRehash, first: true})
	}
	return s.loop(ctx)
}

// replay reads the published state back, and returns the indexes in it: what
// they name is to be read from them again.
func (s *session) replay(ctx context.Context) (indexes []string, err error) {
	begun := time.Now()
	manifests := make(map[objects.ID]bool)
	err = s.o.Log.Replay(ctx, func(_ uint64, e *bus.Event) error {
		s.p.following.Turn()
		switch e.Kind {
		case bus.KindMarker:
		case bus.KindDeleted:
			s.tree.delete(e.Path)
		default:
			s.tree.put(e.Path, entryOf(e))
			if !e.Content.Manifest.IsZero() {
				manifests[e.Content.Manifest] = true
			}
			if e.Kind == bus.KindFile && s.o.Index != nil && s.o.Index.IsIndex(e.Path) {
				indexes = append(indexes, e.Path)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading back the events of share %s: %w", s.o.Share, err)
	}
	if store, ok := s.o.Manifests.(interface {
		Prune(keep func(objects.ID) bool) error
	}); ok {
		if err := store.Prune(func(id objects.ID) bool { return manifests[id] }); err != nil {
			s.log.Warn().Err(err).Msg("old manifests could not be forgotten")
		}
	}
	n := s.tree.sum()
	s.log.Info().Int64("files", n.files).Int64("bytes", n.bytes).Dur("took", time.Since(begun)).Msg("published state read back")
	return indexes, nil
}

// loop is the one place where the session waits.
func (s *session) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.p.following.Turn()
		now := time.Now()
		s.onTime(now)
		s.mark()
		s.startCommit()
		s.startSubscans()
		if s.ended != nil {
			// Events that are stored only after the next session has read the
			// state back would be unknown to it.
			if len(s.batch) > 0 {
				s.p.following.Rest() // the committer has its own watch
				select {
				case <-s.committed:
				case <-ctx.Done():
				}
				s.p.following.Turn()
			}
			return s.ended
		}
		timer.Reset(time.Until(s.wake(now)))

		var events chan fsnotify.Event
		var watchErrors chan error
		if s.watch != nil {
			events, watchErrors = s.watch.fs.Events, s.watch.errors
		}
		var toSmall, toLarge chan *work
		small, large := s.small.peek(), s.large.peek()
		found := s.found
		if s.held() {
			found = nil // what the hold keeps back must not pile up
		} else {
			if small != nil {
				toSmall = s.toSmall
			}
			if large != nil {
				toLarge = s.toLarge
			}
		}
		if s.active() > maxActive {
			found = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-events:
			if !ok {
				s.watcherDied(errors.New("it was closed"))
				continue
			}
			s.watched(e)
		case err, ok := <-watchErrors:
			s.watchError(err, ok)
		case b := <-found:
			s.take(b)
		case e := <-s.scanned:
			s.scanEnded(e)
		case toSmall <- small:
			s.small.drop()
			s.handed(small)
		case toLarge <- large:
			s.large.drop()
			s.handed(large)
		case f := <-s.finished:
			s.inHand--
			s.finish(f.w, f.r)
		case c := <-s.committed:
			s.settleCommit(c)
		case err := <-s.checked:
			s.logChecked(err)
		case l := <-s.looked:
			s.folderLooked(l)
		case call := <-s.p.calls:
			call(s)
		case <-s.p.rescan:
			s.startScan()
		case p := <-s.p.recheck:
			s.hint(p, hintRehash)
		case <-timer.C:
		}
	}
}

// active counts the works that take memory and time now.
func (s *session) active() int {
	return s.small.len() + s.large.len() + s.ready.len() + s.inHand + len(s.batch)
}

func (s *session) handed(w *work) {
	w.phase = reads
	s.inHand++
}

// hash is one hasher.
func (s *session) hash(ctx context.Context, in <-chan *work) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-in:
			r := &reading{path: w.path, window: w.window, quiet: w.quiet, blind: w.blind, isIndex: s.o.Index.IsIndex(w.path)}
			if w.window && w.st.size >= largeFile {
				r.had = s.published(w.path)
			}
			s.hasher.read(ctx, r)
			select {
			case s.finished <- finished{w, r}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// onTime does what has its time now.
func (s *session) onTime(now time.Time) {
	for !s.held() && len(s.times) > 0 && !s.times[0].due.After(now) {
		s.p.following.Turn()
		w := s.times[0]
		s.times.remove(w)
		if w.rescan {
			s.forget(w)
			s.subscan(subscan{dir: strings.TrimSuffix(w.path, "/"), deep: true, forced: true})
			continue
		}
		s.check(w.path, hint{kind: hintLook}, w)
	}
	if !s.held() {
		for _, f := range s.indexes.dueBy(now) {
			s.judgeIndex(f, now)
		}
	}
	if due := s.gone.due(s.o.DeleteDelay); !due.IsZero() && !due.After(now) {
		s.bury(now)
	}
	if s.held() && !s.nextHoldLook.After(now) {
		s.lookAtHold(now)
	}
	if !s.nextHealth.After(now) {
		s.nextHealth = now.Add(healthPeriod)
		s.health()
	}
	if !s.nextCheck.After(now) {
		s.checkLog(now)
	}
	if !s.nextScan.IsZero() && !s.nextScan.After(now) {
		s.startScan()
	}
	if !s.nextPoll.IsZero() && !s.nextPoll.After(now) {
		s.poll(now)
	}
}

// wake is when onTime has something to do next.
func (s *session) wake(now time.Time) time.Time {
	next := s.nextHealth
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	earlier(s.nextCheck)
	earlier(s.nextScan)
	earlier(s.nextPoll)
	if s.held() {
		earlier(s.nextHoldLook)
		return next
	}
	earlier(s.times.next())
	earlier(s.indexes.next())
	if !s.scanning {
		earlier(s.gone.due(s.o.DeleteDelay))
	}
	return next
}

// health notices another generation, and another folder.
func (s *session) health() {
	if s.o.Log.Generation() != s.generation {
		s.log.Warn().Msg("the event stream began another generation: publishing anew")
		s.ended = errAgain
		return
	}
	if err := s.tree.err(); err != nil {
		s.log.Warn().Err(err).Msg("what is published could not be looked up: reading it back from the events, into memory")
		s.p.inMemory.Store(true)
		s.ended = errAgain
		return
	}
	if s.holding == holdManual || s.holding == holdFolder {
		return // each ends in its own way
	}
	if err := s.folder.check(); err != nil {
		s.hold(holdFolder, err.Error())
	}
}

// mark appends the generation's marker once all that the first scan found is
// published, or has failed and waits to be tried again.
func (s *session) mark() {
	if s.markerMade || !s.firstDone || s.scanning || s.firstLeft > 0 || s.held() || len(s.gone.paths) > 0 || len(s.tombs) > 0 {
		return
	}
	s.markerMade = true
	s.ready.push(&work{phase: ready, slot: -1, event: &bus.Event{Kind: bus.KindMarker}})
}
