package alive

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestALoopIsStuckWhenItTakesNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Loop
		time.Sleep(time.Hour)
		if err := l.Check("it", time.Second); err != nil {
			t.Errorf("before its first turn: %v", err)
		}
		l.Turn()
		time.Sleep(time.Second)
		if err := l.Check("it", time.Second); err != nil {
			t.Errorf("within the limit: %v", err)
		}
		time.Sleep(time.Second)
		if err := l.Check("the loop", time.Second); err == nil || !strings.Contains(err.Error(), "the loop is stuck: it took no turn for 2s") {
			t.Errorf("beyond the limit: %v", err)
		}
		l.Turn()
		if err := l.Check("it", time.Second); err != nil {
			t.Errorf("after another turn: %v", err)
		}
		l.Rest()
		time.Sleep(time.Hour)
		if err := l.Check("it", time.Second); err != nil {
			t.Errorf("at rest: %v", err)
		}
	})
}
