package bus

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ClientTLS is TLS 1.3 that trusts the main's own CA and nothing else, whatever
// the system trusts. caPEM is [Membership.CA].
func ClientTLS(caPEM []byte) (*tls.Config, error) {
	roots := x509.NewCertPool()
	for n, rest := 0, caPEM; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n == 0 {
				return nil, errors.New("the main's CA certificate is not PEM")
			}
			break
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the main's CA certificate: %w", err)
		}
		roots.AddCert(ca)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: serverName}, nil
}

// tls is TLS 1.3 as the remote agreed on it with its main when it joined.
func (m *Membership) tls() (*tls.Config, error) {
	if m.Server == "" {
		return ClientTLS([]byte(m.CA))
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13}
	if m.CA != "" {
		var err error
		if cfg, err = ClientTLS([]byte(m.CA)); err != nil {
			return nil, err
		}
	}
	cfg.ServerName = m.Server
	return cfg, nil
}

// joinTLS is TLS 1.3 for a remote that has nothing but its invitation. found
// gives the CA's certificate after a handshake that was good, as DER, if it is
// to be pinned.
func (l *invitationLine) joinTLS(now func() time.Time) (cfg *tls.Config, found func() []byte) {
	name := l.Trust.serverName(l.Address)
	if l.Trust.kind == trustSystem {
		return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: name}, func() []byte { return nil }
	}
	return fingerprintTLS(l.Trust.fingerprint, name, now)
}

// WrongMainError is returned when the server that answers is not the one that
// made the invitation.
type WrongMainError struct {
	Want string // SHA-256 of the CA certificate, hexadecimal
	Got  string // of the last certificate that the server sent; empty if it sent none
}

func (e *WrongMainError) Error() string {
	return fmt.Sprintf("the server is not the main that made the invitation: its CA has the fingerprint %s, not %s: check the address, or ask who answers there",
		e.Got, e.Want)
}

// fingerprintTLS is TLS 1.3 for a remote that knows the SHA-256 of its main's
// CA certificate and not yet the certificate. found gives the certificate after
// a handshake that was good, as DER.
func fingerprintTLS(fingerprint [sha256.Size]byte, name string, now func() time.Time) (cfg *tls.Config, found func() []byte) {
	var der atomic.Pointer[[]byte]
	cfg = &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: name,
		// The standard check needs the CA beforehand. VerifyConnection makes
		// the same check, against the CA that has the fingerprint; it runs in
		// every handshake, resumed ones too.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			ca, err := verifyByFingerprint(cs.PeerCertificates, fingerprint, name, now())
			if err != nil {
				return err
			}
			der.Store(&ca.Raw)
			return nil
		},
	}
	return cfg, func() []byte {
		if p := der.Load(); p != nil {
			return *p
		}
		return nil
	}
}

// verifyByFingerprint checks the chain that a server sent, the leaf first, and
// returns its CA: the certificate with the fingerprint, which must be a CA's
// and have signed the leaf, or what leads to it. Dates, name and purpose are checked too.
func verifyByFingerprint(chain []*x509.Certificate, fingerprint [sha256.Size]byte, name string, now time.Time) (*x509.Certificate, error) {
	wrong := &WrongMainError{Want: hex.EncodeToString(fingerprint[:])}
	var ca *x509.Certificate
	for _, c := range chain {
		sum := sha256.Sum256(c.Raw)
		wrong.Got = hex.EncodeToString(sum[:])
		if sum == fingerprint {
			ca = c
			break
		}
	}
	if ca == nil {
		return nil, wrong
	}
	if !ca.IsCA || !ca.BasicConstraintsValid {
		return nil, errors.New("the certificate with the invitation's fingerprint is not one of a CA")
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: poolOf(chain[1:]),
		DNSName:       name,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return nil, fmt.Errorf("the main's certificate: %w", err)
	}
	return ca, nil
}
