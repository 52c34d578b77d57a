package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// serveShares serves a www folder with both of WAPT's shares until the test ends.
func serveShares(t *testing.T, change func(*SubscribeConfig)) (www, address string) {
	t.Helper()
	www = t.TempDir()
	c := defaultSubscribe()
	c.Serve = "127.0.0.1:0"
	c.Shares = make(map[string]SubscribeShare)
	for _, share := range []string{"wapt", "wapt-host"} {
		c.Shares[share] = SubscribeShare{Dir: filepath.Join(www, share)}
	}
	change(c)
	s, err := openShareServer(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		s.Close()
	})
	return www, s.listener.Addr().String()
}

func put(t *testing.T, path, text string, at time.Time) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err == nil {
		err = os.Chtimes(path, at, at)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ask sends one request with the path as it stands, so that no client tidies it.
func ask(t *testing.T, address, method, rawPath string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = rawPath
	if header != nil {
		r.Header = header
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
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

func TestAgentsGetFilesAndNothingElse(t *testing.T) {
	www, address := serveShares(t, func(*SubscribeConfig) {})
	if resp, _ := ask(t, address, http.MethodGet, "/wapt/Packages", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("before the folder is made: %s", resp.Status)
	}
	when := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	put(t, filepath.Join(www, "wapt", "Packages"), "the index", when)
	put(t, filepath.Join(www, "wapt", "icons", "a.png"), "icon", when)
	put(t, filepath.Join(www, "wapt", "p\xff.wapt"), "odd", when)
	put(t, filepath.Join(www, "wapt", ".waptsync", "trash", "x"), "secret", when)
	put(t, filepath.Join(www, "wapt-host", "Packages"), "secret", when)
	put(t, filepath.Join(www, "wapt-host", "0a.wapt"), "host", when)
	put(t, filepath.Join(www, "outside"), "secret", when)
	for name, target := range map[string]string{"out": "../outside", "in": "icons/a.png"} {
		if err := os.Symlink(target, filepath.Join(www, "wapt", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/wapt/Packages", 200, "the index"},
		{"HEAD", "/wapt/Packages", 200, ""},
		{"GET", "/wapt/icons/a.png", 200, "icon"},
		{"GET", "/wapt/in", 200, "icon"},
		{"GET", "/wapt/p%FF.wapt", 200, "odd"},
		{"GET", "/wapt-host/0a.wapt", 200, "host"},
		{"GET", "/wapt-host/Packages", 403, ""},
		{"HEAD", "/wapt-host/Packages", 403, ""},
		{"GET", "/wapt-host/%50ackages", 403, ""},
		{"GET", "/wapt/missing", 404, ""},
		{"GET", "/", 404, ""},
		{"GET", "/wapt", 404, ""},
		{"GET", "/wapt/", 404, ""},
		{"GET", "/wapt/icons", 404, ""},
		{"GET", "/wapt/icons/", 404, ""},
		{"GET", "/other/x", 404, ""},
		{"GET", "/wapt/out", 404, ""},
		{"GET", "/wapt/../outside", 404, ""},
		{"GET", "/wapt/%2e%2e/outside", 404, ""},
		{"GET", "/wapt/..%2foutside", 404, ""},
		{"GET", "/wapt/.waptsync/trash/x", 404, ""},
		{"GET", "/wapt/%2ewaptsync/trash/x", 404, ""},
		{"GET", "/wapt/.WaptSync/trash/x", 404, ""},
		{"GET", "/wapt//.waptsync/trash/x", 404, ""},
		{"GET", "/wapt/./.waptsync/trash/x", 404, ""},
		{"GET", "/wapt/icons/../.waptsync/trash/x", 404, ""},
		{"GET", "/wapt/.waptsync%2ftrash%2fx", 404, ""},
		{"GET", "/wapt/Packages%00", 404, ""},
		{"POST", "/wapt/Packages", 405, ""},
		{"PUT", "/wapt/new", 405, ""},
		{"DELETE", "/wapt/Packages", 405, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			resp, body := ask(t, address, c.method, c.path, nil)
			if resp.StatusCode != c.status {
				t.Errorf("status %s, want %d", resp.Status, c.status)
			}
			if c.status == 200 && body != c.body || strings.Contains(body, "secret") {
				t.Errorf("body %q, want %q", body, c.body)
			}
		})
	}
}

func TestAgentsSeeTheMainsTimeAndContinueADownload(t *testing.T) {
	www, address := serveShares(t, func(*SubscribeConfig) {})
	when := time.Date(2026, 1, 2, 3, 4, 5, 987654321, time.UTC)
	put(t, filepath.Join(www, "wapt", "big.wapt"), "0123456789", when)
	const stamp = "Fri, 02 Jan 2026 03:04:05 GMT"
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		resp, _ := ask(t, address, method, "/wapt/big.wapt", nil)
		if got := resp.Header.Get("Last-Modified"); got != stamp {
			t.Errorf("%s: Last-Modified %q, want %q", method, got, stamp)
		}
		if resp.ContentLength != 10 || resp.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: length %d, type %q", method, resp.ContentLength, resp.Header.Get("Content-Type"))
		}
	}
	resp, body := ask(t, address, http.MethodGet, "/wapt/big.wapt", http.Header{"Range": {"bytes=4-"}})
	if resp.StatusCode != http.StatusPartialContent || body != "456789" || resp.Header.Get("Content-Range") != "bytes 4-9/10" {
		t.Errorf("range: %s, %q, %q", resp.Status, body, resp.Header.Get("Content-Range"))
	}
	if resp, _ := ask(t, address, http.MethodGet, "/wapt/big.wapt", http.Header{"Range": {"bytes=10-"}}); resp.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("a range behind the end: %s", resp.Status)
	}
}

// writePair makes a self-signed certificate of that serial number.
func writePair(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "colmar"},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	// Files get times of their own, so that a test need not wait for the clock.
	at := time.Unix(1_700_000_000+serial, 0)
	put(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), at)
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), at)
}

func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1)
	_, address := serveShares(t, func(c *SubscribeConfig) { c.ServeCert, c.ServeKey = cert, key })
	serial := func(version uint16) (int64, error) {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err != nil {
			return 0, err
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if got, err := serial(version); got != 1 || err != nil {
			t.Errorf("%s: serial %d, %v", tls.VersionName(version), got, err)
		}
	}
	if _, err := serial(tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 was taken")
	}
	writePair(t, cert, key, 2)
	if got, err := serial(tls.VersionTLS12); got != 2 || err != nil {
		t.Errorf("after the renewal: serial %d, %v", got, err)
	}
	put(t, cert, "half written", time.Unix(1_700_000_003, 0))
	if got, err := serial(tls.VersionTLS12); got != 2 || err != nil {
		t.Errorf("amid a renewal: serial %d, %v", got, err)
	}
}

func TestServingNeedsAPairAndAnAddress(t *testing.T) {
	for _, c := range []struct {
		name string
		ServeConfig
		faults int
	}{
		{"none", ServeConfig{}, 0},
		{"plain", ServeConfig{Serve: ":80"}, 0},
		{"TLS", ServeConfig{Serve: ":443", ServeCert: "/c", ServeKey: "/k"}, 0},
		{"no key", ServeConfig{Serve: ":443", ServeCert: "/c"}, 1},
		{"no address", ServeConfig{ServeCert: "/c", ServeKey: "/k"}, 1},
		{"no port", ServeConfig{Serve: "host"}, 1},
		{"relative", ServeConfig{Serve: ":443", ServeCert: "c", ServeKey: "k"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f faults
			if c.validate(&f); len(f) != c.faults {
				t.Errorf("faults %q, want %d", f, c.faults)
			}
		})
	}
	c := defaultSubscribe()
	c.Serve, c.ServeCert, c.ServeKey = "127.0.0.1:0", "/missing/cert", "/missing/key"
	if _, err := openShareServer(c, zerolog.Nop()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a certificate that is not there: %v", err)
	}
}
