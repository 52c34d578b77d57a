package bus

import (
	"reflect"
	"testing"
)

func TestAReportsAnswerTellsWhatTheMainAsks(t *testing.T) {
	b := startBus(t)
	c := b.remote(t, "colmar")
	if orders, err := c.Consult(testContext(t), &Report{}); err != nil || len(orders) > 0 {
		t.Fatalf("orders %v, %v: want none", orders, err)
	}
	want := []Order{{Number: 3, Do: OrderVerify}, {Number: 4, Do: OrderReconcile}}
	b.orders.Store(&want)
	got, err := c.Consult(testContext(t), &Report{Taken: 2})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("orders %v, %v, want %v", got, err, want)
	}
}
