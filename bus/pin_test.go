package bus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"testing"
	"time"
)

func TestChainIsVerifiedInFull(t *testing.T) {
	clock := newTestClock()
	a, err := loadAuthority(secretDir(t), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := LoadAuthority(secretDir(t))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.certificate()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.certificate()
	if err != nil {
		t.Fatal(err)
	}
	sign := func(edit func(*x509.Certificate)) *x509.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: clock.now().Add(-time.Hour), NotAfter: clock.now().Add(time.Hour),
			DNSNames: []string{serverName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		edit(c)
		der, err := x509.CreateCertificate(rand.Reader, c, a.ca, key.Public(), a.caKey)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		return c
	}
	fingerprint := sha256.Sum256(a.ca.Raw)
	for _, c := range []struct {
		what  string
		chain []*x509.Certificate
		now   time.Time
		print [sha256.Size]byte
		good  bool
	}{
		{"good", []*x509.Certificate{leaf.Leaf, a.ca}, clock.now(), fingerprint, true},
		{"no certificate", nil, clock.now(), fingerprint, false},
		{"no CA sent", []*x509.Certificate{leaf.Leaf}, clock.now(), fingerprint, false},
		{"leaf of another CA", []*x509.Certificate{foreign.Leaf, a.ca}, clock.now(), fingerprint, false},
		{"leaf of another CA, whole chain", []*x509.Certificate{foreign.Leaf, other.ca, a.ca}, clock.now(), fingerprint, false},
		{"the CA alone", []*x509.Certificate{a.ca}, clock.now(), fingerprint, false},
		{"the fingerprint is the leaf's", []*x509.Certificate{leaf.Leaf, a.ca}, clock.now(), sha256.Sum256(leaf.Leaf.Raw), false},
		{"after its end", []*x509.Certificate{leaf.Leaf, a.ca}, leaf.Leaf.NotAfter.Add(time.Second), fingerprint, false},
		{"before its begin", []*x509.Certificate{leaf.Leaf, a.ca}, leaf.Leaf.NotBefore.Add(-time.Second), fingerprint, false},
		{"another name", []*x509.Certificate{sign(func(c *x509.Certificate) { c.DNSNames = []string{"example.org"} }), a.ca}, clock.now(), fingerprint, false},
		{"for clients", []*x509.Certificate{sign(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), a.ca}, clock.now(), fingerprint, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			ca, err := verifyByFingerprint(c.chain, c.print, serverName, c.now)
			if c.good != (err == nil) || c.good != (ca != nil) {
				t.Fatalf("got %v, %v", ca, err)
			}
		})
	}
}
