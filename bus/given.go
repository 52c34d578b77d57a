package bus

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// givenWarning is how long before its end a certificate that nobody renewed
// makes the main unwell.
const givenWarning = 14 * 24 * time.Hour

// given is the administrator's own certificate and key, read again when their
// files change. Its methods may be called concurrently.
type given struct {
	certFile, keyFile string
	now               func() time.Time

	mu      sync.Mutex
	stamps  [2]fileStamp // of what was read last, whether it was good or not
	pair    *tls.Certificate
	trust   trust
	ca      []byte // DER, with trustPinned
	first   trust  // at the start
	readErr error  // why the files' present content is not in use
}

// fileStamp tells whether a file is another one than before.
type fileStamp struct {
	size  int64
	mtime time.Time
}

func stampOf(path string) fileStamp {
	fi, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{fi.Size(), fi.ModTime()}
}

func newGiven(certFile, keyFile string, now func() time.Time) (*given, error) {
	g := &given{certFile: certFile, keyFile: keyFile, now: now}
	g.refresh()
	if g.readErr != nil {
		return nil, g.readErr
	}
	g.first = g.trust
	return g, nil
}

// refresh reads the files if they changed. A pair that is not good, perhaps
// because one of the two files is not replaced yet, leaves the former in use.
// The caller holds g.mu, or is alone.
func (g *given) refresh() {
	stamps := [2]fileStamp{stampOf(g.certFile), stampOf(g.keyFile)}
	if stamps == g.stamps {
		return
	}
	g.stamps = stamps
	pair, t, ca, err := readGiven(g.certFile, g.keyFile)
	if g.readErr = err; err == nil {
		g.pair, g.trust, g.ca = pair, t, ca
	}
}

// certificate is the newest good one.
func (g *given) certificate() *tls.Certificate {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refresh()
	return g.pair
}

// present is how remotes that join now shall know the main at address, and the
// CA's certificate (DER) if it is pinned.
func (g *given) present(address string) (trust, []byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refresh()
	host := g.trust.serverName(address)
	if err := g.pair.Leaf.VerifyHostname(host); err != nil {
		return trust{}, nil, fmt.Errorf("%s is not for the name %q by which remotes shall reach the main: %w", g.certFile, host, err)
	}
	return g.trust, g.ca, nil
}

func (g *given) trouble() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refresh()
	var errs []error
	if g.readErr != nil {
		errs = append(errs, fmt.Errorf("the new certificate is not used: %w", g.readErr))
	}
	if end := g.pair.Leaf.NotAfter; end.Sub(g.now()) < givenWarning {
		errs = append(errs, fmt.Errorf("%s ends on %s: renew it", g.certFile, end.Format(time.DateOnly)))
	}
	if g.trust != g.first {
		errs = append(errs, fmt.Errorf("%s now has another root: remotes that joined before trust the former one, and must join anew", g.certFile))
	}
	return errors.Join(errs...)
}

func readGiven(certFile, keyFile string) (*tls.Certificate, trust, []byte, error) {
	fail := func(err error) (*tls.Certificate, trust, []byte, error) {
		return nil, trust{}, nil, fmt.Errorf("certificate %s: %w", certFile, err)
	}
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return fail(err)
	}
	if fi, err := os.Stat(keyFile); err == nil && readableByAll(fi) {
		return fail(&ExposedFileError{Path: keyFile, Mode: fi.Mode().Perm()})
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return fail(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fail(fmt.Errorf("with the key %s: %w", keyFile, err))
	}
	chain := make([]*x509.Certificate, len(pair.Certificate))
	for i, der := range pair.Certificate {
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return fail(err)
		}
	}
	pair.Leaf = chain[0]
	root := rootOf(chain)
	if root == nil {
		return &pair, trust{kind: trustSystem}, nil, nil
	}
	t := trust{kind: trustPinned, fingerprint: sha256.Sum256(root.Raw)}
	if !root.IsCA || !root.BasicConstraintsValid {
		return fail(errors.New("it is self-signed and not one of a CA, so remotes could never trust its successor: leave tls-cert out, and the main makes its own CA"))
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: poolOf(chain[1:]), CurrentTime: chain[0].NotBefore})
	if err != nil {
		return fail(fmt.Errorf("the chain does not lead to its root: %w", err))
	}
	return &pair, t, root.Raw, nil
}

// rootOf returns the self-signed certificate of a chain, or nil.
func rootOf(chain []*x509.Certificate) *x509.Certificate {
	for _, c := range chain {
		if bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			return c
		}
	}
	return nil
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

// readableByAll is milder than openToOthers: a group that may read the keys of
// all services of a host is common (Debian's ssl-cert).
func readableByAll(fi fs.FileInfo) bool { return openToOthers(fi) && fi.Mode().Perm()&0o027 != 0 }
