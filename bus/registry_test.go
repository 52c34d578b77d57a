package bus

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"waptsync/bandwidth"
)

func newRegistryForTest(t *testing.T) (*Registry, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	r, err := LoadRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, filepath.Join(dir, registryFile)
}

func TestRegistrySurvivesRestart(t *testing.T) {
	r, path := newRegistryForTest(t)
	for _, name := range []string{"nancy", "colmar"} {
		if _, err := r.Add(name, newIdentityForTest(t).ID(), []string{"wapt-host", "wapt", "wapt"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.SetPaused("nancy", true); err != nil {
		t.Fatal(err)
	}
	rule, err := bandwidth.Parse("Mo-Fr 08:00-18:00 2 Mbit/s")
	must(t, err)
	must(t, r.SetBandwidth("colmar", rule))
	if err := r.SetShares("colmar", []string{"wapt"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Invite("metz", []string{"wapt"}, "main:4222", testFingerprint, time.Hour); err != nil {
		t.Fatal(err)
	}
	again, err := LoadRegistry(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Remotes(), r.Remotes()) || !reflect.DeepEqual(again.Invitations(), r.Invitations()) {
		t.Errorf("got %+v, want %+v", again.snapshot(), r.snapshot())
	}
	m := again.Remotes()
	if len(m) != 2 || m[0].Name != "colmar" || m[1].Name != "nancy" || !m[1].Paused || len(m[0].Shares) != 1 || len(m[1].Shares) != 2 {
		t.Errorf("got %+v", m)
	}
	if m[0].Bandwidth.String() != rule.String() || !m[1].Bandwidth.IsZero() {
		t.Errorf("the rules are %q and %q", m[0].Bandwidth, m[1].Bandwidth)
	}
	if m[0].Inbox == m[1].Inbox {
		t.Error("two remotes share an inbox")
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", fi.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestRegistryHoldsNoSecretOfAnInvitation(t *testing.T) {
	r, path := newRegistryForTest(t)
	line, err := r.Invite("colmar", []string{"wapt"}, "main:4222", testFingerprint, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, key := openInvitation(t, line)
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{
		string(seed), line, string(l.Seed[:]), hex.EncodeToString(l.Seed[:]),
		base64.StdEncoding.EncodeToString(l.Seed[:]), base64.RawURLEncoding.EncodeToString(l.Seed[:]),
	} {
		if bytes.Contains(file, []byte(secret)) {
			t.Error("the secret is in the file")
		}
	}
}

func TestRegistryRefuses(t *testing.T) {
	r, path := newRegistryForTest(t)
	known := newIdentityForTest(t).ID()
	if _, err := r.Add("colmar", known, []string{"wapt"}); err != nil {
		t.Fatal(err)
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	accountID, err := account.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	add := func(name, id string, shares ...string) func() error {
		return func() error { _, err := r.Add(name, id, shares); return err }
	}
	invite := func(name, address string, ttl time.Duration, shares ...string) func() error {
		return func() error { _, err := r.Invite(name, shares, address, testFingerprint, ttl); return err }
	}
	id := newIdentityForTest(t).ID()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		do   func() error
		want string
	}{
		{"a known name", add("colmar", id, "wapt"), "waptsync remote revoke colmar"},
		{"a known ID", add("nancy", known, "wapt"), "belongs to remote colmar"},
		{"an account's key", add("nancy", accountID, "wapt"), "waptsync id"},
		{"no ID", add("nancy", "", "wapt"), "waptsync id"},
		{"an ID with a slip", add("nancy", id[:55]+flip(id[55]), "wapt"), "waptsync id"},
		{"a bad name", add("Nancy", id, "wapt"), `name "Nancy"`},
		{"a bad share", add("nancy", id, "wapt", "a.b"), `name "a.b"`},
		{"no share", add("nancy", id), "no share"},
		{"inviting a known name", invite("colmar", "main:4222", time.Hour, "wapt"), "waptsync remote revoke colmar"},
		{"inviting a bad name", invite("a b", "main:4222", time.Hour, "wapt"), `name "a b"`},
		{"inviting without share", invite("nancy", "main:4222", time.Hour), "no share"},
		{"inviting without address", invite("nancy", "", time.Hour, "wapt"), "address"},
		{"inviting for no time", invite("nancy", "main:4222", 0, "wapt"), "life"},
		{"removing a stranger", func() error { return r.Remove("nancy") }, ErrUnknownRemote.Error()},
		{"pausing a stranger", func() error { return r.SetPaused("nancy", true) }, ErrUnknownRemote.Error()},
		{"taking all shares", func() error { return r.SetShares("colmar", nil) }, "no share"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed: %v", err)
	}
}

func TestFailedChangeChangesNothing(t *testing.T) {
	r, path := newRegistryForTest(t)
	if _, err := r.Add("colmar", newIdentityForTest(t).ID(), []string{"wapt"}); err != nil {
		t.Fatal(err)
	}
	before := r.Remotes()
	if err := os.Rename(filepath.Dir(path), filepath.Dir(path)+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove("colmar"); err == nil {
		t.Fatal("removed without writing")
	}
	if !reflect.DeepEqual(r.Remotes(), before) {
		t.Errorf("got %+v, want %+v", r.Remotes(), before)
	}
}

// What is in the registry becomes the server's configuration.
func TestEditedRegistryIsChecked(t *testing.T) {
	id := newIdentityForTest(t).ID()
	remote := func(name, id, inbox, share string) string {
		return `{"version":1,"remotes":[{"name":"` + name + `","id":"` + id + `","inbox":"` + inbox + `","shares":["` + share + `"],"added":"2026-01-01T00:00:00Z"}]}`
	}
	token := randomToken()
	for _, c := range []struct {
		what, file string
		good       bool
	}{
		{"good", remote("colmar", id, token, "wapt"), true},
		{"name", remote("a.>", id, token, "wapt"), false},
		{"id", remote("colmar", "x} users: [", token, "wapt"), false},
		{"inbox", remote("colmar", id, ">", "wapt"), false},
		{"empty inbox", remote("colmar", id, "", "wapt"), false},
		{"share", remote("colmar", id, token, "*"), false},
		{"unknown field", `{"version":1,"remote":[]}`, false},
		{"newer version", `{"version":2}`, false},
		{"cut", `{"version":1`, false},
		{"empty", ``, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, path := newRegistryForTest(t)
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadRegistry(filepath.Dir(path)); c.good != (err == nil) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("open to others", func(t *testing.T) {
		r, path := newRegistryForTest(t)
		if _, err := r.Add("colmar", id, []string{"wapt"}); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		var exposed *ExposedFileError
		if _, err := LoadRegistry(filepath.Dir(path)); !errors.As(err, &exposed) || exposed.Mode != 0o644 {
			t.Errorf("got %v", err)
		}
	})
}

func TestRedeemedOnceByManyAtATime(t *testing.T) {
	r, _ := newRegistryForTest(t)
	line, err := r.Invite("colmar", []string{"wapt"}, "main:4222", testFingerprint, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, pair := openInvitation(t, line)
	key, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 8)
	for i := range ids {
		ids[i] = newIdentityForTest(t).ID()
	}
	results := make([]error, len(ids))
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() { _, results[i] = r.redeem(key, ids[i]) })
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else if !errors.Is(err, errInvitationUsed) {
			t.Error(err)
		}
	}
	if won != 1 || len(r.Remotes()) != 1 {
		t.Fatalf("%d joined with one invitation", won)
	}
}
