package console

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// fakeMain is a main with a state that tests set, and that does what it is told.
type fakeMain struct {
	mu     sync.Mutex
	status MainStatus
	did    []string
	fail   error // of Status
}

// newFakeMain is a main in the middle of a working day: one remote level, one
// behind on a slow link, one away, one paused.
func newFakeMain(now time.Time) *fakeMain {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	return &fakeMain{status: MainStatus{
		Version: "0.3.0", Host: "wapt-main.example.org", Listen: "[::]:4222", Sent: 48_318_382_080,
		Abilities: Abilities{ForceSync: true, Verify: true},
		Shares: map[string]Share{
			"wapt": {Dir: "/var/www/wapt", State: StateLive, Files: 1284, Bytes: 96_636_764_160,
				Newest: ago(4 * time.Minute), Index: IndexComplete},
			"wapt-host": {Dir: "/var/www/wapt-host", State: StateHeld, Files: 18_402, Bytes: 231_211_008,
				Held: "6,120 of 18,402 paths vanished within a minute", Newest: ago(26 * time.Minute)},
			"wads": {Dir: "/srv/wads", State: StateScanning, Files: 212, Bytes: 41_875_931_136, Scanned: 1730,
				Newest: ago(9 * 24 * time.Hour), Errors: 1, Problems: []Problem{{Path: "drivers/hp/elitebook/é/net.cab", Op: "read",
					Cause: "permission denied", Hint: "let the service's user read it", Tries: 4, Next: now.Add(90 * time.Second)}}},
		},
		Remotes: map[string]Remote{
			"colmar": {Connected: true, Address: "192.0.2.14:51022", Since: ago(3 * time.Hour), RTT: 0.018, Host: "srv-colmar", Version: "0.3.0",
				Reported: ago(time.Second), Verified: Verified{Time: ago(20 * time.Hour), Files: 19_686},
				Shares: map[string]RemoteShare{
					"wapt":      {State: StateLive, Files: 1284, Bytes: 96_636_764_160, Received: 1 << 30, Reused: 3 << 30},
					"wapt-host": {State: StateLive, Files: 18_402, Bytes: 231_211_008},
				}},
			"mulhouse": {Connected: true, Address: "198.51.100.7:40410", Since: ago(11 * time.Minute), RTT: 0.142, Host: "wapt-mulhouse", Version: "0.2.9",
				Reported:  ago(2 * time.Second),
				Bandwidth: Bandwidth{Main: "Mo-Fr 08:00-18:00 2 Mbit/s; else unlimited", Own: "8 Mbit/s", Now: "2 Mbit/s", Until: "18:00"},
				Shares: map[string]RemoteShare{
					"wads": {State: StateWaiting, Until: "20:00", Files: 2, Bytes: 8_192_000, LagEvents: 210, LagBytes: 41_867_739_136, LagAge: 7200},
					"wapt": {State: StateCatchingUp, Files: 1270, Bytes: 90_194_313_216, LagEvents: 14, LagBytes: 6_442_450_944, LagAge: 1312, Received: 2 << 30,
						Transfers: []Transfer{
							{Path: "smp-libreoffice-fresh_24.8.4.2-12_x64_windows_10_fr_PROD.wapt", Done: 120 << 20, Size: 361 << 20},
							{Path: "smp-autocad-2025_25.0.58-3_x64_windows_10_fr_PROD.wapt", Done: 1 << 30, Size: 4 << 30},
						},
						Errors: 1, Problems: []Problem{{Path: "tis-odd:name_1-1_all.wapt", Op: "rename", Cause: "no space left on device",
							Hint: "free 361 MiB on /var/www", Tries: 7, Next: now.Add(4 * time.Minute)}}},
				}},
			"saint-louis": {Host: "srv-stlouis", Version: "0.3.0", Reported: ago(50 * time.Hour),
				Shares: map[string]RemoteShare{"wapt": {State: StateOffline, Files: 1269, Bytes: 90_000_000_000, LagEvents: 31, LagBytes: 7_516_192_768, LagAge: 180_000}}},
			"sélestat-très-long-nom": {Paused: true, Managed: true, Shares: map[string]RemoteShare{"wapt": {State: StatePaused, Files: 1284, Bytes: 96_636_764_160}}},
		},
		Invitations: []Invitation{{Name: "guebwiller", Shares: []string{"wapt", "wapt-host"}, Expires: now.Add(22 * time.Hour)}},
	}}
}

// edit changes the state.
func (f *fakeMain) edit(fn func(*MainStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(&f.status)
}

func (f *fakeMain) acts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.did)
}

func (f *fakeMain) Status(context.Context) (*MainStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	out := f.status
	out.Time = time.Now()
	out.Shares, out.Remotes = maps.Clone(out.Shares), maps.Clone(out.Remotes)
	out.Invitations = slices.Clone(out.Invitations)
	for name, r := range out.Remotes {
		r.Shares = maps.Clone(r.Shares)
		for share, s := range r.Shares {
			s.Transfers = slices.Clone(s.Transfers)
			r.Shares[share] = s
		}
		out.Remotes[name] = r
	}
	return &out, nil
}

// do notes an act, and changes the state under the lock.
func (f *fakeMain) do(what string, fn func(*MainStatus) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, what)
	return fn(&f.status)
}

func (f *fakeMain) remote(what, name string, fn func(*Remote)) error {
	return f.do(what+" "+name, func(s *MainStatus) error {
		r, ok := s.Remotes[name]
		if !ok {
			return &ActError{Status: http.StatusNotFound, Text: fmt.Sprintf("remote %q: not known", name), Hint: "look at the list"}
		}
		fn(&r)
		s.Remotes[name] = r
		return nil
	})
}

func (f *fakeMain) Invite(_ context.Context, in Invite) (string, error) {
	return "waptsync1-AVerySecretLineFor" + in.Name, f.do(fmt.Sprintf("invite %s %v %s", in.Name, in.Shares, in.Expires), func(s *MainStatus) error {
		if _, taken := s.Remotes[in.Name]; taken {
			return &ActError{Status: http.StatusBadRequest, Text: "a remote " + in.Name + " is known already", Hint: "revoke it first"}
		}
		s.Invitations = append(s.Invitations, Invitation{Name: in.Name, Shares: in.Shares, Expires: time.Now().Add(in.Expires)})
		return nil
	})
}

func (f *fakeMain) SetPaused(_ context.Context, name string, paused bool) error {
	return f.remote(fmt.Sprintf("paused=%t", paused), name, func(r *Remote) { r.Paused, r.Connected = paused, !paused })
}

func (f *fakeMain) Revoke(_ context.Context, name string) error {
	return f.do("revoke "+name, func(s *MainStatus) error {
		delete(s.Remotes, name)
		s.Invitations = slices.DeleteFunc(s.Invitations, func(i Invitation) bool { return i.Name == name })
		return nil
	})
}

func (f *fakeMain) SetShares(_ context.Context, name string, shares []string) error {
	return f.remote(fmt.Sprintf("shares %v", shares), name, func(r *Remote) {
		next := make(map[string]RemoteShare)
		for _, share := range shares {
			next[share] = r.Shares[share]
		}
		r.Shares = next
	})
}

func (f *fakeMain) SetBandwidth(_ context.Context, name, rule string) error {
	if rule == "2 MB/s" {
		return &ActError{Status: http.StatusBadRequest, Text: `rate "2 MB/s": want kbit/s, Mbit/s or Gbit/s`, Hint: "see the help"}
	}
	return f.remote(fmt.Sprintf("bandwidth %q", rule), name, func(r *Remote) {
		r.Bandwidth.Main, r.Bandwidth.Awaited = rule, rule != ""
	})
}

func (f *fakeMain) Approve(_ context.Context, share string) error {
	return f.do("approve "+share, func(s *MainStatus) error {
		sh := s.Shares[share]
		sh.Held, sh.State = "", StateLive
		s.Shares[share] = sh
		return nil
	})
}

func (f *fakeMain) Rescan(_ context.Context, share string) error {
	return f.do("rescan "+share, func(*MainStatus) error { return nil })
}

func (f *fakeMain) ForceSync(_ context.Context, name string) error {
	return f.remote("sync", name, func(*Remote) {})
}

func (f *fakeMain) Verify(_ context.Context, name string) error {
	return f.remote("verify", name, func(*Remote) {})
}

// fakeReplica is a remote on its own page.
type fakeReplica struct{ status ReplicaStatus }

func (f *fakeReplica) Status(context.Context) (*ReplicaStatus, error) {
	out := f.status
	out.Shares = maps.Clone(out.Shares)
	return &out, nil
}

func newFakeReplica(now time.Time) *fakeReplica {
	m := newFakeMain(now).status.Remotes["mulhouse"]
	return &fakeReplica{ReplicaStatus{
		Version: "0.3.0", Name: "mulhouse", Main: "wapt-main.example.org:4222", Connected: true, Received: 2 << 30,
		Shares: m.Shares, Bandwidth: m.Bandwidth, Dirs: map[string]string{"wapt": "/var/www/wapt", "wads": "/srv/wads"}, Verified: Verified{Time: now.Add(-3 * time.Hour), Files: 1270, Differences: 2},
	}}
}

var (
	_ Main    = (*fakeMain)(nil)
	_ Replica = (*fakeReplica)(nil)
)
