//go:build linux

package deploy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// site is a web server that runs with a site file of deploy/web.
type site struct {
	www     string
	address string
	client  *http.Transport
}

// TestSitesServeCopiesAndNothingElse runs the real web servers of Debian.
func TestSitesServeCopiesAndNothingElse(t *testing.T) {
	for _, server := range []struct {
		name, program string
		start         func(t *testing.T, s *site, dir string) *exec.Cmd
	}{
		{"apache", "apache2", startApache},
		{"nginx", "nginx", startNginx},
	} {
		t.Run(server.name, func(t *testing.T) {
			t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
			need(t, server.program)
			checkSite(t, startSite(t, server.start))
		})
	}
}

func checkSite(t *testing.T, s *site) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 987654321, time.UTC)
	for path, text := range map[string]string{
		"wapt/Packages":                     "the index",
		"wapt/big.wapt":                     "0123456789",
		"wapt/notes.txt":                    strings.Repeat("compressible ", 1000),
		"wapt/run.php":                      "<?php echo 1 ?>",
		"wapt/index.html":                   "a page of the main",
		"wapt/.htaccess":                    "Require all denied\n",
		"wapt/icons/a.png":                  "icon",
		"wapt/.waptsync/trash/x":            "secret",
		"wapt-host/0a.wapt":                 "host",
		"wapt-host/Packages":                "secret",
		"html/index.html":                   "secret",
		"secret":                            "secret",
		"wapt/caf\u00e9 \u6f22.wapt":        "odd",
		"wapt-host/.waptsync/stage/0a.wapt": "secret",
	} {
		put(t, filepath.Join(s.www, path), text, when)
	}
	for _, c := range []struct {
		method, path string
		status       string // one or several
		body         string
	}{
		{"GET", "/wapt/Packages", "200", "the index"},
		{"HEAD", "/wapt/Packages", "200", ""},
		{"GET", "/wapt/icons/a.png", "200", "icon"},
		{"GET", "/wapt/run.php", "200", "<?php echo 1 ?>"},
		{"GET", "/wapt/caf%C3%A9%20%E6%BC%A2.wapt", "200", "odd"},
		{"GET", "/wapt-host/0a.wapt", "200", "host"},
		{"GET", "/wapt-host/Packages", "403", ""},
		{"HEAD", "/wapt-host/Packages", "403", ""},
		{"GET", "/wapt-host/%50ackages", "403", ""},
		{"GET", "//wapt-host//Packages", "403", ""},
		{"GET", "/wapt-host/x/../Packages", "403", ""},
		{"GET", "/wapt/missing.wapt", "404", ""},
		{"HEAD", "/wapt-host/missing.wapt", "404", ""},
		{"GET", "/", "403 404", ""},
		{"GET", "/wapt", "301 403 404", ""},
		{"GET", "/wapt/", "403 404", ""},
		{"GET", "/wapt/icons/", "403 404", ""},
		{"GET", "/wapt-host/", "403 404", ""},
		{"GET", "/secret", "403 404", ""},
		{"GET", "/html/index.html", "403 404", ""},
		{"GET", "/wapt/../secret", "403 404", ""},
		{"GET", "/wapt/%2e%2e/secret", "403 404", ""},
		{"GET", "/wapt/.waptsync/trash/x", "404", ""},
		{"HEAD", "/wapt/.waptsync/trash/x", "404", ""},
		{"GET", "/wapt/.waptsync/", "404", ""},
		{"GET", "/wapt/.waptsync", "404", ""},
		{"GET", "/wapt/%2ewaptsync/trash/x", "404", ""},
		{"GET", "/wapt//.waptsync//trash/x", "404", ""},
		{"GET", "/wapt/icons/../.waptsync/trash/x", "404", ""},
		{"GET", "/wapt-host/.waptsync/stage/0a.wapt", "404", ""},
		{"POST", "/wapt/Packages", "403 405", ""},
		{"PUT", "/wapt/new.wapt", "403 405", ""},
		{"DELETE", "/wapt/Packages", "403 405", ""},
		{"TRACE", "/wapt/Packages", "403 405", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			resp, body := s.ask(t, c.method, c.path, nil)
			if !strings.Contains(c.status, fmt.Sprint(resp.StatusCode)) {
				t.Errorf("status %s, want %s", resp.Status, c.status)
			}
			if c.status == "200" && body != c.body || strings.Contains(body, "secret") || strings.Contains(body, "big.wapt") {
				t.Errorf("body %q, want %q", body, c.body)
			}
		})
	}

	t.Run("the main's time and length, whole and in part", func(t *testing.T) {
		// What WAPT's agent sends; it compares Last-Modified for equality.
		agent := http.Header{"Cache-Control": {"no-cache"}, "Pragma": {"no-cache"}, "Accept-Encoding": {"gzip, deflate"}}
		for _, method := range []string{"HEAD", "GET"} {
			for path, size := range map[string]int64{"/wapt/Packages": 9, "/wapt/notes.txt": 13000} {
				resp, _ := s.ask(t, method, path, agent)
				if got := resp.Header.Get("Last-Modified"); got != "Fri, 02 Jan 2026 03:04:05 GMT" {
					t.Errorf("%s %s: Last-Modified %q", method, path, got)
				}
				if resp.ContentLength != size || resp.Header.Get("Content-Encoding") != "" {
					t.Errorf("%s %s: length %d, encoding %q", method, path, resp.ContentLength, resp.Header.Get("Content-Encoding"))
				}
			}
		}
		resp, body := s.ask(t, "GET", "/wapt/big.wapt", http.Header{"Range": {"bytes=4-"}})
		if resp.StatusCode != http.StatusPartialContent || body != "456789" || resp.Header.Get("Content-Range") != "bytes 4-9/10" {
			t.Errorf("range: %s, %q, %q", resp.Status, body, resp.Header.Get("Content-Range"))
		}
	})

	t.Run("TLS 1.2 and newer", func(t *testing.T) {
		for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			c, err := tls.Dial("tcp", s.address, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			if (err == nil) != want {
				t.Errorf("%s: %v", tls.VersionName(version), err)
			}
			if err == nil {
				c.Close()
			}
		}
	})
}

// ask sends one request with the path as it stands, so that no client tidies it.
func (s *site) ask(t *testing.T, method, rawPath string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.address, nil)
	if err != nil {
		t.Fatal(err)
	}
	// An opaque part that begins with // would be read as a host.
	r.URL.Opaque = "//" + s.address + rawPath
	if header != nil {
		r.Header = header
	}
	resp, err := s.client.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, rawPath, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, rawPath, err)
	}
	return resp, string(body)
}

// startSite starts a server on a port of the loopback and waits until it listens.
func startSite(t *testing.T, start func(*testing.T, *site, string) *exec.Cmd) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{www: filepath.Join(dir, "www"), client: &http.Transport{
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableCompression: true,
	}}
	t.Cleanup(s.client.CloseIdleConnections)
	// The worker processes are another user's.
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.www, 0o755); err != nil {
		t.Fatal(err)
	}
	writePair(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	l.Close()

	cmd := start(t, s, dir)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ends shows in what it answered
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-exited
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", log.Bytes())
		}
	})
	eventually(t, "the server listens", patience, func() (bool, string) {
		select {
		case <-exited:
			t.Fatal("the server ended")
		default:
		}
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			return false, err.Error()
		}
		c.Close()
		return true, ""
	})
	return s
}

// siteFile copies a site file with this test's address, folder and certificate.
func siteFile(t *testing.T, s *site, dir, name string, pairs ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("web", name))
	if err != nil {
		t.Fatal(err)
	}
	pairs = append(pairs, "/var/www", s.www,
		"/etc/ssl/certs/wapt.pem", filepath.Join(dir, "cert.pem"), "/etc/ssl/private/wapt.key", filepath.Join(dir, "key.pem"))
	path := filepath.Join(dir, name)
	put(t, path, strings.NewReplacer(pairs...).Replace(string(text)), time.Now())
	return path
}

func startApache(t *testing.T, s *site, dir string) *exec.Cmd {
	text := "ServerName localhost\nListen " + s.address + "\nPidFile " + dir + "/pid\nErrorLog " + dir + "/error.log\nMutex file:" + dir + "\n"
	if os.Geteuid() == 0 {
		text += "User www-data\nGroup www-data\n"
	}
	// What Debian's apache2 loads, and ssl.
	for _, m := range strings.Fields("mpm_event authn_core authz_core authz_host access_compat alias autoindex deflate dir env filter mime negotiation reqtimeout setenvif socache_shmcb ssl status") {
		file := "/usr/lib/apache2/modules/mod_" + m + ".so"
		if _, err := os.Stat(file); err == nil {
			text += "LoadModule " + m + "_module " + file + "\n"
		}
	}
	text += "TypesConfig /etc/mime.types\nAddOutputFilterByType DEFLATE text/html text/plain\n"
	text += "Include " + siteFile(t, s, dir, "apache.conf", "*:443", s.address) + "\n"
	put(t, filepath.Join(dir, "main.conf"), text, time.Now())
	return exec.Command("apache2", "-d", dir, "-f", filepath.Join(dir, "main.conf"), "-D", "FOREGROUND")
}

func startNginx(t *testing.T, s *site, dir string) *exec.Cmd {
	text := "daemon off;\npid " + dir + "/pid;\nerror_log " + dir + "/error.log;\nevents {}\nhttp {\n  include /etc/nginx/mime.types;\n  access_log off;\n  gzip on;\n"
	if os.Geteuid() == 0 {
		text = "user www-data;\n" + text
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += fmt.Sprintf("  %s_temp_path %s/%s;\n", kind, dir, kind)
	}
	text += "  include " + siteFile(t, s, dir, "nginx.conf", "listen 443 ssl;", "listen "+s.address+" ssl;", "    listen [::]:443 ssl;\n", "") + ";\n}\n"
	put(t, filepath.Join(dir, "main.conf"), text, time.Now())
	return exec.Command("nginx", "-p", dir, "-c", filepath.Join(dir, "main.conf"), "-e", filepath.Join(dir, "error.log"))
}

// writePair makes a self-signed certificate for the loopback.
func writePair(t *testing.T, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	put(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), time.Now())
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), time.Now())
}
