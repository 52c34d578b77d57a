package bus

import (
	"reflect"
	"testing"

	"waptsync/bandwidth"
)

func TestAReportsAnswerTellsWhatTheMainAsks(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	if wish, err := c.Consult(testContext(t), &Report{}); err != nil || len(wish.Orders) > 0 || wish.Bandwidth != "" {
		t.Fatalf("%+v, %v: want none", wish, err)
	}
	rule, err := bandwidth.Parse("Sa,Su off")
	must(t, err)
	must(t, b.registry.SetBandwidth("colmar", rule))
	want := []Order{{Number: 3, Do: OrderVerify}, {Number: 4, Do: OrderReconcile}}
	b.orders.Store(&want)
	got, err := c.Consult(testContext(t), &Report{Taken: 2})
	if err != nil || !reflect.DeepEqual(got.Orders, want) || got.Bandwidth != "Sa,Su off" {
		t.Errorf("%+v, %v, want %v and the rule", got, err, want)
	}
}
