package bus

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"time"
)

const (
	// serverName is what every server certificate of waptsync is for. A remote
	// trusts its main's CA and no other, so the name tells nothing about where
	// the main is, and a main may change its address freely.
	serverName = "waptsync.internal"

	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 365 * 24 * time.Hour
	// clockSkew dates certificates back, for remotes whose clock is behind.
	clockSkew = 24 * time.Hour

	authorityFile = "ca.pem"
	serverFile    = "server.pem"
)

// Authority is the main's own CA and the server certificate it signed.
// Its methods may be called concurrently.
type Authority struct {
	dir    string
	now    func() time.Time
	ca     *x509.Certificate
	caKey  crypto.Signer
	given  *given     // nil without a certificate of the administrator's
	mu     sync.Mutex // guards what follows
	server *tls.Certificate
	// saveErr is why the newest server certificate is in memory only.
	saveErr error
}

// LoadAuthority reads the authority from dir, or makes it there at the first start.
func LoadAuthority(dir string) (*Authority, error) { return loadAuthority(dir, time.Now) }

func loadAuthority(dir string, now func() time.Time) (*Authority, error) {
	if err := makeSecretDir(dir); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	a := &Authority{dir: dir, now: now}
	if err := a.loadCA(); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if err := a.loadServer(); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if _, err := a.certificate(); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return a, nil
}

// loadCA reads the CA or makes it. A CA that is there and cannot be used is an
// error: a new one would lock out every remote.
func (a *Authority) loadCA() error {
	path := filepath.Join(a.dir, authorityFile)
	b, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return a.makeCA(path)
	}
	if err != nil {
		return err
	}
	pair, err := parsePair(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !pair.Leaf.IsCA {
		return fmt.Errorf("%s: its certificate is not one of a CA", path)
	}
	if a.now().After(pair.Leaf.NotAfter) {
		return fmt.Errorf("%s: the CA expired on %s: move the file away, start again, and invite all remotes anew",
			path, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	a.ca, a.caKey = pair.Leaf, pair.PrivateKey.(crypto.Signer)
	return nil
}

func (a *Authority) makeCA(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t, err := a.template("waptsync CA", authorityLife)
	if err != nil {
		return err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	b, err := encodePair(key, der)
	if err != nil {
		return err
	}
	if err := WriteDurably(path, b); err != nil {
		return err
	}
	a.caKey = key
	a.ca, err = x509.ParseCertificate(der)
	return err
}

// loadServer reads the server certificate. One that is missing, damaged or
// signed by another CA is made anew by certificate: nobody knows it by itself.
func (a *Authority) loadServer() error {
	b, err := readPrivate(filepath.Join(a.dir, serverFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pair, err := parsePair(b)
	if err != nil || pair.Leaf.CheckSignatureFrom(a.ca) != nil || pair.Leaf.VerifyHostname(serverName) != nil {
		return nil
	}
	a.server = a.withChain(pair)
	return nil
}

// timely says whether a certificate is valid now and has more than a third of
// its life left. One that was made while the clock was ahead is not valid any
// more, or not yet, once the clock is right again.
func (a *Authority) timely(leaf *x509.Certificate) bool {
	now := a.now()
	left := leaf.NotAfter.Sub(now)
	return !now.Before(leaf.NotBefore) && left > serverLife/3
}

// certificate returns the server certificate, after renewing it if it is not
// timely. A new one that cannot be written to disk is used
// all the same, and made again at the next start.
func (a *Authority) certificate() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil && a.timely(a.server.Leaf) {
		return a.server, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t, err := a.template("waptsync main", serverLife)
	if err != nil {
		return nil, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.DNSNames = []string{serverName, "localhost"}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	der, err := x509.CreateCertificate(rand.Reader, t, a.ca, key.Public(), a.caKey)
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
	a.server = a.withChain(pair)
	if a.saveErr = WriteDurably(filepath.Join(a.dir, serverFile), b); a.saveErr != nil {
		a.saveErr = fmt.Errorf("saving the new server certificate: %w", a.saveErr)
	}
	return a.server, nil
}

// withChain adds the CA, which a joining remote compares with its invitation.
func (a *Authority) withChain(pair *tls.Certificate) *tls.Certificate {
	pair.Certificate = [][]byte{pair.Leaf.Raw, a.ca.Raw}
	return pair
}

func (a *Authority) template(commonName string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := a.now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(life),
	}, nil
}

// UseCertificate has remotes that join from now on know the main by the
// administrator's certificate and key, PEM files that are read again when they
// change. It must be called before the server starts. Remotes that joined
// before go on trusting the main's own CA: they ask for its name, and get its
// certificate. See docs/security.md for what the certificate file must hold.
func (a *Authority) UseCertificate(certFile, keyFile string) error {
	g, err := newGiven(certFile, keyFile, a.now)
	if err != nil {
		return err
	}
	a.given = g
	return nil
}

// ServerTLS is TLS 1.3 with the server certificate, renewed in time.
func (a *Authority) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if a.given != nil && hello.ServerName != serverName {
				return a.given.certificate(), nil
			}
			return a.certificate()
		},
	}
}

// Trust is what an invitation tells a remote of the main's certificate, so that
// it knows the main at address: see [Registry.Invite].
func (a *Authority) Trust(address string) (string, error) {
	if a.given == nil {
		return a.Fingerprint(), nil
	}
	t, _, err := a.given.present(address)
	if err != nil {
		return "", err
	}
	return t.String(), nil
}

// Membership is what a remote that was added by its ID must know of the main
// at address.
func (a *Authority) Membership(r Remote, address string) (*Membership, error) {
	m := &Membership{Name: r.Name, Address: address, Inbox: r.Inbox, Shares: r.Shares, CA: string(a.CAPEM())}
	if a.given == nil {
		return m, nil
	}
	t, ca, err := a.given.present(address)
	if err != nil {
		return nil, err
	}
	m.Server, m.CA = t.serverName(address), ""
	if ca != nil {
		m.CA = string(encodeCertificate(ca))
	}
	return m, nil
}

// Fingerprint is the SHA-256 of the own CA's certificate in hexadecimal.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.ca.Raw)
	return hex.EncodeToString(sum[:])
}

// CAPEM is the own CA's certificate.
func (a *Authority) CAPEM() []byte { return encodeCertificate(a.ca.Raw) }

// trouble is what an administrator must do something about, or nil.
func (a *Authority) trouble() error {
	var given error
	if a.given != nil {
		given = a.given.trouble()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ca.NotAfter.Sub(a.now()) < serverLife {
		return errors.Join(given, a.saveErr, fmt.Errorf("the CA expires on %s, and all remotes must then be invited anew",
			a.ca.NotAfter.Format(time.DateOnly)))
	}
	return errors.Join(given, a.saveErr)
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// encodePair puts key and certificate into one file, so that a crash never
// leaves one without the other.
func encodePair(key *ecdsa.PrivateKey, der []byte) ([]byte, error) {
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: k}); err != nil {
		return nil, err
	}
	b.Write(encodeCertificate(der))
	return b.Bytes(), nil
}

// parsePair reads what encodePair wrote; the result has its Leaf set and a
// private key that belongs to it.
func parsePair(b []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, err
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, err
		}
	}
	return &pair, nil
}
