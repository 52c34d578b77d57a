package bus

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// company is an administrator's CA with an intermediate one.
type company struct {
	root, middle       *x509.Certificate
	rootKey, middleKey *ecdsa.PrivateKey
}

func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{}
	c.root, c.rootKey = makeCertificate(t, "root", nil, nil, true)
	c.middle, c.middleKey = makeCertificate(t, "middle", c.root, c.rootKey, true)
	return c
}

// makeCertificate signs with parent, or itself.
func makeCertificate(t *testing.T, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, isCA bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if isCA {
		tmpl.KeyUsage = x509.KeyUsageCertSign
	} else {
		tmpl.DNSNames, tmpl.ExtKeyUsage = []string{name}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if parent == nil {
		parent, parentKey = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// pairFiles are the files of an administrator's certificate and key.
type pairFiles struct{ cert, key string }

func (p pairFiles) write(t *testing.T, key *ecdsa.PrivateKey, chain ...*x509.Certificate) {
	t.Helper()
	var certs []byte
	for _, c := range chain {
		certs = append(certs, encodeCertificate(c.Raw)...)
	}
	both, err := encodePair(key, chain[0].Raw)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM := both[:bytes.Index(both, []byte("-----BEGIN CERTIFICATE"))]
	for path, b := range map[string][]byte{p.cert: certs, p.key: keyPEM} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// issue writes a new certificate for localhost; root says whether its chain
// ends with the root.
func (p pairFiles) issue(t *testing.T, c *company, root bool) *x509.Certificate {
	t.Helper()
	leaf, key := makeCertificate(t, "localhost", c.middle, c.middleKey, false)
	chain := []*x509.Certificate{leaf, c.middle}
	if root {
		chain = append(chain, c.root)
	}
	p.write(t, key, chain...)
	return leaf
}

func newPairFiles(t *testing.T) pairFiles {
	dir := t.TempDir()
	return pairFiles{filepath.Join(dir, "main.pem"), filepath.Join(dir, "main.key")}
}

func TestRemotesKnowTheMainByTheAdministratorsCA(t *testing.T) {
	b := startBus(t)
	old := b.member(t, "old") // trusts the main's own CA
	files, ca := newPairFiles(t), newCompany(t)
	files.issue(t, ca, true)
	if err := b.options.Authority.UseCertificate(files.cert, files.key); err != nil {
		t.Fatal(err)
	}
	b.restart(t)
	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	address := "localhost:" + port
	trusted, err := b.options.Authority.Trust(address)
	if err != nil {
		t.Fatal(err)
	}
	line, err := b.options.Registry.Invite("colmar", []string{"wapt"}, address, trusted, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(); err != nil {
		t.Fatal(err)
	}
	id := newIdentityForTest(t)
	m, err := Join(testContext(t), line, id)
	if err != nil {
		t.Fatal(err)
	}
	if m.Server != "localhost" || m.CA != string(encodeCertificate(ca.root.Raw)) {
		t.Errorf("membership %+v", m)
	}
	connectClient(t, ClientOptions{Membership: m, Identity: id, Log: b.options.Log})
	connectClient(t, old)

	r, ok := b.options.Registry.RemoteByName("colmar")
	if !ok {
		t.Fatal("not known")
	}
	if added, err := b.options.Authority.Membership(r, address); err != nil || added.CA != m.CA || added.Server != m.Server {
		t.Errorf("one that was added by hand gets %+v, %v", added, err)
	}

	files.issue(t, ca, true) // renewed by the same CA
	connectClient(t, ClientOptions{Membership: m, Identity: id, Log: b.options.Log})

	files.issue(t, newCompany(t), true) // of another
	c, err := Connect(testContext(t), ClientOptions{Membership: m, Identity: id, Log: b.options.Log})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer func() { t.Log(c.Trouble()) }()
	waitFor(t, "it says what to do", func() bool { return strings.Contains(c.Trouble().Error(), "must join anew") })
	if err := b.Health(); err == nil || !strings.Contains(err.Error(), "another root") {
		t.Errorf("health: %v", err)
	}
	connectClient(t, old)
}

func TestAChainWithoutRootIsLeftToTheSystem(t *testing.T) {
	m := startMain(t)
	files := newPairFiles(t)
	files.issue(t, newCompany(t), false)
	if err := m.options.Authority.UseCertificate(files.cert, files.key); err != nil {
		t.Fatal(err)
	}
	trusted, err := m.options.Authority.Trust("localhost:1")
	if err != nil || trusted != systemText {
		t.Fatalf("got %q, %v", trusted, err)
	}
	line, _, err := newInvitationLine("colmar", "localhost:1", trusted)
	if err != nil {
		t.Fatal(err)
	}
	l, err := decodeInvitation(line)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ := l.joinTLS(time.Now)
	joined, err := (&Membership{Server: "localhost"}).tls()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*tls.Config{cfg, joined} {
		if c.RootCAs != nil || c.ServerName != "localhost" || c.InsecureSkipVerify || c.MinVersion != tls.VersionTLS13 {
			t.Errorf("got %+v", c)
		}
	}
	_, port, err := net.SplitHostPort(m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if line, _, err = newInvitationLine("colmar", "localhost:"+port, trusted); err != nil {
		t.Fatal(err)
	}
	_, err = Join(shortContext(t), line, newIdentityForTest(t)) // the system does not know this company
	var cert *tls.CertificateVerificationError
	if !errors.As(err, &cert) {
		t.Fatalf("got %v", err)
	}
}

func TestTheAdministratorsCertificateIsReadAgain(t *testing.T) {
	clock := newTestClock()
	a, err := loadAuthority(filepath.Join(t.TempDir(), "tls"), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	files, ca := newPairFiles(t), newCompany(t)
	first := files.issue(t, ca, true)
	if err := a.UseCertificate(files.cert, files.key); err != nil {
		t.Fatal(err)
	}
	served := func(name string) *x509.Certificate {
		t.Helper()
		c, err := a.ServerTLS().GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	if !served("localhost").Equal(first) || !served("").Equal(first) || served(serverName).CheckSignatureFrom(a.ca) != nil {
		t.Error("the wrong certificate is served")
	}
	second := files.issue(t, ca, true)
	if !served("localhost").Equal(second) || a.trouble() != nil {
		t.Errorf("the new certificate is not served: %v", a.trouble())
	}
	if err := os.WriteFile(files.key, []byte("half of a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !served("localhost").Equal(second) {
		t.Error("the former certificate is not served while the new one is not good")
	}
	if err := a.trouble(); err == nil || !strings.Contains(err.Error(), files.key) {
		t.Errorf("trouble: %v", err)
	}
	third := files.issue(t, ca, true)
	if !served("localhost").Equal(third) || a.trouble() != nil {
		t.Errorf("it did not recover: %v", a.trouble())
	}
	clock.advance(360 * 24 * time.Hour)
	if err := a.trouble(); err == nil || !strings.Contains(err.Error(), "renew it") {
		t.Errorf("near its end: %v", err)
	}
}

func TestACertificateThatCannotServeIsRefused(t *testing.T) {
	ca := newCompany(t)
	for what, c := range map[string]struct {
		spoil func(t *testing.T, files pairFiles)
		want  string
	}{
		"no file":                    {func(t *testing.T, f pairFiles) { must(t, os.Remove(f.cert)) }, "no such file"},
		"no key":                     {func(t *testing.T, f pairFiles) { must(t, os.Remove(f.key)) }, "no such file"},
		"a key that others can read": {func(t *testing.T, f pairFiles) { must(t, os.Chmod(f.key, 0o644)) }, "chmod 600"},
		"another key": {func(t *testing.T, f pairFiles) {
			other := newPairFiles(t)
			other.issue(t, ca, true)
			must(t, os.Rename(other.key, f.key))
		}, "private key does not match"},
		"self-signed": {func(t *testing.T, f pairFiles) {
			leaf, key := makeCertificate(t, "localhost", nil, nil, false)
			f.write(t, key, leaf)
		}, "self-signed"},
		"a root of others": {func(t *testing.T, f pairFiles) {
			leaf, key := makeCertificate(t, "localhost", ca.middle, ca.middleKey, false)
			f.write(t, key, leaf, ca.middle, newCompany(t).root)
		}, "does not lead to its root"},
	} {
		t.Run(what, func(t *testing.T) {
			a, err := LoadAuthority(filepath.Join(t.TempDir(), "tls"))
			if err != nil {
				t.Fatal(err)
			}
			files := newPairFiles(t)
			files.issue(t, ca, true)
			c.spoil(t, files)
			if err := a.UseCertificate(files.cert, files.key); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	t.Run("for another name", func(t *testing.T) {
		a, err := LoadAuthority(filepath.Join(t.TempDir(), "tls"))
		if err != nil {
			t.Fatal(err)
		}
		files := newPairFiles(t)
		files.issue(t, ca, true)
		if err := a.UseCertificate(files.cert, files.key); err != nil {
			t.Fatal(err)
		}
		if s, err := a.Trust("main.example:4222"); err == nil || !strings.Contains(err.Error(), "main.example") {
			t.Errorf("got %q, %v", s, err)
		}
	})
	t.Run("a key that a group can read is taken", func(t *testing.T) {
		a, err := LoadAuthority(filepath.Join(t.TempDir(), "tls"))
		if err != nil {
			t.Fatal(err)
		}
		files := newPairFiles(t)
		files.issue(t, ca, true)
		must(t, os.Chmod(files.key, 0o640))
		if err := a.UseCertificate(files.cert, files.key); err != nil {
			t.Error(err)
		}
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
