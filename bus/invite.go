package bus

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"

	"github.com/nats-io/nkeys"
)

// An invitation's line is linePrefix and the base64url of
//
//	version  1 byte: 1, or 2 when kind is not trustOwn
//	kind     1 byte, with version 2 only: how the main is known, a trustKind
//	CA       32 bytes: SHA-256 of the CA certificate; zero with trustSystem
//	secret   32 bytes: raw seed of the NKey with which the remote joins, once
//	name     1 byte of length and the bytes
//	address  2 bytes of length, big endian, and the bytes
//	check    4 bytes: the first of the SHA-256 of all before
//
// The check finds a line that was cut or mistyped; it proves nothing.
const (
	linePrefix       = "waptsync1-"
	lineVersion      = 1
	lineVersionKind  = 2
	lineCheckBytes   = 4
	lineSeedBytes    = 32
	maxAddressLength = 253 + len(":65535") // a DNS name (RFC 1035) and a port
	maxLineLength    = 1024
)

var errMangledLine = errors.New("the invitation is damaged: it was cut or changed on its way; copy the whole line once more")

// invitationLine is what the one line of an invitation says.
type invitationLine struct {
	Address string // host:port
	Trust   trust
	Name    string
	Seed    [lineSeedBytes]byte
}

func (l *invitationLine) encode() string {
	b := []byte{lineVersion}
	if l.Trust.kind != trustOwn {
		b = []byte{lineVersionKind, byte(l.Trust.kind)}
	}
	b = append(b, l.Trust.fingerprint[:]...)
	b = append(b, l.Seed[:]...)
	b = append(b, byte(len(l.Name)))
	b = append(b, l.Name...)
	b = append(b, byte(len(l.Address)>>8), byte(len(l.Address)))
	b = append(b, l.Address...)
	sum := sha256.Sum256(b)
	b = append(b, sum[:lineCheckBytes]...)
	return linePrefix + base64.RawURLEncoding.EncodeToString(b)
}

// decodeInvitation reads a line. White space anywhere is left out, since mail
// programs break long lines.
func decodeInvitation(line string) (*invitationLine, error) {
	if len(line) > 2*maxLineLength {
		return nil, errMangledLine
	}
	line = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, line)
	rest, ok := strings.CutPrefix(line, linePrefix)
	if !ok {
		return nil, fmt.Errorf("this is no invitation: it does not begin with %s", linePrefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) < 1+lineCheckBytes {
		return nil, errMangledLine
	}
	body, check := b[:len(b)-lineCheckBytes], b[len(b)-lineCheckBytes:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:lineCheckBytes], check) {
		return nil, errMangledLine
	}
	l := new(invitationLine)
	r := bytes.NewBuffer(body[1:])
	switch version := body[0]; version {
	case lineVersion:
	case lineVersionKind:
		kind, err := r.ReadByte()
		if l.Trust.kind = trustKind(kind); err != nil || l.Trust.kind != trustPinned && l.Trust.kind != trustSystem {
			return nil, errMangledLine
		}
	default:
		return nil, fmt.Errorf("the invitation has version %d: a newer waptsync made it", version)
	}
	if r.Len() < len(l.Trust.fingerprint)+len(l.Seed)+1 {
		return nil, errMangledLine
	}
	copy(l.Trust.fingerprint[:], r.Next(len(l.Trust.fingerprint)))
	copy(l.Seed[:], r.Next(len(l.Seed)))
	name := int(r.Next(1)[0])
	if r.Len() < name+2 {
		return nil, errMangledLine
	}
	l.Name = string(r.Next(name))
	n := r.Next(2)
	if r.Len() != int(n[0])<<8|int(n[1]) {
		return nil, errMangledLine
	}
	l.Address = r.String()
	if err := ValidName(l.Name); err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	if err := validAddress(l.Address); err != nil {
		return nil, fmt.Errorf("invitation: %w", err)
	}
	return l, nil
}

// key is the pair with which the remote joins.
func (l *invitationLine) key() (nkeys.KeyPair, error) {
	return nkeys.FromRawSeed(nkeys.PrefixByteUser, l.Seed[:])
}

// newInvitationLine makes a line with a fresh secret, and returns the secret's
// public key, the only part of it that the main keeps.
func newInvitationLine(name, address, trusted string) (line, public string, err error) {
	if err := validAddress(address); err != nil {
		return "", "", err
	}
	l := &invitationLine{Name: name, Address: address}
	if l.Trust, err = parseTrust(trusted); err != nil {
		return "", "", err
	}
	key, err := nkeys.CreateUser()
	if err != nil {
		return "", "", err
	}
	defer key.Wipe()
	seed, err := key.Seed()
	if err != nil {
		return "", "", err
	}
	_, raw, err := nkeys.DecodeSeed(seed)
	if err != nil {
		return "", "", err
	}
	copy(l.Seed[:], raw)
	if public, err = key.PublicKey(); err != nil {
		return "", "", err
	}
	return l.encode(), public, nil
}

// validAddress wants host:port with both given; the host is not looked up.
func validAddress(s string) error {
	if len(s) > maxAddressLength {
		return fmt.Errorf("address of %d bytes: want at most %d", len(s), maxAddressLength)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("address %q: want host:port: %w", s, err)
	}
	if host == "" || strings.ContainsFunc(host, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune("/@?#\\\"", r)
	}) {
		return fmt.Errorf("address %q: want the name or IP address by which remotes reach the main", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address %q: want a port from 1 to 65535", s)
	}
	return nil
}
