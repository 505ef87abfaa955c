package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// Every answer, errors included, has exactly these headers.
func TestHeaders(t *testing.T) {
	r := start(t, peopled(3), nil, usualPace())
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
		"Access-Control-Allow-Origin":  "",
		"Set-Cookie":                   "",
		"Server":                       "",
	}
	for _, path := range []string{"/", "/addresses/203.0.113.0", "/api/v1/events", "/api/v1/top", "/api/v1/sources", "/metrics", "/healthz", "/nothing", "/api/nothing", "/assets/nothing"} {
		resp, _ := r.get(path)
		got := map[string]string{}
		for name := range want {
			got[name] = resp.Header.Get(name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if resp, _ := r.get("/assets/live.js"); resp.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("asset: %v", resp.Header)
	}
}

// Who calls by a name that is not ours, as a page does that reaches in by DNS rebinding, is refused.
func TestHosts(t *testing.T) {
	s := newServer(t, peopled(1), func(c *Config, _ *Deps) { c.Hosts = []string{"Monitor.Example.org.", "192.0.2.7", "2001:db8::7"} })
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9817": 200, "LOCALHOST.": 200, "127.0.0.1:1": 200, "127.9.9.9": 200, "[::1]:9817": 200, "[::1]": 200, "[::ffff:127.0.0.1]": 200,
		"monitor.example.org": 200, "monitor.example.org:443": 200, "192.0.2.7": 200, "[2001:db8::7]:9817": 200, "198.51.100.1:9817": 200,
		"example.org": 421, "xmonitor.example.org": 421, "localhost.example.org": 421, "192.0.2.8": 421, "198.51.100.2": 421, "2001:db8::8": 421, "": 421,
		"127.0.0.1.nip.io": 421, "localhost\x00": 421, "0": 421, "0.0.0.0": 421, "[::]": 421, "2130706433": 421, "localhost:9817:1": 421,
	} {
		req := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		req.Host = host
		// The connection came in on an address of ours that is not in the configuration.
		req = req.WithContext(context.WithValue(req.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 9817}))
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, req)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

// A page of another site can read nothing and holds no stream; a link from there works.
func TestForeignPages(t *testing.T) {
	s := newServer(t, peopled(1), nil)
	for _, c := range []struct {
		name    string
		headers map[string]string
		want    int
	}{
		{"curl", nil, 200},
		{"typed in", map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		{"own page", map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200},
		{"own page with origin", map[string]string{"Origin": "http://localhost:9817"}, 200},
		{"a link", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		{"an image", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
		{"a frame", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403},
		{"another port", map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403},
		{"event source", map[string]string{"Origin": "http://evil.example"}, 403},
		{"another port's origin", map[string]string{"Origin": "http://localhost:3000"}, 403},
		{"sandbox", map[string]string{"Origin": "null"}, 403},
		{"nonsense", map[string]string{"Origin": "::"}, 403},
	} {
		req := httptest.NewRequest(http.MethodGet, "/api/v1/events", nil)
		req.Host = "localhost:9817"
		for name, value := range c.headers {
			req.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, req)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
	}
}

// A hundred thousand random requests change nothing, are answered, and leave nothing behind: no series, no goroutine, no
// client, no memory.
func TestRandomRequests(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := newServer(t, peopled(10), func(_ *Config, d *Deps) { d.Gatherer = registry })
	seed := mathrand.New(mathrand.NewPCG(3, 5))
	methods := []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get"}
	parts := []string{"api", "v1", "events", "addresses", "top", "assets", "..", "%2e", "203.0.113.0", "x", "", "metrics", "\x00", "é", "healthz"}
	once := func() {
		method := methods[seed.IntN(len(methods))]
		if seed.IntN(4) == 0 {
			method = fmt.Sprintf("M%d", seed.Uint32())
		}
		var path strings.Builder
		for range 1 + seed.IntN(4) {
			path.WriteString("/" + parts[seed.IntN(len(parts))])
		}
		if seed.IntN(2) == 0 {
			fmt.Fprintf(&path, "/%x", seed.Uint64())
		}
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Method, req.URL.Path, req.Host = method, path.String(), "localhost"
		if method == http.MethodGet && req.URL.Path == "/events" {
			return // a stream has no end
		}
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, req)
		if allowed := method == "GET" || method == "HEAD"; !allowed && (w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD") {
			t.Fatalf("%s %q: %d", method, path.String(), w.Code)
		}
		if w.Code >= 500 {
			t.Fatalf("%s %q: %d %s", method, path.String(), w.Code, w.Body)
		}
	}
	measure := func() (series int, goroutines int, heap uint64) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			series += len(f.GetMetric())
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return series, runtime.NumGoroutine(), m.HeapAlloc
	}
	for range 1000 {
		once()
	}
	series, goroutines, heap := measure()
	for range 99_000 {
		once()
	}
	series2, goroutines2, heap2 := measure()
	if series2 != series || goroutines2 > goroutines+2 || heap2 > heap+1<<20 {
		t.Errorf("series %d -> %d, goroutines %d -> %d, heap %d -> %d", series, series2, goroutines, goroutines2, heap, heap2)
	}
}

// The bounds on slow and greedy clients are set.
func TestBounds(t *testing.T) {
	s := newServer(t, peopled(0), nil)
	h := s.http
	if h.ReadHeaderTimeout != 5*time.Second || h.ReadTimeout <= 0 || h.WriteTimeout <= 0 || h.IdleTimeout <= 0 || h.MaxHeaderBytes != 16<<10 {
		t.Errorf("%+v", h)
	}
}

// A thousand and more connections that say nothing are bounded, and one who asks is answered as soon as some are gone.
func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	c := &capped{Listener: inner, free: make(chan struct{}, 3)}
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			conn, err := c.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for range 3 {
		dial()
	}
	held := []net.Conn{<-accepted, <-accepted, <-accepted}
	refused := dial()
	refused.SetReadDeadline(time.Now().Add(patience))
	if _, err := refused.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the fourth connection is held: %v", err)
	}
	held[0].Close()
	held[0].Close() // http.Server may close twice
	dial()
	held[0] = <-accepted
	inner.Close()
	for conn := range accepted {
		t.Errorf("accepted %v", conn.RemoteAddr())
	}
	for _, conn := range held {
		conn.Close()
	}
}

// authority makes a certificate for 127.0.0.1 and returns the paths of it and its key, and the pool that trusts it.
func authority(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, pool = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, content := range map[string][]byte{cert: text, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool.AppendCertsFromPEM(text)
	return cert, key, pool
}

// With a web configuration file, the server speaks TLS and HTTP/2, asks for a password everywhere, and streams all the
// same.
func TestTLSAndPassword(t *testing.T) {
	cert, key, pool := authority(t)
	config := file(t, fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {admin: %s}\n", cert, key, hash))
	r := start(t, peopled(10), func(c *Config, _ *Deps) { c.Listen, c.ConfigFile = "0.0.0.0:0", config }, quick())
	_, port, _ := net.SplitHostPort(r.Addr().String())
	r.url = "https://127.0.0.1:" + port
	r.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	for _, path := range []string{"/", "/events", "/api/v1/events", "/metrics", "/healthz", "/assets/live.js"} {
		if resp, body := r.get(path); resp.StatusCode != http.StatusUnauthorized || strings.Contains(body, "sshd") {
			t.Errorf("%s without a password: %s", path, resp.Status)
		}
		if resp, _ := r.get(path, "Authorization", "Basic YWRtaW46d3Jvbmc="); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s with a wrong password: %s", path, resp.Status)
		}
	}
	const right = "Basic YWRtaW46c2VjcmV0"
	resp, _ := r.get("/", "Authorization", right)
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Errorf("with the password: %s %s", resp.Proto, resp.Status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/events?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", right)
	stream, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	var got strings.Builder
	for buf := make([]byte, 4096); !strings.Contains(got.String(), "id: 10\n"); {
		n, err := stream.Body.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v after\n%s", err, &got)
		}
	}
}

// A web configuration file that is bad ends Run with an error that names the address, and leaves nothing behind.
func TestRunWithBadFile(t *testing.T) {
	s := newServer(t, peopled(0), func(c *Config, _ *Deps) { c.ConfigFile = file(t, "tls_server_config: {cert_file: /nowhere}\n") })
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("Run: %v", err)
	}
}

// A Run that is ended before it began returns.
func TestRunEndedAtOnce(t *testing.T) {
	s := newServer(t, peopled(0), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		conn.Close()
		t.Error("the socket is left open")
	}
}

// An inherited socket is used as it is; a unix socket is reached by the name localhost.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, peopled(1), func(_ *Config, d *Deps) { d.Listener = listener }, usualPace())
	r.url = "http://localhost"
	r.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	if resp, body := r.get("/healthz"); resp.StatusCode != http.StatusOK {
		t.Errorf("%s\n%s", resp.Status, body)
	}
}

// Bytes that are no HTTP are answered with an error and an end.
func TestNoHTTP(t *testing.T) {
	r := start(t, peopled(0), nil, usualPace())
	for _, text := range []string{"\x16\x03\x01\x02\x00\n\n", "GET / HTTP/1.1\r\n\r\n", "GET /events HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n"} {
		conn, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(conn, text)
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		if !strings.HasPrefix(string(answer), "HTTP/1.") || !strings.Contains(string(answer[:min(len(answer), 16)]), " 4") {
			t.Errorf("%.40q: %.60q", text, answer)
		}
		conn.Close()
	}
}
