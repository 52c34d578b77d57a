package bus

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"waptsync/bandwidth"
)

func TestTheRegistryFollowsAList(t *testing.T) {
	dir := t.TempDir()
	r, err := LoadRegistry(dir)
	must(t, err)
	ids := make([]string, 5)
	for i := range ids {
		ids[i] = newIdentityForTest(t).ID()
	}
	yes := true
	mustAdd := func(name, id string) {
		t.Helper()
		_, err := r.Add(name, id, []string{"wapt"})
		must(t, err)
	}
	mustAdd("by-hand", ids[0])
	mustAdd("taken-over", ids[1])
	sync := func(want SyncResult, list ...ManagedRemote) {
		t.Helper()
		got, err := r.Sync(list)
		must(t, err)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	a := ManagedRemote{Name: "a", ID: ids[2], Shares: []string{"wapt"}}
	b := ManagedRemote{Name: "b", ID: ids[3], Shares: []string{"wapt", "wapt-host"}, Paused: &yes}
	taken := ManagedRemote{Name: "taken-over", ID: ids[1], Shares: []string{"wapt"}}
	sync(SyncResult{Added: []string{"a", "b"}, Changed: []string{"taken-over"}}, b, a, taken)
	before, err := os.Stat(r.path)
	must(t, err)
	sync(SyncResult{}, a, b, taken)
	if after, err := os.Stat(r.path); err != nil || !os.SameFile(before, after) {
		t.Error("it was written without a change")
	}
	inbox := func(name string) string {
		m, ok := r.RemoteByName(name)
		if !ok {
			t.Fatalf("%s is not there", name)
		}
		return m.Inbox
	}
	// Pausing by hand outlives the next change of the list, and so does a rule.
	must(t, r.SetPaused("a", true))
	rule, err := bandwidth.Parse("2 Mbit/s")
	must(t, err)
	must(t, r.SetBandwidth("a", rule))
	b.Bandwidth = &rule
	a.Shares = []string{"wapt-host"}
	was := inbox("a")
	sync(SyncResult{Changed: []string{"a", "b"}}, a, b, taken)
	if m, _ := r.RemoteByName("b"); m.Bandwidth.String() != "2 Mbit/s" {
		t.Errorf("the list's rule does not hold: %+v", m)
	}
	if m, _ := r.RemoteByName("a"); !m.Paused || m.Bandwidth.String() != "2 Mbit/s" || inbox("a") != was || !slices.Equal(m.Shares, []string{"wapt-host"}) {
		t.Errorf("got %+v", m)
	}
	a.ID = ids[4] // a new key is a new remote
	sync(SyncResult{Changed: []string{"a"}}, a, b, taken)
	if inbox("a") == was {
		t.Error("the inbox of the former key is kept")
	}
	sync(SyncResult{Removed: []string{"b", "taken-over"}}, a)
	sync(SyncResult{Removed: []string{"a"}})
	if all := r.Remotes(); len(all) != 1 || all[0].Name != "by-hand" {
		t.Errorf("left are %+v", all)
	}
	again, err := LoadRegistry(dir)
	must(t, err)
	if !reflect.DeepEqual(again.Remotes(), r.Remotes()) {
		t.Error("it is not on disk")
	}
}

func TestAFaultyListChangesNothing(t *testing.T) {
	r, err := LoadRegistry(t.TempDir())
	must(t, err)
	hand, other := newIdentityForTest(t).ID(), newIdentityForTest(t).ID()
	_, err = r.Add("by-hand", hand, []string{"wapt"})
	must(t, err)
	good := ManagedRemote{Name: "good", ID: other, Shares: []string{"wapt"}}
	for what, bad := range map[string]ManagedRemote{
		"no name":                     {ID: newIdentityForTest(t).ID(), Shares: []string{"wapt"}},
		"no ID":                       {Name: "x", Shares: []string{"wapt"}},
		"no share":                    {Name: "x", ID: newIdentityForTest(t).ID()},
		"a share out of bounds":       {Name: "x", ID: newIdentityForTest(t).ID(), Shares: []string{"../x"}},
		"the name of one by hand":     {Name: "by-hand", ID: newIdentityForTest(t).ID(), Shares: []string{"wapt"}},
		"the ID of one by hand":       {Name: "x", ID: hand, Shares: []string{"wapt"}},
		"the ID of another entry":     {Name: "x", ID: other, Shares: []string{"wapt"}},
		"the name of another entry":   {Name: "good", ID: newIdentityForTest(t).ID(), Shares: []string{"wapt"}},
		"a name with a configuration": {Name: "x\"}]", ID: newIdentityForTest(t).ID(), Shares: []string{"wapt"}},
	} {
		t.Run(what, func(t *testing.T) {
			if done, err := r.Sync([]ManagedRemote{good, bad}); err == nil || !strings.Contains(err.Error(), bad.Name) {
				t.Errorf("got %+v, %v", done, err)
			}
			if all := r.Remotes(); len(all) != 1 {
				t.Errorf("there are %+v", all)
			}
		})
	}
}
