package sample

import (
	"archive/zip"
	"crypto/md5"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestIndexNamesEveryPackageWithItsSizeAndMD5(t *testing.T) {
	r := create(t, Options{Packages: 5, Hosts: 3, Payload: 40_000, Seed: 7})
	steps := []struct {
		name string
		do   func() (string, error)
	}{
		{"created", func() (string, error) { return "", nil }},
		{"added", func() (string, error) { return r.AddPackage("sample-added", 10_000) }},
		{"upgraded", r.Upgrade},
		{"deleted", r.Delete},
		{"host added", r.AddHost},
		{"host edited", r.EditHost},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			if _, err := s.do(); err != nil {
				t.Fatal(err)
			}
			checkIndex(t, r)
		})
	}
}

// checkIndex compares the index with the folder, both ways.
func checkIndex(t *testing.T, r *Repository) {
	t.Helper()
	dir := r.Shares()["wapt"]
	onDisk := map[string]bool{}
	names, err := filepath.Glob(filepath.Join(dir, "*.wapt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		onDisk[filepath.Base(n)] = true
	}
	for _, s := range readIndex(t, filepath.Join(dir, "Packages")) {
		data, err := os.ReadFile(filepath.Join(dir, s["filename"]))
		if err != nil {
			t.Errorf("the index names a file that is not there: %v", err)
			continue
		}
		sum := md5.Sum(data)
		if got := hex.EncodeToString(sum[:]); got != s["md5sum"] || !strings.HasSuffix(s["filename"], "_PROD_"+got+".wapt") {
			t.Errorf("%s: MD5 %s, index says %s", s["filename"], got, s["md5sum"])
		}
		if got := strconv.Itoa(len(data)); got != s["size"] {
			t.Errorf("%s: %s bytes, index says %s", s["filename"], got, s["size"])
		}
		if _, err := os.Stat(filepath.Join(dir, "icons", s["icon_sha256sum"]+".png")); err != nil {
			t.Errorf("icon of %s: %v", s["package"], err)
		}
		delete(onDisk, s["filename"])
	}
	for n := range onDisk {
		t.Errorf("%s is not in the index", n)
	}
}

func readIndex(t *testing.T, path string) []map[string]string {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	f, err := z.Open("Packages")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, block := range strings.Split(strings.TrimRight(string(text), "\n"), "\n\n") {
		s := map[string]string{}
		for _, line := range strings.Split(block, "\n") {
			if strings.HasPrefix(line, " ") {
				continue
			}
			k, v, ok := strings.Cut(line, ":")
			if !ok {
				t.Fatalf("line without a colon: %q", line)
			}
			s[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
		out = append(out, s)
	}
	return out
}

func TestPackagesAreContainersThatWAPTKnows(t *testing.T) {
	r := create(t, Options{Packages: 1, Hosts: 1, Payload: 30_000})
	for folder, want := range map[string]string{
		"wapt":      "setup.py payload.bin WAPT/control WAPT/icon.png WAPT/certificate.crt WAPT/manifest.sha256 WAPT/signature.sha256",
		"wapt-host": "WAPT/control WAPT/certificate.crt WAPT/manifest.sha256 WAPT/signature.sha256",
	} {
		t.Run(folder, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(r.Shares()[folder], "*.wapt"))
			if err != nil || len(files) != 1 {
				t.Fatalf("packages: %v, %v", files, err)
			}
			z, err := zip.OpenReader(files[0])
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			var got []string
			for _, f := range z.File {
				got = append(got, f.Name)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("members %q, want %q", got, want)
			}
		})
	}
}

func TestNoTemporaryNameIsLeft(t *testing.T) {
	r := create(t, Options{Packages: 2, Hosts: 2, Payload: 5_000})
	for range 5 {
		if _, err := r.Upgrade(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.EditHost(); err != nil {
			t.Fatal(err)
		}
	}
	good := regexp.MustCompile(`^(Packages|icons|.*\.wapt)$`)
	for _, dir := range r.Shares() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !good.MatchString(e.Name()) {
				t.Errorf("%s is left in %s", e.Name(), dir)
			}
		}
	}
}

func TestUpgradeRepeatsMostOfThePayload(t *testing.T) {
	r := create(t, Options{Packages: 1, Payload: 100_000})
	before := r.packages[0].payload
	if _, err := r.Upgrade(); err != nil {
		t.Fatal(err)
	}
	after := r.packages[0].payload
	tail := before[len(before)/2:]
	if !strings.HasSuffix(string(after), string(tail)) || string(after) == string(before) {
		t.Error("the second half of the old payload does not end the new one")
	}
}

func TestCreateRefusesAFolderInUse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Options{Packages: 1}); err == nil {
		t.Error("a folder with files in it was taken")
	}
}

func create(t *testing.T, o Options) *Repository {
	t.Helper()
	r, err := Create(filepath.Join(t.TempDir(), "repo"), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
