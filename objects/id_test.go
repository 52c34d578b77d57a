package objects

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestIDsAreWrittenAsSha256sumDoes(t *testing.T) {
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-4, "abc"
	id := Sum([]byte("abc"))
	if id.String() != abc || id.IsZero() || !(ID{}).IsZero() {
		t.Errorf("the ID of \"abc\" is %v", id)
	}
	if got, err := ParseID(abc); err != nil || got != id {
		t.Errorf("parsed: %v, %v", got, err)
	}
	text, err := json.Marshal(map[string]ID{"id": id})
	if err != nil || string(text) != `{"id":"`+abc+`"}` {
		t.Errorf("JSON %s, %v", text, err)
	}
	var back map[string]ID
	if err := json.Unmarshal(text, &back); err != nil || back["id"] != id {
		t.Errorf("from JSON: %v, %v", back, err)
	}
	for _, bad := range []string{"", abc[1:], abc + "0", strings.Replace(abc, "b", "g", 1)} {
		if got, err := ParseID(bad); err == nil || !got.IsZero() {
			t.Errorf("%q gives %v", bad, got)
		}
		if err := json.Unmarshal([]byte(`{"id":"`+bad+`"}`), &back); err == nil {
			t.Errorf("%q is taken from JSON", bad)
		}
	}
}
