package bus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"sync"
)

const pageFile = "page.pem"

// PageTLS is TLS 1.3 for a page that browsers reach by names, which may be
// addresses. The administrator's certificate is used where there is one; else
// the own CA signs one for the names. That is kept in a file, so that a browser
// which was told to trust it is not asked again at each start; it is renewed in
// time.
func (a *Authority) PageTLS(names []string) (*tls.Config, error) {
	if a.given != nil {
		return a.ServerTLS(), nil
	}
	p := &pageCertificate{a: a, names: names}
	if _, err := p.get(); err != nil {
		return nil, fmt.Errorf("making the page's certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.get() },
	}, nil
}

// pageCertificate is the certificate of a page. Its methods may be called concurrently.
type pageCertificate struct {
	a     *Authority
	names []string

	mu   sync.Mutex
	pair *tls.Certificate
}

func (p *pageCertificate) get() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	path := filepath.Join(p.a.dir, pageFile)
	if p.pair == nil {
		b, err := readPrivate(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		// One that is damaged is made anew: nobody knows it by itself.
		if pair, err := parsePair(b); err == nil {
			p.pair = p.a.withChain(pair)
		}
	}
	if p.good() {
		return p.pair, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t, err := p.a.template("waptsync page", serverLife)
	if err != nil {
		return nil, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range p.names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, p.a.ca, key.Public(), p.a.caKey)
	if err != nil {
		return nil, err
	}
	b, err := encodePair(key, der)
	if err != nil {
		return nil, err
	}
	pair, err := parsePair(b)
	if err != nil {
		return nil, err
	}
	// A renewed one that cannot be kept is used all the same.
	if err := WriteDurably(path, b); err != nil && p.pair == nil {
		return nil, err
	}
	p.pair = p.a.withChain(pair)
	return p.pair, nil
}

// good says whether the present one is of this CA, for all names, and timely.
func (p *pageCertificate) good() bool {
	if p.pair == nil || p.pair.Leaf.CheckSignatureFrom(p.a.ca) != nil || !p.a.timely(p.pair.Leaf) {
		return false
	}
	for _, name := range p.names {
		if p.pair.Leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}
