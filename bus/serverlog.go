package bus

import (
	"fmt"
	"strings"
	"sync/atomic"

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

func (l *serverLog) Errorf(format string, v ...any) { l.write(zerolog.ErrorLevel, format, v) }
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
