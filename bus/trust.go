package bus

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
)

// trustKind says by what a remote knows its main. The numbers are part of an
// invitation's encoding.
type trustKind uint8

const (
	// trustOwn: the main's own CA, which is pinned, and the name serverName.
	trustOwn trustKind = 0
	// trustPinned: the administrator's CA, which is pinned, and the host's name.
	trustPinned trustKind = 1
	// trustSystem: a CA that the remote's system trusts, and the host's name.
	trustSystem trustKind = 2
)

// trust is what an invitation says of the main's certificate. As a text it is
// the fingerprint of the main's own CA, or "pinned:" and a CA's fingerprint, or
// "system".
type trust struct {
	kind        trustKind
	fingerprint [sha256.Size]byte // SHA-256 of the CA certificate; zero with trustSystem
}

const (
	pinnedText = "pinned:"
	systemText = "system"
)

func (t trust) String() string {
	switch t.kind {
	case trustSystem:
		return systemText
	case trustPinned:
		return pinnedText + hex.EncodeToString(t.fingerprint[:])
	default:
		return hex.EncodeToString(t.fingerprint[:])
	}
}

func parseTrust(s string) (trust, error) {
	if s == systemText {
		return trust{kind: trustSystem}, nil
	}
	var t trust
	digits, pinned := strings.CutPrefix(s, pinnedText)
	if pinned {
		t.kind = trustPinned
	}
	if len(digits) != hex.EncodedLen(len(t.fingerprint)) {
		return trust{}, fmt.Errorf("fingerprint %q: want 64 hexadecimal digits", digits)
	}
	if _, err := hex.Decode(t.fingerprint[:], []byte(digits)); err != nil {
		return trust{}, fmt.Errorf("fingerprint %q: %w", digits, err)
	}
	return t, nil
}

// serverName is the name that the main's certificate must have.
func (t trust) serverName(address string) string {
	if t.kind == trustOwn {
		return serverName
	}
	host, _, _ := net.SplitHostPort(address) // checked before
	return host
}

// explainTLS makes an error that says what to do of one that says only why a
// certificate is not trusted.
func explainTLS(err error) error {
	var cert *tls.CertificateVerificationError
	if !errors.As(err, &cert) {
		return err
	}
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return fmt.Errorf("the server's certificate is for another name: either this is not the main, or its tls-cert lacks the name by which this remote reaches it: %w", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the server's certificate is not valid at this time: look at the clocks of both hosts, and renew the main's tls-cert if it has one: %w", err)
	}
	return fmt.Errorf("the server's certificate is not of the CA that this remote trusts: either this is not the main, or the main has a new CA, and then this remote must join anew (on the main: waptsync remote revoke, waptsync invite; here: waptsync join): %w", err)
}
