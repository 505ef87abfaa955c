package mail_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// letter is one mail as the server got it.
type letter struct {
	from string
	to   []string
	text string
	tls  bool
	user string
}

// server is a real SMTP server in the process. Its hooks may be changed while it runs.
type server struct {
	addr string
	ca   string // a file

	mu      sync.Mutex
	letters []letter
	rcpt    func(to string) error
	mail    func(from string) error
	data    func() error
	before  func(c *smtp.Conn) error // at the connection
	auth    bool
}

const user, password = "alerts", "correct-horse-battery"

type mode struct {
	starttls, implicit, auth bool
}

func serve(t *testing.T, m mode) *server {
	t.Helper()
	s := &server{auth: m.auth}
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		before := s.before
		s.mu.Unlock()
		if before != nil {
			if err := before(c); err != nil {
				return nil, err
			}
		}
		return &session{s: s, conn: c}, nil
	}))
	srv.Domain = "mx.example.org"
	srv.AllowInsecureAuth = true
	srv.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	if m.starttls || m.implicit {
		var certificate tls.Certificate
		certificate, s.ca = testCA(t)
		config := &tls.Config{Certificates: []tls.Certificate{certificate}}
		if srv.TLSConfig = config; m.implicit {
			srv.TLSConfig = nil
			l = tls.NewListener(l, config)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // until it is closed
	}()
	t.Cleanup(func() {
		srv.Close()
		l.Close() // in case Serve has not begun, of which Close knows nothing
		<-ended
	})
	return s
}

func (s *server) change(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

func (s *server) got() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

// session is one connection to the server.
type session struct {
	s    *server
	conn *smtp.Conn
	letter
}

func (n *session) Reset() { n.letter = letter{user: n.user} }

func (n *session) Logout() error { return nil }

func (n *session) Mail(from string, _ *smtp.MailOptions) error {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if n.s.auth && n.user == "" {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	n.from = from
	if n.s.mail != nil {
		return n.s.mail(from)
	}
	return nil
}

func (n *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if n.s.rcpt != nil {
		if err := n.s.rcpt(to); err != nil {
			return err
		}
	}
	n.to = append(n.to, to)
	return nil
}

func (n *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if n.s.data != nil {
		if err := n.s.data(); err != nil {
			return err
		}
	}
	n.text = string(text)
	_, n.tls = n.conn.TLSConnectionState()
	n.s.letters = append(n.s.letters, n.letter)
	return nil
}

func (n *session) AuthMechanisms() []string {
	if !n.s.auth {
		return nil
	}
	return []string{sasl.Plain}
}

func (n *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, name, word string) error {
		if name != user || word != password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no such account: " + word} // it echoes what it should not
		}
		n.user = name
		return nil
	}), nil
}

// testCA makes a CA, whose certificate it puts into a file, and a certificate of it for 127.0.0.1 and localhost.
func testCA(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "mx"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, path
}
