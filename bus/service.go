package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"waptsync/objects"
)

const (
	// What one remote may have waiting and running; above it fetches are
	// answered as busy, and the rest is dropped. A client asks for half as much
	// at once: what it gave up, and what it has the answer to, is held here a
	// little longer.
	fetchesPerRemote = 2 * (fetchesAtOnce + quickAtOnce)
	hellosPerRemote  = 16 // one a share, and some that were given up and asked again
	reportsPerRemote = 2

	helloWorkers   = 8
	reportWorkers  = 2
	readersPerCPU  = 2
	attachTimeout  = 20 * time.Second
	storeTimeout   = 10 * time.Second
	maxHelloBytes  = 4 << 10
	maxReportBytes = 64 << 10

	refusedLogEvery = 10 * time.Second

	serviceName    = "waptsync"
	serviceVersion = "1.0.0" // of the requests and answers, not of the program
)

// serviceStats is what the service adds to $SRV.STATS.
type serviceStats struct {
	Served  int64 `json:"served_bytes"`
	Refused int64 `json:"refused"`
}

// Files is where the fetch service gets bytes: the publisher implements it.
// An error that is a *FetchError reaches the remote as such. A digest only tells
// versions of a path apart.
type Files interface {
	// Open opens a content as it lies under path. The reader's Close reports
	// whether the file changed while it was open.
	Open(share, path string, digest objects.ShortID) (ContentReader, error)
	// Manifest returns the encoded manifest of a content of several objects, or its
	// delta against those of the bases that it has; see [objects.Delta].
	Manifest(ctx context.Context, share, path string, digest objects.ShortID, bases []objects.ID) ([]byte, error)
}

// ContentReader reads one content of the main.
type ContentReader interface {
	io.ReaderAt
	io.Closer
}

// ServiceOptions configures the main's answering side.
type ServiceOptions struct {
	Files Files
	Logs  map[string]*Log // by share
	// OnReport, if not nil, is called for each report, from several goroutines.
	OnReport func(remote string, r Report)
	// Orders, if not nil, says what the answer to a report asks of the remote.
	Orders func(remote string, r Report) []Order
	Log    zerolog.Logger
}

// helloRequest and helloAnswer, and reportAnswer, are JSON: there are few of
// them, and a person may want to read them on the wire.
type helloRequest struct {
	Position Position `json:"position"`
}

type helloAnswer struct {
	Welcome *Welcome `json:"welcome,omitempty"`
	Error   string   `json:"error,omitempty"`
}

type reportAnswer struct {
	Error string `json:"error,omitempty"`
	Wish
}

// Service answers hellos, fetches and reports of remotes.
type Service struct {
	o        ServiceOptions
	conn     *nats.Conn
	js       jetstream.JetStream
	registry *Registry
	fetcher  fetcher
	ctx      context.Context
	cancel   context.CancelFunc
	micro    micro.Service
	stored   reportStore
	// restoring is done when the remotes' consumers are as they were.
	restoring sync.WaitGroup

	fetches, hellos, reports *lanes

	rates      remoteRates
	refused    atomic.Int64 // messages that were dropped without an answer
	refusedLog rate.Sometimes
}

// StartService starts answering; ctx bounds the start only. Joins are answered
// by the server itself.
//
// It is a NATS micro service (ADR-32), so $SRV.> of its account tells what it
// offers; nothing of a remote gets there.
func StartService(ctx context.Context, s *Server, o ServiceOptions) (*Service, error) {
	v := &Service{
		o: o, conn: s.serviceConn, js: s.JetStream(), registry: s.registry,
		fetches:    newLanes(readersPerCPU*runtime.GOMAXPROCS(0), fetchesPerRemote),
		hellos:     newLanes(helloWorkers, hellosPerRemote),
		reports:    newLanes(reportWorkers, reportsPerRemote),
		refusedLog: rate.Sometimes{First: 3, Interval: refusedLogEvery},
	}
	v.stored.server, v.stored.js = s, v.js
	v.fetcher = fetcher{files: o.Files, publish: s.serviceConn.Publish}
	v.ctx, v.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := v.start(ctx); err != nil {
		v.Close()
		return nil, fmt.Errorf("starting to answer remotes: %w", err)
	}
	return v, nil
}

func (v *Service) start(ctx context.Context) error {
	if err := whenReady(ctx, readyPatience, func() error { return v.stored.open(ctx) }); err != nil {
		if v.stored.server.room() == nil || ctx.Err() != nil {
			return err
		}
		v.o.Log.Warn().Err(err).Msg("reports of remotes are not stored until the disk of the store has room")
	}
	if err := v.Tidy(ctx); err != nil {
		v.o.Log.Warn().Err(err).Msg("what the bus keeps for revoked remotes is left until the next start")
	}
	var err error
	// No queue group: there is one main, and one listener costs the server less.
	v.micro, err = micro.AddService(v.conn, micro.Config{
		Name: serviceName, Version: serviceVersion, QueueGroupDisabled: true,
		Description:  "where a remote is, bytes of the main's files, and how a remote is",
		StatsHandler: func(*micro.Endpoint) any { return serviceStats{Served: v.Served(), Refused: v.Refused()} },
		ErrorHandler: func(_ micro.Service, e *micro.NATSError) {
			v.o.Log.Warn().Str("subject", e.Subject).Str("error", e.Description).Msg("messages of remotes are lost")
		},
	})
	if err != nil {
		return fmt.Errorf("making the service: %w", err)
	}
	for _, e := range []struct {
		name, subject string
		handle        micro.HandlerFunc
	}{
		{"fetch", fetchPrefix + ".*.*", v.fetch},
		{"hello", helloPrefix + ".*.*", v.hello},
		{"report", reportPrefix + ".*", v.report},
	} {
		if err := v.micro.AddEndpoint(e.name, e.handle, micro.WithEndpointSubject(e.subject)); err != nil {
			return fmt.Errorf("listening on %s: %w", e.subject, err)
		}
	}
	if err := v.conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	v.restoring.Go(func() {
		if err := v.restore(v.ctx); err != nil && v.ctx.Err() == nil {
			v.o.Log.Warn().Err(err).Msg("how far some remotes are behind is not known until they come back")
		}
	})
	return nil
}

// sender says who sent the message. The subject names the remote, which the
// server lets nobody else send to.
func (v *Service) sender(m micro.Request) (remote Remote, share string, ok bool) {
	tokens := strings.Split(m.Subject(), ".")
	if len(tokens) == 4 {
		share = tokens[2]
	}
	remote, known := v.registry.RemoteByName(tokens[len(tokens)-1])
	if !known || remote.Paused || !crossed(m.Reply()) ||
		len(tokens) == 4 && !slices.Contains(remote.Shares, share) || !v.rates.allow(remote.Name) {
		v.refused.Add(1)
		v.refusedLog.Do(func() {
			v.o.Log.Warn().Str("subject", m.Subject()).Bool("known", known).Int64("so_far", v.refused.Load()).
				Msg("dropped a message that its sender had no right to send, or one too many")
		})
		return Remote{}, "", false
	}
	return remote, share, true
}

// fetch never waits for a disk: it is the one callback of all remotes' fetches.
func (v *Service) fetch(m micro.Request) {
	remote, share, ok := v.sender(m)
	if !ok {
		return
	}
	accepted := v.fetches.submit(remote.Name, func() {
		if err := v.fetcher.answer(v.ctx, share, m.Reply(), m.Data()); err != nil {
			v.o.Log.Warn().Err(err).Str("remote", remote.Name).Str("share", share).Msg("an answer could not be sent")
		}
	})
	if accepted {
		return
	}
	text := fmt.Sprintf("%d requests of %s are under way already", fetchesPerRemote, remote.Name)
	if err := v.fetcher.refuse(m.Reply(), m.Data(), FetchBusy, text); err != nil {
		v.o.Log.Warn().Err(err).Str("remote", remote.Name).Str("share", share).Msg("an answer could not be sent")
	}
}

func (v *Service) hello(m micro.Request) {
	remote, share, ok := v.sender(m)
	if !ok {
		return
	}
	if !v.hellos.submit(remote.Name, func() { v.answer(m, v.welcome(remote.Name, share, m.Data())) }) {
		v.answer(m, helloAnswer{Error: "too many hellos are under way already"})
	}
}

func (v *Service) welcome(remote, share string, data []byte) helloAnswer {
	var r helloRequest
	if len(data) > maxHelloBytes {
		return helloAnswer{Error: fmt.Sprintf("a hello of %d bytes: at most %d", len(data), maxHelloBytes)}
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return helloAnswer{Error: "the hello cannot be read: " + err.Error()}
	}
	log := v.o.Logs[share]
	if log == nil {
		return helloAnswer{Error: "the share " + share + " is not published"}
	}
	ctx, cancel := context.WithTimeout(v.ctx, attachTimeout)
	defer cancel()
	w, err := log.Attach(ctx, remote, r.Position)
	if err != nil && v.ctx.Err() != nil {
		return helloAnswer{Error: "the main is stopping"}
	}
	if err != nil {
		v.o.Log.Error().Err(err).Str("remote", remote).Str("share", share).Msg("a hello could not be answered; the remote will say it again")
		return helloAnswer{Error: "the main could not look into its event log"}
	}
	// The right may have gone between the question and here, and Tidy with it.
	if !v.mayHave(remote, share) {
		if err := log.Detach(ctx, remote); err != nil {
			v.o.Log.Warn().Err(err).Str("remote", remote).Str("share", share).Msg("a consumer that nobody may use is left until the next start")
		}
		return helloAnswer{Error: "the share was just taken from this remote"}
	}
	v.o.Log.Info().Str("remote", remote).Str("share", share).Bool("resume", w.Resume).Str("reason", w.Reason).
		Uint64("next", w.Next).Uint64("last", w.Last).Msg("a remote said hello")
	return helloAnswer{Welcome: &w}
}

func (v *Service) report(m micro.Request) {
	remote, _, ok := v.sender(m)
	if !ok {
		return
	}
	if !v.reports.submit(remote.Name, func() { v.answer(m, v.takeReport(remote.Name, m.Data())) }) {
		v.answer(m, reportAnswer{Error: "too many reports at once"})
	}
}

func (v *Service) takeReport(remote string, data []byte) reportAnswer {
	var r Report
	if len(data) > maxReportBytes {
		return reportAnswer{Error: fmt.Sprintf("a report of %d bytes: at most %d", len(data), maxReportBytes)}
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return reportAnswer{Error: "the report cannot be read: " + err.Error()}
	}
	if v.o.OnReport != nil {
		v.o.OnReport(remote, r)
	}
	if err := v.stored.store(v.ctx, remote, data); err != nil && v.ctx.Err() == nil {
		v.o.Log.Warn().Err(err).Str("remote", remote).Msg("a report was taken but not stored; it is lost at a restart of the main")
	}
	known, is := v.registry.RemoteByName(remote)
	if !is { // revoked meanwhile
		ctx, cancel := context.WithTimeout(v.ctx, storeTimeout)
		defer cancel()
		if err := v.forgetReports(ctx); err != nil && v.ctx.Err() == nil {
			v.o.Log.Warn().Err(err).Str("remote", remote).Msg("the report of a revoked remote is left until the next start")
		}
	}
	wish := Wish{Bandwidth: known.Bandwidth.String()}
	if v.o.Orders != nil {
		wish.Orders = v.o.Orders(remote, r)
	}
	return reportAnswer{Wish: wish}
}

func (v *Service) answer(m micro.Request, answer any) {
	b, err := json.Marshal(answer)
	if err == nil {
		err = v.conn.Publish(m.Reply(), b)
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		v.o.Log.Warn().Err(err).Str("subject", m.Subject()).Msg("an answer could not be sent")
	}
}

// Served are content bytes sent to remotes by the fetch service since it started.
func (v *Service) Served() int64 { return v.fetcher.served.Load() }

// Refused are messages that were dropped because their sender had no right to
// send them, or not with that reply subject, or sent far too many.
func (v *Service) Refused() int64 { return v.refused.Load() }

// Close stops answering. It returns when what is under way has ended.
func (v *Service) Close() {
	v.cancel()
	v.restoring.Wait()
	if v.micro != nil {
		// Fails only on a closed connection, where nothing comes any more. What
		// still comes until it is drained is refused by the closed lanes.
		_ = v.micro.Stop()
	}
	v.fetches.close()
	v.hellos.close()
	v.reports.close()
}
