package bus

import "testing"

func TestOneRemotesFloodTakesNothingFromAnother(t *testing.T) {
	var r remoteRates
	n := 0
	for range 2 * requestBurst {
		if r.allow("colmar") {
			n++
		}
	}
	if n < requestBurst || n == 2*requestBurst {
		t.Errorf("%d of %d were let through", n, 2*requestBurst)
	}
	if !r.allow("nancy") {
		t.Error("another remote was refused")
	}
}
