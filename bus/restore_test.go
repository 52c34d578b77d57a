package bus

import "testing"

// The consumers end with the main's process. What remotes lack that have not come
// back is known all the same, and a hello finds its place.
func TestWhatRemotesLackIsKnownAfterARestart(t *testing.T) {
	b := startBus(t)
	at := map[string]ShareReport{
		"behind": {Seq: 3}, "level": {Seq: 5}, "new": {}, "beyond": {Seq: 50}, "silent": {},
	}
	mustAppend(t, b.logs["wapt"], fileEvents("f", 5)...)
	for name, r := range at {
		c := b.remote(t, name)
		mustHello(t, c, Position{})
		if name != "silent" {
			must(t, c.Report(testContext(t), &Report{Shares: map[string]ShareReport{
				"wapt": r, "wapt-host": {Seq: 1}, "unknown": {Seq: 1},
			}}))
		}
		c.Close()
	}
	b.restart(t)
	mustAppend(t, b.logs["wapt"], fileEvent("g"))
	log := b.logs["wapt"]
	for name, want := range map[string]int64{"behind": 3, "level": 1, "new": 6, "beyond": -1, "silent": -1} {
		waitFor(t, "the main knows what "+name+" lacks", func() bool {
			n, err := log.Pending(testContext(t), name)
			return err == nil && n == want
		})
	}
	if n, err := b.logs["wapt-host"].Pending(testContext(t), "behind"); n != -1 || err != nil {
		t.Errorf("of a share that it has not: %d, %v", n, err)
	}
	w, err := log.Attach(testContext(t), "behind", positionAt(log, 6))
	if err != nil || !w.Resume || w.Next != 7 {
		t.Errorf("welcome %+v, %v", w, err)
	}
	must(t, log.restore(testContext(t), "behind", 2))
	if n, err := log.Pending(testContext(t), "behind"); n != 0 || err != nil {
		t.Errorf("who said hello was put elsewhere: %d events pending, %v", n, err)
	}
}

func TestAConsumerOnDiskIsPassedOverAndReplaced(t *testing.T) {
	p := startPlain(t, t.TempDir())
	l := openTestLog(t, p.js)
	mustAppend(t, l, fileEvents("f", 5)...)
	old := consumerConfig("colmar")
	old.MemoryStorage = false
	_, err := p.js.CreateConsumer(testContext(t), "EVENTS_wapt", old)
	must(t, err)
	must(t, l.restore(testContext(t), "colmar", 2))
	expectWelcome(t, l, positionAt(l, 3), true, 4)
	c, err := p.js.Consumer(testContext(t), "EVENTS_wapt", "colmar")
	must(t, err)
	if !c.CachedInfo().Config.MemoryStorage {
		t.Error("it is on disk still")
	}
}
