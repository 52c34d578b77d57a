package subscriber

import (
	"reflect"
	"testing"
)

func FuzzJournal(f *testing.F) {
	f.Add(appendJournal(nil, nil))
	f.Add(appendJournal(nil, []move{{"1f", 7, 3000, "Packages"}, {"ab.part", 8, -1, "d/\xff"}}))
	f.Add([]byte("rubbish"))
	f.Fuzz(func(t *testing.T, b []byte) {
		moves, err := decodeJournal(b)
		if err != nil {
			return
		}
		again, err := decodeJournal(appendJournal(nil, moves))
		if err != nil || !reflect.DeepEqual(again, moves) {
			t.Errorf("%+v becomes %+v, %v", moves, again, err)
		}
	})
}

// A journal that was not written to its end, or names what is not ours, moves
// nothing.
func TestTornJournalMovesNothing(t *testing.T) {
	b := appendJournal(nil, []move{{"1f", 7, 3000, "Packages"}})
	for n := range len(b) {
		if _, err := decodeJournal(b[:n]); err == nil {
			t.Fatalf("%d bytes of %d are taken for a journal", n, len(b))
		}
	}
	b = appendJournal(nil, []move{{"../x", 7, 3000, "Packages"}, {"x", 7, 3000, "../up"}})
	if moves, err := decodeJournal(b); err != nil || len(moves) > 0 {
		t.Errorf("foreign names are moved: %+v, %v", moves, err)
	}
}
