package sample

import (
	"archive/zip"
	"bytes"
	"crypto/md5" // WAPT names packages by their MD5
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"strings"
	"time"
)

// field is one line of a control file or of a stanza of the index.
type field struct{ key, value string }

// stanza writes fields as WAPT does: the key padded to 18 columns.
func stanza(fields []field) string {
	var b strings.Builder
	for _, f := range fields {
		// A value of several lines goes on behind a leading space.
		fmt.Fprintf(&b, "%-18s: %s\n", f.key, strings.ReplaceAll(f.value, "\n", "\n "))
	}
	return b.String()
}

// software is one package in its present version.
type software struct {
	name     string
	version  int // counts up with each upload
	payload  []byte
	icon     []byte
	iconSum  string
	file     string // name in the folder, made by build
	size     int64
	md5      string
	control  []field
	uploaded time.Time
}

// versionText is the version as WAPT writes it: upstream version, dash, packaging number.
func (s *software) versionText() string { return fmt.Sprintf("1.%d.0-0", s.version) }

// build makes the container of the present version and sets file, size, md5 and control.
func (s *software) build(signer *signer, rng *rand.Rand) ([]byte, error) {
	s.control = []field{
		{"package", s.name},
		{"version", s.versionText()},
		{"architecture", "x64"},
		{"section", "base"},
		{"priority", "optional"},
		{"maintainer", "Sample Maker"},
		{"description", "A sample of " + s.name + "\nmade to be replicated"},
		{"depends", ""},
		{"conflicts", ""},
		{"maturity", "PROD"},
		{"locale", ""},
		{"target_os", "windows"},
		{"min_wapt_version", "1.8"},
		{"sources", ""},
		{"installed_size", fmt.Sprint(len(s.payload))},
		{"icon_sha256sum", s.iconSum},
	}
	s.control = append(s.control, signer.fields(rng, s.uploaded)...)
	setup := "# -*- coding: utf-8 -*-\nfrom setuphelpers import *\n\nuninstallkey = []\n\n\ndef install():\n    print('installing " + s.name + " " + s.versionText() + "')\n"
	data, err := container(signer, rng, s.uploaded, []member{
		{"setup.py", []byte(setup)},
		{"payload.bin", s.payload},
		{"WAPT/control", []byte(stanza(s.control))},
		{"WAPT/icon.png", s.icon},
	})
	if err != nil {
		return nil, fmt.Errorf("making package %s: %w", s.name, err)
	}
	sum := md5.Sum(data)
	s.size, s.md5 = int64(len(data)), hex.EncodeToString(sum[:])
	s.file = fmt.Sprintf("%s_%s_x64_PROD_%s.wapt", s.name, s.versionText(), s.md5)
	return data, nil
}

// upgrade turns the payload into that of the next version: about a tenth is
// new and a few bytes are inserted, the rest repeats byte for byte.
func (s *software) upgrade(rng *rand.Rand) {
	s.version++
	old := s.payload
	cut := len(old) / 3
	fresh := randomBytes(rng, len(old)/10)
	next := make([]byte, 0, len(old)+64)
	next = append(next, randomBytes(rng, 1+rng.IntN(64))...)
	next = append(next, old[:cut]...)
	next = append(next, fresh...)
	s.payload = append(next, old[min(cut+len(fresh), len(old)):]...)
}

// hostPackage is the container of one host's own package: no setup.py, only
// what the host is to have.
func hostPackage(signer *signer, rng *rand.Rand, now time.Time, uuid string, depends []string) ([]byte, error) {
	control := []field{
		{"package", uuid},
		{"version", fmt.Sprint(now.Unix())},
		{"architecture", "all"},
		{"section", "host"},
		{"priority", "standard"},
		{"maintainer", "Sample Maker"},
		{"description", "Host package of " + uuid},
		{"depends", strings.Join(depends, ",")},
		{"conflicts", ""},
	}
	control = append(control, signer.fields(rng, now)...)
	data, err := container(signer, rng, now, []member{{"WAPT/control", []byte(stanza(control))}})
	if err != nil {
		return nil, fmt.Errorf("making host package %s: %w", uuid, err)
	}
	return data, nil
}

// member is one file of a container.
type member struct {
	name string
	data []byte
}

// container zips members and adds the certificate, the manifest of SHA-256
// digests and its signature. Only text is compressed: payloads are installers.
func container(signer *signer, rng *rand.Rand, now time.Time, members []member) ([]byte, error) {
	members = append(members, member{"WAPT/certificate.crt", signer.certificate})
	digests := make([][2]string, len(members))
	for i, m := range members {
		sum := sha256.Sum256(m.data)
		digests[i] = [2]string{m.name, hex.EncodeToString(sum[:])}
	}
	manifest, err := json.Marshal(digests)
	if err != nil {
		return nil, err
	}
	members = append(members,
		member{"WAPT/manifest.sha256", manifest},
		member{"WAPT/signature.sha256", []byte(signature(rng))})

	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, m := range members {
		method := zip.Deflate
		if len(m.data) > 16<<10 {
			method = zip.Store
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: method, Modified: now})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(m.data); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// icon draws a square of one random colour.
func icon(rng *rand.Rand) (data []byte, sum string, err error) {
	img := image.NewRGBA(image.Rect(0, 0, 48, 48))
	c := color.RGBA{uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32()), 0xff}
	for i := 0; i < len(img.Pix); i += 4 {
		img.Pix[i], img.Pix[i+1], img.Pix[i+2], img.Pix[i+3] = c.R, c.G, c.B, c.A
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return nil, "", fmt.Errorf("drawing an icon: %w", err)
	}
	digest := sha256.Sum256(out.Bytes())
	return out.Bytes(), hex.EncodeToString(digest[:]), nil
}

// signature is what a signature looks like, of nothing.
func signature(rng *rand.Rand) string {
	return base64.StdEncoding.EncodeToString(randomBytes(rng, 256))
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		v := rng.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b[:n]
}
