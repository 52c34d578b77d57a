package bus

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// Bounds of what the NATS server may log, because strangers that fail to
// connect make it log, too.
const (
	serverLogRate  = 5 // lines a second
	serverLogBurst = 50
)

// serverLog is the NATS server's logger. The server's notices are of no
// interest to an administrator of waptsync, so they become debug lines.
type serverLog struct {
	log        zerolog.Logger
	limit      *rate.Limiter
	suppressed atomic.Int64
	denied     atomic.Int64 // permission violations and oversize messages
	strangers  atomic.Int64 // handshakes that failed
	// fatal gets the first fatal error: the server expects its logger to end
	// the process, and goes on as a wreck if it does not.
	fatal chan error
}

func newServerLog(log zerolog.Logger) *serverLog {
	return &serverLog{
		log:   log.With().Str("part", "nats").Logger(),
		limit: rate.NewLimiter(serverLogRate, serverLogBurst),
		fatal: make(chan error, 1),
	}
}

// tlsFailure begins what the server says of a handshake that failed.
const tlsFailure = "TLS handshake error"

// tlsFirstWarning is what the server says of our own choice, at each start.
const tlsFirstWarning = "Clients that are not using \"TLS Handshake First\""

func (l *serverLog) Noticef(format string, v ...any) { l.write(zerolog.DebugLevel, format, v) }

func (l *serverLog) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, tlsFirstWarning) {
		l.write(zerolog.DebugLevel, format, v)
		return
	}
	l.write(zerolog.WarnLevel, format, v)
}

// Errorf also takes what others do wrong, which is no error of the main; it is
// counted here, because the server itself does not.
func (l *serverLog) Errorf(format string, v ...any) {
	level := zerolog.ErrorLevel
	switch {
	case strings.Contains(format, " Violation"), len(v) > 0 && v[0] == server.ErrMaxPayload.Error():
		l.denied.Add(1)
		level = zerolog.WarnLevel
	case strings.Contains(format, tlsFailure):
		l.strangers.Add(1)
		level = zerolog.WarnLevel
	case strings.Contains(format, server.ErrAuthentication.Error()), len(v) > 0 && v[0] == server.ErrAuthentication:
		level = zerolog.DebugLevel // presence tells it
	}
	l.write(level, format, v)
}

func (l *serverLog) Debugf(format string, v ...any) { l.write(zerolog.DebugLevel, format, v) }
func (l *serverLog) Tracef(format string, v ...any) { l.write(zerolog.TraceLevel, format, v) }

func (l *serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Errorf(format, v...):
	default:
		l.log.Error().Msgf(format, v...)
	}
}

func (l *serverLog) write(level zerolog.Level, format string, v []any) {
	if level < l.log.GetLevel() {
		return
	}
	if !l.limit.Allow() {
		l.suppressed.Add(1)
		return
	}
	e := l.log.WithLevel(level)
	if n := l.suppressed.Swap(0); n > 0 {
		e = e.Int64("suppressed", n)
	}
	e.Msg(redact(fmt.Sprintf(format, v...)))
}
