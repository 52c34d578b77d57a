package subscriber

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"waptsync/alive"
	"waptsync/bus"
	"waptsync/objects"
)

// How many goroutines of a session do what. A packer holds up to 4 MiB, a
// bringer a few objects; the client bounds what is in flight for all of them.
const (
	hashers  = 2
	packers  = 3
	bringers = 3
)

const helloTimeout = 30 * time.Second

// session is one life of a feed: from a hello until the feed is lost.
type session struct {
	r     *Replica
	tree  *tree
	stage *stage
	feed  feed
	win   *window

	welcome     bus.Welcome
	helloAt     time.Time
	reconciling bool
	confirmed   *pathSet // paths the main has; nil when resumed

	hash  chan *item // may be had from the own disk
	small chan *item // fit into a packed request
	large chan *item

	requests *semaphore.Weighted // to the main, under way
	bulky    *semaphore.Weighted // of these, for large files
	pace     pace
	claims   claims
	marker   chan struct{} // poked when all the main had was seen

	progress chan struct{} // poked after each commit
	lost     chan struct{} // poked when the stage seems to be gone

	drifts  []string      // named files that are not as their records say; guarded by the commit lock
	drifted chan struct{} // poked when there are some

	left atomic.Bool // something that the main does not have stayed for an index's sake
	kept int64       // files left alone; of the goroutine that compares

	mu     sync.Mutex
	active map[*item]struct{} // transfers under way
	swept  bool               // the tree was compared with all the main has
	newest time.Time          // when the main published what was last committed
	bulk   error              // why fetching does not work at the moment
}

func privileged() bool { return os.Geteuid() == 0 }

// follow opens the folder, says hello and applies events until the feed is lost
// or ctx ends.
func (r *Replica) follow(ctx context.Context) error {
	if err := r.connected(ctx); err != nil {
		return err
	}
	adopt := r.reread.Load()
	t, err := r.openFolder(adopt)
	if err != nil {
		return err
	}
	defer t.close()
	st, err := openStage(t, r.o.MinFree, r.now())
	if err != nil {
		return broken("preparing the stage", err)
	}
	defer st.close()
	s := &session{
		r: r, tree: t, stage: st, win: newWindow(r.o.Index),
		hash:   make(chan *item, maxSlots),
		small:  make(chan *item, maxSlots),
		large:  make(chan *item, maxSlots),
		active: make(map[*item]struct{}),

		requests: semaphore.NewWeighted(requestsAtOnce),
		bulky:    semaphore.NewWeighted(largeAtOnce),
		marker:   make(chan struct{}, 1),

		drifted:  make(chan struct{}, 1),
		progress: make(chan struct{}, 1),
		lost:     make(chan struct{}, 1),
	}
	s.claims.by = make(map[objects.ID]*bringing)
	r.following.Rest() // a hello ends by itself
	err = s.hello(ctx)
	r.following.Turn()
	if err != nil {
		return err
	}
	if err := s.loadCatalog(ctx); err != nil {
		return err
	}
	if s.feed, err = r.openFeed(ctx); err != nil {
		return fmt.Errorf("opening the feed: %w", err)
	}
	defer s.feed.Close()
	r.mu.Lock()
	r.session, r.trouble, r.held = s, nil, nil
	r.mu.Unlock()
	r.changed()
	defer func() {
		r.mu.Lock()
		r.session = nil
		r.mu.Unlock()
	}()
	defer s.interrupt()
	return s.run(ctx)
}

// connected returns when the bus is connected, or the folder is to be looked at
// again.
func (r *Replica) connected(ctx context.Context) error {
	tick := time.NewTicker(alive.Period)
	defer tick.Stop()
	for {
		r.following.Turn()
		changed := r.o.Bus.Changes()
		if r.o.Bus.Connected() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-tick.C:
		}
	}
}

// hello agrees with the main on where to go on, and notes in the state that a
// reconcile began, so that a crash begins it again.
func (s *session) hello(ctx context.Context) error {
	var p progress
	if err := s.r.state.view(func(tx *stateTx) error { p = tx.progress(); return nil }); err != nil {
		return broken("reading the state", err)
	}
	asked := s.r.reread.Load()
	pos := p.Position
	switch {
	case asked:
		pos = bus.Position{}
	case p.Reconciling:
		pos = s.r.interrupted.position()
	}
	helloCtx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	w, err := s.r.o.Bus.Hello(helloCtx, s.r.o.Share, pos)
	if err != nil {
		return fmt.Errorf("saying hello: %w", err)
	}
	s.welcome, s.helloAt = w, s.r.now()
	if w.Resume && pos != (bus.Position{}) {
		if p.Reconciling {
			s.resume(s.r.interrupted)
			return nil
		}
		s.win.passed = reached{seq: pos.Seq, known: pos.Seq, gen: pos.Generation}
		s.win.last = pos.Seq
		s.swept = true
		return nil
	}
	reason := w.Reason
	if asked {
		reason = "it was asked for"
	}
	s.r.log.Info().Str("reason", reason).Msg("comparing the whole folder with the main")
	s.reconciling, s.confirmed = true, newPathSet()
	err = s.r.state.update(func(tx *stateTx) error {
		if err := tx.dropAllWaiting(); err != nil {
			return err
		}
		return tx.setProgress(progress{Reconciling: true})
	})
	if err == nil {
		err = s.r.state.forgetNumbers(ctx)
	}
	if err != nil {
		return broken("writing the state", err)
	}
	s.r.reread.Store(false)
	return nil
}

// loadCatalog sees to it that the visible indexes are known.
func (s *session) loadCatalog(ctx context.Context) error {
	s.r.commit.Lock()
	defer s.r.commit.Unlock()
	if c := s.r.catalog; c != nil {
		for l := range c.staged { // of the last session
			c.remove(l)
		}
	}
	return s.r.loadCatalog(ctx, s.tree, s.reconciling)
}

// run works until something ends the session.
func (s *session) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.read(ctx) })
	g.Go(func() error { return s.retryWaiting(ctx) })
	g.Go(func() error { return s.committer(ctx) })
	g.Go(func() error { return s.watchTree(ctx) })
	for range hashers {
		g.Go(func() error { return each(ctx, s.hash, s.fromOwnDisk) })
	}
	for range packers {
		g.Go(func() error { return s.pack(ctx) })
	}
	for range bringers {
		g.Go(func() error { return each(ctx, s.large, s.bring) })
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.r.stop:
			return errAgain
		case <-s.lost:
			return errStage
		}
	})
	return g.Wait()
}

// each calls fn for items of c until ctx ends.
func each(ctx context.Context, c <-chan *item, fn func(context.Context, *item) error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case it := <-c:
			if err := fn(ctx, it); err != nil {
				return err
			}
		}
	}
}

// send queues an item for c's workers.
func send(ctx context.Context, c chan<- *item, it *item) error {
	select {
	case c <- it:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read takes deliveries from the feed as far as the window has room.
func (s *session) read(ctx context.Context) error {
	for {
		if err := s.win.waitRoom(ctx); err != nil {
			return err
		}
		batch, err := s.feed.Next(ctx, 1024)
		if err != nil {
			return fmt.Errorf("reading the feed: %w", err)
		}
		s.r.changed()
		items := make([]*item, 0, len(batch))
		for i := range batch {
			d := &batch[i]
			if d.Seq > s.welcome.Last && d.Err == nil && d.Event.Generation != s.welcome.Generation {
				// The main began a new generation while we stayed connected. What came
				// before is done all the same.
				if err := s.examine(ctx, items); err != nil {
					return err
				}
				return errAgain
			}
			if it := s.take(d); it != nil {
				items = append(items, it)
			}
		}
		if err := s.examine(ctx, items); err != nil {
			return err
		}
	}
}

// take admits one delivery to the window.
func (s *session) take(d *bus.Delivery) *item {
	switch {
	case d.Err != nil:
		s.r.log.Error().Err(d.Err).Uint64("seq", d.Seq).Msg("skipping what is no event")
		s.win.skip(d)
		return nil
	case d.Event.Kind == bus.KindMarker:
		s.win.skip(d)
		return nil
	case ignored(d.Event.Path):
		s.r.log.Warn().Str("path", d.Event.Path).Msg("skipping an event about the replica's own folder")
		s.win.skip(d)
		return nil
	}
	if s.confirmed != nil && d.Event.Kind != bus.KindDeleted {
		s.confirmed.add(d.Event.Path)
	}
	return s.win.admit(d)
}

// mainNow is the main's clock, as far as the last welcome told it.
func (s *session) mainNow() time.Time {
	return s.welcome.MainTime.Add(s.r.now().Sub(s.helloAt))
}

// give hands a finished item to the committer and returns false, having
// discarded what was staged, when a newer event superseded it.
func (s *session) give(it *item) bool {
	s.readIndex(it)
	if s.win.offer(it) {
		return true
	}
	s.stage.discard(it.staged)
	return false
}

// failed gives an item up for now; the committer moves it to the waiting bucket.
// What a transfer has so far stays in the stage.
func (s *session) failed(it *item, op string, err error) {
	it.fail = problemOf(op, err)
	s.stage.discardUnlessPart(it.staged)
	s.give(it)
	if errors.Is(err, fs.ErrNotExist) {
		poke(s.lost)
	}
}

// errStage ends a session when the stage may have been deleted under it.
var errStage = errors.New("the stage is not there any more")

// stopped says whether err comes from the session's end or a superseded item,
// and not from the work itself.
func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled)
}
