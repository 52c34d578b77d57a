package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// Errors after which a log is of no use until it is opened again by [Log.Reopen].
var (
	// ErrLogLost is returned when the stream is not there any more.
	ErrLogLost = errors.New("event stream lost")
	// ErrRolledBack is returned when the stream ends before what it had
	// already confirmed: an older copy took its place.
	ErrRolledBack = errors.New("event stream rolled back")
)

const (
	defaultTombstoneTTL = 90 * 24 * time.Hour
	defaultMaxRemotes   = 1000
	// A server whose disk is full gives no answer at all, so every publish
	// has its end. A batch may have to wait for a slow disk's sync.
	appendTimeout = 30 * time.Second
	batchMessages = 1000    // the server's limit for an atomic batch
	batchBytes    = 4 << 20 // the server stages a batch before it commits it
	// minTombstoneTTL is the least that JetStream takes as a message's TTL.
	minTombstoneTTL = time.Second
)

// LogOptions configures a share's event stream.
type LogOptions struct {
	Share        string
	TombstoneTTL time.Duration // 0 means 90 days
	MaxRemotes   int           // 0 means 1000
	Replicas     int           // 0 means 1; more only with a cluster
	Server       *Server       // whose store Check looks at; nil when the stream is elsewhere
	Log          zerolog.Logger
}

// Log is the main's side of one share's event stream. Its methods may be
// called concurrently; Appends happen one after the other.
type Log struct {
	js     jetstream.JetStream
	o      LogOptions
	stream string

	appending sync.Mutex // held for the whole of an Append or a Reopen
	remotes   keyedLocks // one Attach or Detach of a remote at a time

	mu      sync.Mutex // of what follows; never held during a call to the server
	history history
	last    uint64
	stored  fs.FileInfo // the folder of the stream's messages, if known
	// unopened is why no generation could be begun: the stream can be read, and
	// takes nothing until a Reopen.
	unopened error
	attached map[string]bool // remotes that were attached since OpenLog
}

// OpenLog opens the stream, or makes it, and begins a new generation. Where the
// disk of the store is full a stream that is there is opened for reading in its
// last generation: Append and Check then give ErrStoreFull with ErrLogLost, and
// ErrLogLost alone when there is room, and Reopen begins the new one.
func OpenLog(ctx context.Context, js jetstream.JetStream, o LogOptions) (*Log, error) {
	if err := ValidName(o.Share); err != nil {
		return nil, fmt.Errorf("opening an event log: share: %w", err)
	}
	if o.TombstoneTTL == 0 {
		o.TombstoneTTL = defaultTombstoneTTL
	}
	if o.TombstoneTTL < minTombstoneTTL {
		return nil, fmt.Errorf("opening the event log of %s: tombstones must live for a second at least, not %s", o.Share, o.TombstoneTTL)
	}
	if o.MaxRemotes == 0 {
		o.MaxRemotes = defaultMaxRemotes
	}
	l := &Log{js: js, o: o, stream: eventsStream(o.Share), attached: map[string]bool{}}
	err := whenReady(ctx, readyPatience, func() error {
		err := l.begin(ctx)
		if err == nil || l.o.Server == nil || ctx.Err() != nil || l.o.Server.room() == nil {
			return err
		}
		return l.beginWithoutRoom(ctx, err)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the event log of %s: %w", o.Share, err)
	}
	return l, nil
}

// Reopen opens the stream again, or makes it, after ErrLogLost or
// ErrRolledBack, and begins a new generation. The remotes' consumers are
// deleted: one that stands beyond the stream's end would wait in silence, and
// a remote whose consumer goes away says hello again.
func (l *Log) Reopen(ctx context.Context) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.begin(ctx); err != nil {
		return fmt.Errorf("reopening the event log of %s: %w", l.o.Share, err)
	}
	if err := l.deleteConsumers(ctx); err != nil {
		return fmt.Errorf("reopening the event log of %s: %w", l.o.Share, err)
	}
	return nil
}

// beginWithoutRoom opens a stream that is there for reading.
func (l *Log) beginWithoutRoom(ctx context.Context, why error) error {
	s, err := l.js.Stream(ctx, l.stream)
	if err != nil {
		return fmt.Errorf("%w: %w", l.o.Server.room(), why)
	}
	info := s.CachedInfo()
	past, err := parseHistory(info.Config.Metadata[generationsKey])
	if err != nil || len(past) == 0 {
		past = past.begin(uuid.New(), info.State.LastSeq+1)
	}
	l.o.Log.Warn().Err(why).Str("share", l.o.Share).Msg("the event stream can be read, and takes nothing until its disk has room")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history, l.last, l.unopened = past, info.State.LastSeq, why
	return nil
}

func (l *Log) begin(ctx context.Context) error {
	cfg := jetstream.StreamConfig{
		Name:              l.stream,
		Subjects:          []string{eventsPrefix + "." + l.o.Share + ".*"},
		Storage:           jetstream.FileStorage,
		Replicas:          max(1, l.o.Replicas),
		Discard:           jetstream.DiscardOld,
		MaxMsgsPerSubject: 1,
		// Positive, because the server's own limit of 1000 holds otherwise. The
		// few more are for readers of the main itself.
		MaxConsumers:       l.o.MaxRemotes + 16,
		Duplicates:         duplicates,
		AllowDirect:        true,
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
		Metadata:           map[string]string{},
	}
	var past history
	var last uint64
	s, err := l.js.Stream(ctx, l.stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
	case err != nil:
		return fmt.Errorf("looking at stream %s: %w", l.stream, err)
	default:
		info := s.CachedInfo()
		last = info.State.LastSeq
		maps.Copy(cfg.Metadata, info.Config.Metadata)
		if past, err = parseHistory(info.Config.Metadata[generationsKey]); err != nil {
			l.o.Log.Warn().Err(err).Str("stream", l.stream).Msg("the stream's history cannot be read; all remotes will reconcile")
			past = nil
		}
	}
	past = past.begin(uuid.New(), last+1)
	cfg.Metadata[generationsKey] = past.String()
	if err := makeStream(ctx, l.js, cfg); err != nil {
		return fmt.Errorf("writing the configuration of stream %s: %w", l.stream, err)
	}
	var stored fs.FileInfo
	if l.o.Server != nil {
		stored = l.o.Server.messages(l.stream)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history, l.last, l.stored, l.unopened = past, last, stored, nil
	return nil
}

// Generation is the one begun by OpenLog, or by the last Reopen.
func (l *Log) Generation() uuid.UUID {
	h, _ := l.state()
	return h[len(h)-1].generation
}

// Last is the last sequence known to be in the stream.
func (l *Log) Last() uint64 {
	_, last := l.state()
	return last
}

func (l *Log) state() (history, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.history, l.last
}

// Append stores events in their order and returns the sequence of the last
// one. It sets each event's Generation. They are on disk when it returns; after
// an error any prefix of them may be. ErrLogLost and ErrRolledBack ask for a
// Reopen.
func (l *Log) Append(ctx context.Context, events []*Event) (uint64, error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.notOpened(); err != nil {
		return 0, fmt.Errorf("appending to the event log of %s: %w", l.o.Share, err)
	}
	generation := l.Generation()
	var batch []*nats.Msg
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := l.publish(ctx, batch)
		batch, size = batch[:0], 0
		return err
	}
	for _, e := range events {
		e.Generation = generation
		msg, err := l.message(e)
		if err != nil {
			return 0, fmt.Errorf("appending %q to the event log of %s: %w", e.Path, l.o.Share, err)
		}
		if len(batch) == batchMessages || size+len(msg.Data) > batchBytes {
			if err := flush(); err != nil {
				return 0, fmt.Errorf("appending to the event log of %s: %w", l.o.Share, err)
			}
		}
		batch, size = append(batch, msg), size+len(msg.Data)
	}
	if err := flush(); err != nil {
		return 0, fmt.Errorf("appending to the event log of %s: %w", l.o.Share, err)
	}
	return l.Last(), nil
}

func (l *Log) message(e *Event) (*nats.Msg, error) {
	data, err := e.AppendBinary(make([]byte, 0, 192+len(e.Path)))
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: markerSubject(l.o.Share), Data: data, Header: nats.Header{}}
	if e.Kind != KindMarker {
		msg.Subject = eventSubject(l.o.Share, e.Path)
	}
	if e.Kind == KindDeleted {
		msg.Header.Set(jetstream.MsgTTLHeader, l.o.TombstoneTTL.String())
	}
	return msg, nil
}

// publish stores all of the batch or nothing, with one sync of the disk.
func (l *Log) publish(ctx context.Context, batch []*nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	var seq uint64
	if len(batch) == 1 {
		ack, err := l.js.PublishMsg(ctx, batch[0])
		if err != nil {
			return publishError(err)
		}
		seq = ack.Sequence
	} else {
		var err error
		if seq, err = publishBatch(ctx, l.js.Conn(), batch); err != nil {
			return publishError(err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.last+uint64(len(batch)) {
		return fmt.Errorf("%w: it was at %d, and %d new events end at %d", ErrRolledBack, l.last, len(batch), seq)
	}
	l.last = seq
	return nil
}

// publishError makes an ErrLogLost of the errors that mean it.
func publishError(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %w", ErrLogLost, err)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return fmt.Errorf("no answer of the server, whose disk may be full: %w", err)
	}
	return err
}
