package sample

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"time"
)

// buildIndex makes the content of `Packages`: a zip with a member of that name
// that holds a stanza per package, and the signers' certificates and
// revocation lists. Host packages are not in it.
func buildIndex(packages []*software, signer *signer, now time.Time) ([]byte, error) {
	var text strings.Builder
	for _, p := range packages {
		text.WriteString(stanza(append(p.control[:len(p.control):len(p.control)],
			field{"filename", p.file},
			field{"size", fmt.Sprint(p.size)},
			field{"md5sum", p.md5})))
		text.WriteByte('\n')
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, m := range []member{
		{"Packages", []byte(text.String())},
		{"ssl/" + signer.fingerprint + ".crt", signer.certificate},
		{"crl/" + signer.authority + ".crl", signer.crl},
	} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: now})
		if err != nil {
			return nil, fmt.Errorf("making the index: %w", err)
		}
		if _, err := w.Write(m.data); err != nil {
			return nil, fmt.Errorf("making the index: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("making the index: %w", err)
	}
	return out.Bytes(), nil
}
