//go:build linux

package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// debianPackages are small packages that every Debian and its derivatives have.
var debianPackages = strings.Fields(`
	hostname sed grep gzip netbase sensible-utils media-types lsb-release diffutils dash
	debianutils adduser base-passwd mawk libattr1 libacl1 libcap2 libbz2-1.0 zlib1g findutils
	bsdutils ncurses-bin ncurses-base login patch bzip2 cpio file fakeroot liberror-perl
	libfile-fcntllock-perl libalgorithm-diff-perl libalgorithm-merge-perl libmnl0 libmd0 libaudit-common libcap-ng0 libcom-err2 libkeyutils1 libsepol2
	libselinux1 libsemanage-common libss2 liblz4-1 libxxhash0 libnpth0 libksba8 libassuan0 libffi8 libp11-kit0
	libtasn1-6 libidn2-0 libunistring2 libexpat1 libuuid1 libblkid1 libmount1 libsmartcols1 libfdisk1 libgpm2
	libnftnl11 libpipeline1 libpopt0 libpsl5 libnghttp2-14 librtmp1 libbrotli1 libnuma1 libatomic1 libitm1
	libjansson4 libyaml-0-2 libxau6 libxdmcp6 libxext6 libxrender1 libxtst6 libsm6 libice6 libxi6
	lsof psmisc less tree rsync time uuid-runtime whiptail xauth xz-utils zip unzip
	ssl-cert publicsuffix javascript-common hicolor-icon-theme distro-info-data pkg-config pkgconf-bin python3-six python3-idna python3-toml`)

// TestDebianPool replicates a pool of real packages with a Debian index, and
// follows an upgrade in it.
func TestDebianPool(t *testing.T) {
	want := scaled(5, 20, len(debianPackages))
	debs := downloadDebs(t, debianPackages[:want])
	if len(debs) == 0 {
		t.Skip("no packages: this machine reaches no Debian registry, and the cache is empty")
	}
	t.Logf("%d packages", len(debs))
	m, r := newMain(t, "debian"), newRemote(t, "remote", "debian")
	root := m.dir("debian")
	for _, deb := range debs {
		poolDeb(t, root, deb)
	}
	indexDebs(t, root)
	m.start()
	m.waitKnows("debian", len(debs)+2, time.Minute)
	m.admit(r)
	r.start()
	trees := &comparison{bumps: 5}
	t.Logf("first copy: %v", trees.wait(t, 2*time.Minute, m, r).Round(time.Millisecond))

	var old []string
	for _, deb := range debs[:min(5, len(debs))] {
		poolDeb(t, root, upgradeDeb(t, deb))
		old = append(old, poolPath(root, deb))
	}
	indexDebs(t, root, old...)
	for _, deb := range old { // an archive removes them some time after its index forgot them
		check(t, os.Remove(deb))
	}
	t.Logf("upgrade followed in %v", trees.wait(t, time.Minute, m, r).Round(time.Millisecond))
}

// downloadDebs returns the package files, from the cache where it has them.
func downloadDebs(t *testing.T, names []string) []string {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("no dpkg-deb")
	}
	cache := os.Getenv("WAPTSYNC_CACHE")
	if cache == "" {
		cache = "../.cache/deb"
	}
	cache, err := filepath.Abs(cache)
	check(t, err)
	makeDirs(t, cache)
	var debs []string
	for _, name := range names {
		cached := func() string {
			if list, _ := filepath.Glob(filepath.Join(cache, name+"_*.deb")); len(list) > 0 {
				return list[0]
			}
			return ""
		}
		if cached() == "" {
			cmd := exec.Command("apt-get", "download", "-q", name)
			cmd.Dir = cache
			if out, err := cmd.CombinedOutput(); err != nil {
				// A name that one release lacks is no fault; no registry at all shows at the first one.
				t.Logf("downloading %s: %v: %s", name, err, tail(bytes.TrimSpace(out), 200))
				if len(debs) == 0 {
					return nil
				}
				continue
			}
		}
		if deb := cached(); deb != "" {
			debs = append(debs, deb)
		}
	}
	return debs
}

func poolPath(root, deb string) string {
	name, _, _ := strings.Cut(filepath.Base(deb), "_")
	prefix := name[:1]
	if strings.HasPrefix(name, "lib") {
		prefix = name[:min(4, len(name))]
	}
	return filepath.Join(root, "pool", "main", prefix, name, filepath.Base(deb))
}

// poolDeb puts a package where a Debian archive has it.
func poolDeb(t *testing.T, root, deb string) {
	t.Helper()
	data, err := os.ReadFile(deb)
	check(t, err)
	makeDirs(t, filepath.Dir(poolPath(root, deb)))
	write(t, data, poolPath(root, deb))
}

// upgradeDeb makes the next version of a package, with the same files.
func upgradeDeb(t *testing.T, deb string) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	check(t, tool("dpkg-deb", "-R", deb, tree))
	control := filepath.Join(tree, "DEBIAN", "control")
	text, err := os.ReadFile(control)
	check(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	for i, l := range lines {
		if v, ok := strings.CutPrefix(l, "Version: "); ok {
			lines[i] = "Version: " + strings.TrimSpace(v) + "+upgrade1\n"
		}
	}
	write(t, []byte(strings.Join(lines, "")), control)
	check(t, tool("dpkg-deb", "--root-owner-group", "-b", tree, dir)) // names the file by its control
	list, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	check(t, err)
	if len(list) != 1 {
		t.Fatalf("dpkg-deb made %q, want one package", list)
	}
	return list[0]
}

// indexDebs writes Packages, and Release that names it, for what the pool
// holds, without some.
func indexDebs(t *testing.T, root string, without ...string) {
	t.Helper()
	var debs []string
	for _, name := range files(t, filepath.Join(root, "pool")) {
		if strings.HasSuffix(name, ".deb") && !slices.Contains(without, name) {
			debs = append(debs, name)
		}
	}
	slices.Sort(debs)
	var text bytes.Buffer
	for _, deb := range debs {
		fields, err := exec.Command("dpkg-deb", "-f", deb, "Package", "Version", "Architecture").Output()
		check(t, err)
		data, err := os.ReadFile(deb)
		check(t, err)
		rel, err := filepath.Rel(root, deb)
		check(t, err)
		fmt.Fprintf(&text, "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", fields, rel, len(data), sha256.Sum256(data))
	}
	dist := filepath.Join(root, "dists", "stable")
	makeDirs(t, filepath.Join(dist, "main", "binary-amd64"))
	replaceFile(t, text.Bytes(), dist, "main", "binary-amd64", "Packages")
	release := fmt.Sprintf("Origin: Test\nSuite: stable\nComponents: main\nSHA256:\n %x %d main/binary-amd64/Packages\n",
		sha256.Sum256(text.Bytes()), text.Len())
	replaceFile(t, []byte(release), dist, "Release")
}

func replaceFile(t *testing.T, data []byte, elem ...string) {
	t.Helper()
	name := filepath.Join(elem...)
	check(t, os.Rename(write(t, data, name+".new"), name))
}
