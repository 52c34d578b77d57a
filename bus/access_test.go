package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

func accessForTest(t *testing.T, remotes ...Remote) *access {
	t.Helper()
	return &access{
		Shares: []string{"wapt", "wapt-host"}, Remotes: remotes,
		Publisher: newIdentityForTest(t).ID(), Service: newIdentityForTest(t).ID(), System: newIdentityForTest(t).ID(),
	}
}

func parseAccess(t *testing.T, a *access) *server.Options {
	t.Helper()
	o := new(server.Options)
	if err := o.ProcessConfigString(a.config()); err != nil {
		t.Fatalf("%v in\n%s", err, a.config())
	}
	return o
}

// A server without users lets anybody in, a user without account or permissions
// may do more than was meant.
func TestEveryUserHasItsAccountAndPermissions(t *testing.T) {
	for _, c := range []struct {
		what    string
		remotes []Remote
	}{
		{"no remote", nil},
		{"one", []Remote{{Name: "colmar", ID: newIdentityForTest(t).ID(), Inbox: randomToken(), Shares: []string{"wapt"}}}},
		{"one without a share that is published", []Remote{{Name: "colmar", ID: newIdentityForTest(t).ID(), Inbox: randomToken(), Shares: []string{"gone"}}}},
	} {
		t.Run(c.what, func(t *testing.T) {
			a := accessForTest(t, c.remotes...)
			a.Invitations = []string{newIdentityForTest(t).ID()}
			o := parseAccess(t, a)
			if want := 4 + len(c.remotes); len(o.Nkeys) != want || len(o.Users) != 0 || o.NoAuthUser != "" {
				t.Fatalf("got %d keys and %d users, want %d and none", len(o.Nkeys), len(o.Users), want)
			}
			for _, u := range o.Nkeys {
				if u.Nkey == a.System {
					if u.Account.Name != systemAccount || u.Permissions == nil || !slices.Equal(u.Permissions.Publish.Deny, []string{">"}) {
						t.Errorf("the system's user is in %v: %+v", u.Account, u.Permissions)
					}
					continue
				}
				if u.Nkey == a.Publisher {
					if u.Account.Name != streamsAccount {
						t.Errorf("the publisher is in %v", u.Account)
					}
					continue
				}
				want := joinAccount
				if u.Nkey == a.Service {
					want = serviceAccount
				} else if len(c.remotes) > 0 && u.Nkey == c.remotes[0].ID {
					want = remotePrefix + c.remotes[0].Name
				}
				if u.Account == nil || u.Account.Name != want {
					t.Errorf("%s is in %v, want %s", u.Nkey, u.Account, want)
				}
				if u.Permissions == nil || len(u.Permissions.Publish.Allow) == 0 || len(u.Permissions.Subscribe.Allow) == 0 {
					t.Fatalf("%s may do too much: %+v", u.Nkey, u.Permissions)
				}
				subjects := 1
				if u.Nkey == a.Service {
					subjects = 2
				}
				if len(u.Permissions.Subscribe.Allow) != subjects {
					t.Errorf("%s may do too much: %+v", u.Nkey, u.Permissions)
				}
			}
			if o.SystemAccount != systemAccount {
				t.Errorf("system account %q", o.SystemAccount)
			}
		})
	}
}

func TestRemoteMayDoThisAndNoMore(t *testing.T) {
	id, token := newIdentityForTest(t).ID(), randomToken()
	a := accessForTest(t, Remote{Name: "colmar", ID: id, Inbox: token, Shares: []string{"wapt", "gone"}})
	o := parseAccess(t, a)
	i := slices.IndexFunc(o.Nkeys, func(u *server.NkeyUser) bool { return u.Nkey == id })
	got := o.Nkeys[i].Permissions
	want := []string{
		"ws.report.colmar",
		"RJS.CONSUMER.MSG.NEXT.EVENTS_wapt.colmar",
		"$JS.ACK.EVENTS_wapt.colmar.>", "RJS.DIRECT.GET.OBJECTS_wapt",
		"ws.hello.wapt.colmar", "ws.fetch.wapt.colmar",
	}
	if !slices.Equal(got.Publish.Allow, want) || !slices.Equal(got.Subscribe.Allow, []string{"_R." + token + ".>"}) || got.Response != nil {
		t.Errorf("got %+v", got)
	}
}

// The account of a remote that has not joined is there, so that the join takes
// one reload of the server; nobody is in it, and nothing crosses into it.
func TestAccountOfAnInvitedRemoteIsEmpty(t *testing.T) {
	a := accessForTest(t)
	before := len(parseAccess(t, a).Accounts)
	a.Invited = []string{"colmar"}
	o := parseAccess(t, a)
	if len(o.Accounts) != before+1 || !slices.Contains(accountNames(o), "R_colmar") || len(o.Nkeys) != 3 {
		t.Errorf("accounts %v, %d users", accountNames(o), len(o.Nkeys))
	}
	if !strings.Contains(a.config(), "  R_colmar {}\n") {
		t.Errorf("something is in it:\n%s", a.config())
	}
}

func TestPausedRemoteIsNoUser(t *testing.T) {
	id := newIdentityForTest(t).ID()
	a := accessForTest(t, Remote{Name: "colmar", ID: id, Inbox: randomToken(), Shares: []string{"wapt"}, Paused: true})
	if strings.Contains(a.config(), id) {
		t.Error("it may connect")
	}
}

func BenchmarkConfigOf1000Remotes(b *testing.B) {
	a := &access{Shares: []string{"wapt", "wapt-host"}}
	id := func() string {
		dir := b.TempDir()
		i, err := LoadIdentity(dir)
		if err != nil {
			b.Fatal(err)
		}
		return i.ID()
	}
	a.Publisher, a.Service, a.System = id(), id(), id()
	for i := range 1000 {
		a.Remotes = append(a.Remotes, Remote{Name: fmt.Sprintf("r%d", i), ID: id(), Inbox: randomToken(), Shares: a.Shares})
	}
	for b.Loop() {
		if err := new(server.Options).ProcessConfigString(a.config()); err != nil {
			b.Fatal(err)
		}
	}
}
