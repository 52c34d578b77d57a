package bus

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAuthorityStaysTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	a, err := LoadAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := LoadAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if a.Fingerprint() != b.Fingerprint() || !bytes.Equal(a.CAPEM(), b.CAPEM()) || !a.server.Leaf.Equal(b.server.Leaf) {
		t.Error("another authority was loaded")
	}
	if strings.Contains(string(a.CAPEM()), "PRIVATE") {
		t.Error("the CA's key is in what remotes get")
	}
	for _, name := range []string{authorityFile, serverFile} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

// A new CA would lock out every remote, so it is never made in place of one
// that cannot be read.
func TestDamagedAuthorityIsNotReplaced(t *testing.T) {
	for what, damage := range map[string]func(path string) error{
		"cut":            func(p string) error { return os.Truncate(p, 100) },
		"empty":          func(p string) error { return os.Truncate(p, 0) },
		"open to others": func(p string) error { return os.Chmod(p, 0o640) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := secretDir(t)
			if _, err := LoadAuthority(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, authorityFile)
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := LoadAuthority(dir); err == nil {
				t.Fatal("loaded")
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file changed: %v", err)
			}
		})
	}
}

func TestServerCertificateIsMadeAgainWhenUnusable(t *testing.T) {
	for what, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"cut":     func(p string) error { return os.Truncate(p, 100) },
		"of another CA": func(p string) error {
			other, err := LoadAuthority(secretDir(t))
			if err != nil {
				return err
			}
			b, err := os.ReadFile(filepath.Join(other.dir, serverFile))
			if err != nil {
				return err
			}
			return os.WriteFile(p, b, 0o600)
		},
	} {
		t.Run(what, func(t *testing.T) {
			a, err := LoadAuthority(secretDir(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(a.dir, serverFile)); err != nil {
				t.Fatal(err)
			}
			b, err := LoadAuthority(a.dir)
			if err != nil {
				t.Fatal(err)
			}
			if a.server.Leaf.Equal(b.server.Leaf) || b.server.Leaf.CheckSignatureFrom(a.ca) != nil {
				t.Error("no good certificate was made")
			}
			mustHandshake(t, b, a.CAPEM())
		})
	}
}

// mustHandshake connects as a remote that trusts caPEM, and returns what it saw.
func mustHandshake(t *testing.T, a *Authority, caPEM []byte) tls.ConnectionState {
	t.Helper()
	cfg, err := ClientTLS(caPEM)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Time = a.now
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		_ = tls.Server(far, a.ServerTLS()).Handshake() // the client's side tells
	}()
	c := tls.Client(near, cfg)
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState()
}

func TestServerCertificateIsRenewedWhileRunning(t *testing.T) {
	clock := newTestClock()
	a, err := loadAuthority(secretDir(t), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	first := mustHandshake(t, a, a.CAPEM())
	if first.Version != tls.VersionTLS13 || len(first.PeerCertificates) != 2 || !first.PeerCertificates[1].Equal(a.ca) {
		t.Fatalf("version %x, %d certificates", first.Version, len(first.PeerCertificates))
	}
	clock.advance(serverLife*2/3 - time.Minute)
	if same := mustHandshake(t, a, a.CAPEM()); !same.PeerCertificates[0].Equal(first.PeerCertificates[0]) {
		t.Error("renewed too early")
	}
	clock.advance(2 * time.Minute)
	second := mustHandshake(t, a, a.CAPEM())
	if second.PeerCertificates[0].Equal(first.PeerCertificates[0]) {
		t.Fatal("not renewed")
	}
	again, err := loadAuthority(a.dir, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	if !again.server.Leaf.Equal(second.PeerCertificates[0]) {
		t.Error("the new certificate is not on disk")
	}
	if err := a.trouble(); err != nil {
		t.Error(err)
	}
}

// The clock of a main was a year ahead for a while, and is right again.
func TestCertificateOfTheFutureIsReplaced(t *testing.T) {
	clock := newTestClock()
	a, err := loadAuthority(secretDir(t), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	clock.advance(serverLife)
	ahead := mustHandshake(t, a, a.CAPEM())
	clock.advance(-serverLife)
	if now := mustHandshake(t, a, a.CAPEM()); now.PeerCertificates[0].Equal(ahead.PeerCertificates[0]) {
		t.Error("a certificate that is not valid yet is still shown")
	}
}

func TestRenewalThatCannotBeSavedIsUsedAndTold(t *testing.T) {
	clock := newTestClock()
	dir := filepath.Join(t.TempDir(), "authority")
	a, err := loadAuthority(dir, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	clock.advance(serverLife - time.Hour)
	mustHandshake(t, a, a.CAPEM())
	if err := a.trouble(); err == nil {
		t.Error("nobody hears of it")
	}
}

func TestAuthorityTellsOfItsEnd(t *testing.T) {
	clock := newTestClock()
	a, err := loadAuthority(secretDir(t), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	clock.advance(authorityLife - serverLife + time.Hour)
	if err := a.trouble(); err == nil || !strings.Contains(err.Error(), "the CA expires") {
		t.Errorf("got %v", err)
	}
	clock.advance(serverLife)
	if _, err := loadAuthority(a.dir, clock.now); err == nil || !strings.Contains(err.Error(), "the CA expired") {
		t.Errorf("got %v", err)
	}
}

func TestClientTLSTrustsOneCA(t *testing.T) {
	a, err := LoadAuthority(secretDir(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ClientTLS(a.CAPEM())
	if err != nil {
		t.Fatal(err)
	}
	if cfg.MinVersion != tls.VersionTLS13 || cfg.InsecureSkipVerify || cfg.ServerName != serverName || cfg.RootCAs == nil {
		t.Errorf("got %+v", cfg)
	}
	for _, bad := range []string{"", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := ClientTLS([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestIdentityStaysAndIsItsOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	a, err := LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := LoadIdentity(dir)
	if err != nil || a.ID() != b.ID() || !strings.HasPrefix(a.ID(), "U") {
		t.Fatalf("got %v, %v, %v", a, b, err)
	}
	path := filepath.Join(dir, identityFile)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode: %v, %v", fi.Mode(), err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	var exposed *ExposedFileError
	if _, err := LoadIdentity(dir); !errors.As(err, &exposed) || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Fatalf("got %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("SUAXX\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(dir); err == nil || strings.Contains(err.Error(), "SUAXX") {
		t.Fatalf("got %v", err)
	}
}
