package bus

import (
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"
)

func TestThePagesCertificateIsForItsNamesAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := time.Now()
	leaf := func(names ...string) *x509.Certificate {
		t.Helper()
		a, err := loadAuthority(dir, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.PageTLS(names)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := c.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(a.CAPEM())
		for _, name := range names {
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		return pair.Leaf
	}
	first := leaf("wapt.example.org", "192.0.2.1")
	if again := leaf("192.0.2.1"); !again.Equal(first) {
		t.Error("a new one was made though the old one is for all names")
	}
	if more := leaf("wapt.example.org", "another"); more.Equal(first) {
		t.Error("the old one was kept though it is not for all names")
	}
	old := leaf("another")
	now = now.Add(serverLife * 3 / 4)
	if renewed := leaf("another"); renewed.Equal(old) {
		t.Error("it was not renewed")
	}
}
