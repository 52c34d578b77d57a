package subscriber

import (
	"time"

	"waptsync/bus"
)

// interrupted is a comparison with the main that a lost connection cut off. The
// next session of this process goes on with it: on a bad line the events of a
// large share would else never come to their end. After a crash it begins again.
type interrupted struct {
	passed    reached // all up to there is on disk
	main      time.Time
	confirmed *pathSet // what the main has, as far as events came
}

// position is where to go on; nil has none.
func (i *interrupted) position() bus.Position {
	if i == nil {
		return bus.Position{}
	}
	return bus.Position{Generation: i.passed.gen, Seq: i.passed.known, MainTime: i.main}
}

// resume goes on with what was interrupted.
func (s *session) resume(i *interrupted) {
	s.reconciling, s.confirmed = true, i.confirmed
	s.win.passed = i.passed
	s.win.passed.seq, s.win.last = i.passed.known, i.passed.known
	s.win.shown = s.welcome.Next > s.welcome.Last
	if i.passed.marker == s.welcome.Generation {
		poke(s.marker)
	}
	s.r.log.Info().Uint64("from", i.passed.known).Uint64("to", s.welcome.Last).Msg("going on with the comparison with the main")
}

// interrupt keeps how far the comparison came, for the next session.
func (s *session) interrupt() {
	s.r.interrupted = nil
	if passed := s.win.pass(nil); s.reconciling && !s.comparedAll() && passed.known > 0 {
		s.r.interrupted = &interrupted{passed: passed, main: s.mainNow(), confirmed: s.confirmed}
	}
}
