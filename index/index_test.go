package index_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"waptsync/index"
)

const (
	md5A    = "0123456789abcdef0123456789abcdef"
	sha256A = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	sha256B = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
)

const waptStanza = `package           : tis-firefox-esr
version           : 62.0-0
description       : Firefox
 with a second line: of text
filename          : tis-firefox-esr_62.0-0_PROD_fr_0123456789abcdef0123456789abcdef.wapt
size              : 52428800
md5sum            : 0123456789abcdef0123456789abcdef

package           : tis-7zip
filename          : tis-7zip_1_all.wapt
size              : 7
md5sum            : ` + md5A + `
`

func zipped(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func xzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(p string, b []byte) ([]index.Entry, error) {
	return index.Read(p, bytes.NewReader(b), int64(len(b)))
}

// shown is an entry in the form that tests compare.
func shown(e index.Entry) string {
	s := e.Path
	if e.HasMD5 {
		s += " md5=" + hex.EncodeToString(e.MD5[:4])
	}
	if e.HasSHA256 {
		s += " sha256=" + hex.EncodeToString(e.SHA256[:4])
	}
	if e.Optional {
		s += " optional"
	}
	return s
}

func TestReadTellsWhatIsNamed(t *testing.T) {
	debian := "Package: hello\nFilename: pool/main/h/hello_1_amd64.deb\nSize: 10\nMD5sum: " + md5A + "\nSHA1: 1111111111111111111111111111111111111111\nSHA256: " + sha256A + "\n\n"
	flat := "Package: hello\nFilename: ./hello_1_amd64.deb\nSize: 10\nSHA256: " + sha256A + "\n"
	sources := "Package: hello\nDirectory: pool/main/h\nFiles:\n " + md5A + " 3 hello_1.dsc\n " + md5A + " 4 hello_1.tar.xz\nChecksums-Sha256:\n " + sha256A + " 3 hello_1.dsc\n"
	release := "Origin: x\nMD5Sum:\n " + md5A + " 9 main/binary-amd64/Packages\nSHA1:\n 11 9 main/binary-amd64/Packages\nSHA256:\n " + sha256A + " 9 main/binary-amd64/Packages\n " + sha256A + " 5 main/binary-amd64/Packages.gz\n " + sha256A + " 7 Release\n"
	sha512A := strings.Repeat(sha256A, 2)
	byHash := "SHA256:\n " + sha256A + " 9 main/binary-amd64/Packages\nSHA512:\n " + sha512A + " 9 main/binary-amd64/Packages\n " + strings.Repeat(sha256B, 2) + " 8 main/binary-amd64/Packages.xz\n"
	tests := []struct {
		name, path string
		data       []byte
		want       []string
	}{
		{"Release by digest", "debian/dists/stable/Release", []byte("Acquire-By-Hash: yes\n" + byHash), []string{
			"debian/dists/stable/main/binary-amd64/Packages sha256=00112233 optional",
			"debian/dists/stable/main/binary-amd64/Packages.xz optional",
			"debian/dists/stable/main/binary-amd64/by-hash/SHA256/" + sha256A + " sha256=00112233 optional",
			"debian/dists/stable/main/binary-amd64/by-hash/SHA512/" + sha512A + " sha256=00112233 optional",
			"debian/dists/stable/main/binary-amd64/by-hash/SHA512/" + strings.Repeat(sha256B, 2) + " optional"}},
		{"Release that says no", "dists/stable/Release", []byte(byHash + "Acquire-By-Hash: no\n"), []string{
			"dists/stable/main/binary-amd64/Packages sha256=00112233 optional", "dists/stable/main/binary-amd64/Packages.xz optional"}},
		{"WAPT", "Packages", zipped(t, "Packages", waptStanza), []string{
			"tis-firefox-esr_62.0-0_PROD_fr_0123456789abcdef0123456789abcdef.wapt md5=01234567", "tis-7zip_1_all.wapt md5=01234567"}},
		{"WAPT in a folder", "sub/Packages", zipped(t, "Packages", waptStanza), []string{
			"sub/tis-firefox-esr_62.0-0_PROD_fr_0123456789abcdef0123456789abcdef.wapt md5=01234567", "sub/tis-7zip_1_all.wapt md5=01234567"}},
		{"WAPT's text without the zip", "Packages", []byte(waptStanza), []string{
			"tis-firefox-esr_62.0-0_PROD_fr_0123456789abcdef0123456789abcdef.wapt md5=01234567", "tis-7zip_1_all.wapt md5=01234567"}},
		{"Debian in dists", "debian/dists/stable/main/binary-amd64/Packages", []byte(debian), []string{"debian/pool/main/h/hello_1_amd64.deb md5=01234567 sha256=00112233"}},
		{"Debian at the top", "dists/stable/main/binary-amd64/Packages.gz", gzipped(t, debian), []string{"pool/main/h/hello_1_amd64.deb md5=01234567 sha256=00112233"}},
		{"Debian xz", "dists/stable/main/binary-amd64/Packages.xz", xzipped(t, debian), []string{"pool/main/h/hello_1_amd64.deb md5=01234567 sha256=00112233"}},
		{"Debian flat", "flat/Packages", []byte(flat), []string{"flat/hello_1_amd64.deb sha256=00112233"}},
		{"Sources", "dists/stable/main/source/Sources", []byte(sources), []string{"pool/main/h/hello_1.dsc md5=01234567 sha256=00112233", "pool/main/h/hello_1.tar.xz md5=01234567"}},
		{"Release", "dists/stable/Release", []byte(release), []string{
			"dists/stable/main/binary-amd64/Packages md5=01234567 sha256=00112233 optional", "dists/stable/main/binary-amd64/Packages.gz sha256=00112233 optional"}},
		{"InRelease", "dists/stable/InRelease", []byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + release + "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n"), []string{
			"dists/stable/main/binary-amd64/Packages md5=01234567 sha256=00112233 optional", "dists/stable/main/binary-amd64/Packages.gz sha256=00112233 optional"}},
		{"empty", "Packages", nil, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := read(tc.path, tc.data)
			if err != nil {
				t.Fatal(err)
			}
			var s []string
			for _, e := range got {
				s = append(s, shown(e))
			}
			if strings.Join(s, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(s, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func TestReadSaysWhatIsWrongAndWhere(t *testing.T) {
	tests := []struct {
		name, path, text, want string
		unknown                bool
	}{
		{"leaves the share", "Packages", "filename: ../x\nsize: 1\n", "leaves the share", false},
		{"absolute", "Packages", "filename: /x\nsize: 1\n", "leaves the share", false},
		{"size", "Packages", "filename: x\nsize: -1\n\n", `line 3: size "-1" of "x"`, false},
		{"prose", "Packages", "package: x\nhello\n", "line 2: no known index format", true},
		{"no files", "Packages", "package: x\n", "no stanza names a file", true},
		{"release without digests", "Release", "Origin: x\n", "neither SHA256 nor MD5Sum", true},
		{"release line", "Release", "SHA256:\n abc 1\n", "line 2: want digest, size and name", false},
		{"zip without the member", "Packages", string(zipped(t, "other", "x")), "without a member named Packages", true},
		{"torn zip", "Packages", "PK\x03\x04 and no more", "zip", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := read(tc.path, []byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
			if errors.Is(err, index.ErrUnknown) != tc.unknown {
				t.Errorf("ErrUnknown: %v, want %v", !tc.unknown, tc.unknown)
			}
		})
	}
}

func TestRuleKnowsIndexes(t *testing.T) {
	r, err := index.NewRule(append([]string{"lists/*.txt"}, index.DefaultPatterns...))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]bool{
		"Packages": true, "a/b/Packages.gz": true, "dists/x/InRelease": true, "lists/a.txt": true,
		"Packages.20240101000000": false, "x/lists/a.txt": false, "tis-x.wapt": false,
	} {
		if got := r.IsIndex(p); got != want {
			t.Errorf("IsIndex(%q) = %v, want %v", p, got, want)
		}
	}
	if _, err := index.NewRule([]string{"[a"}); err == nil {
		t.Error("a malformed pattern was taken")
	}
	if (*index.Rule)(nil).IsIndex("Packages") {
		t.Error("no rule, yet an index")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("Packages", []byte(waptStanza))
	f.Add("dists/s/Release", []byte("SHA256:\n "+sha256A+" 1 main/Packages\n"))
	f.Add("dists/s/Sources", []byte("Directory: a\nFiles:\n "+md5A+" 3 x\n"))
	f.Fuzz(func(t *testing.T, p string, b []byte) {
		entries, err := read(p, b)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Size < 0 || e.Path == "" || strings.HasPrefix(e.Path, "../") {
				t.Fatalf("bad entry %+v", e)
			}
		}
	})
}
