package console

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

const testPassword = "correct horse battery"

// cheap makes tests fast; the real cost has a test of its own.
var cheap = hashCost{memory: 64, time: 1, threads: 1}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// logBuffer is a log that tests read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// rig is a running server and a browser without a screen.
type rig struct {
	t      *testing.T
	server *Server
	url    string
	roots  *x509.CertPool
	clock  *clock
	log    *logBuffer
	data   string
	main   *fakeMain
	client *http.Client
}

// start runs a server for o with a password, unless o.Data is set.
func start(t *testing.T, o Options) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{now: time.Now()}, log: &logBuffer{}}
	if o.Main == nil && o.Replica == nil {
		r.main = newFakeMain(time.Now())
		o.Main = r.main
	}
	if o.Data == "" {
		o.Data = t.TempDir()
		if err := setPassword(o.Data, testPassword, cheap); err != nil {
			t.Fatal(err)
		}
	}
	r.data = o.Data
	o.Now, o.Version = r.clock.Now, "0.3.0"
	o.Log = zerolog.New(r.log)
	scheme := "http"
	if o.Main != nil {
		scheme = "https"
		o.TLS, r.roots = certificate(t)
	}
	var err error
	if r.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = scheme + "://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	r.client = r.browser()
	return r
}

// browser is a client with its own cookies that follows no redirect.
func (r *rig) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots}, ForceAttemptHTTP2: true}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Jar: jar, Transport: transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as a browser's own page would; edit changes it first.
func (r *rig) do(method, path, kind, body string, edit func(*http.Request)) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if method != http.MethodGet {
		req.Header.Set("Origin", r.url)
		req.Header.Set("Content-Type", kind)
	}
	if edit != nil {
		edit(req)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (r *rig) get(path string) answer {
	r.t.Helper()
	return r.do(http.MethodGet, path, "", "", nil)
}

var formToken = regexp.MustCompile(`name="form" value="([^"]+)"`)

// submit gets a form and sends it with the fields.
func (r *rig) submit(path string, fields url.Values, edit func(*http.Request)) answer {
	r.t.Helper()
	m := formToken.FindStringSubmatch(r.get(path).body)
	if m == nil {
		r.t.Fatalf("%s has no form", path)
	}
	fields.Set("form", m[1])
	to, _, _ := strings.Cut(path, "?")
	return r.do(http.MethodPost, to, "application/x-www-form-urlencoded", fields.Encode(), edit)
}

func (r *rig) login(password string) answer {
	r.t.Helper()
	return r.submit("/login", url.Values{"name": {AccountName}, "password": {password}}, nil)
}

// signIn signs in and returns the session's token.
func (r *rig) signIn() string {
	r.t.Helper()
	if a := r.login(testPassword); a.status != http.StatusSeeOther {
		r.t.Fatalf("login: %d %s", a.status, a.body)
	}
	return r.csrf()
}

var csrfToken = regexp.MustCompile(`<meta name="csrf" content="([^"]+)">`)

func (r *rig) csrf() string {
	r.t.Helper()
	m := csrfToken.FindStringSubmatch(r.get("/").body)
	if m == nil {
		r.t.Fatal("the page has no token")
	}
	return m[1]
}

func (r *rig) post(path, csrf, body string) answer {
	r.t.Helper()
	return r.do(http.MethodPost, path, "application/json", body, func(req *http.Request) {
		req.Header.Set("X-CSRF-Token", csrf)
	})
}

func want(t *testing.T, a answer, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("got %d, want %d: %s", a.status, status, a.body)
	}
}

// certificate is one for loopback, and who trusts it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost", "wapt.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, roots
}

// eventually polls until ok, or fails with what is said.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}
