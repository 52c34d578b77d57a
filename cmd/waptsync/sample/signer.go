package sample

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"time"
)

// signer is the administrator whose certificate stands in packages and index.
type signer struct {
	certificate []byte // PEM
	fingerprint string // SHA-256 of the certificate, as in the index's ssl/ folder
	crl         []byte // DER
	authority   string // the authority key identifier, as in the index's crl/ folder
}

func newSigner(now time.Time) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the signer's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "waptsync sample signer"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making the signer's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the signer's certificate: %w", err)
	}
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 30),
	}, cert, key)
	if err != nil {
		return nil, fmt.Errorf("making the signer's revocation list: %w", err)
	}
	sum := sha256.Sum256(der)
	return &signer{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		fingerprint: hex.EncodeToString(sum[:]),
		crl:         crl,
		authority:   hex.EncodeToString(cert.SubjectKeyId),
	}, nil
}

// fields are the lines that signing adds to a control file.
func (s *signer) fields(rng *mathrand.Rand, now time.Time) []field {
	return []field{
		{"signer", "waptsync sample signer"},
		{"signer_fingerprint", s.fingerprint},
		{"signature", signature(rng)},
		{"signature_date", now.UTC().Format("20060102-150405")},
		{"signed_attributes", "package,version,architecture,section,priority,maintainer,description,depends,conflicts,signed_attributes"},
	}
}
