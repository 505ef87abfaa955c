package main

import (
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// mailServer is a real SMTP server that keeps what it takes.
type mailServer struct {
	addr string
	mu   sync.Mutex
	got  []string
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailServer{addr: l.Addr().String()}
	s := smtp.NewServer(m)
	s.Domain = "localhost"
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-served })
	return m
}

// NewSession implements smtp.Backend.
func (m *mailServer) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{m}, nil }

func (m *mailServer) mails() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.got...)
}

type mailSession struct{ *mailServer }

func (mailSession) Reset()                               {}
func (mailSession) Logout() error                        { return nil }
func (mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (mailSession) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (s mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, string(text))
	return err
}

// places writes a city database that knows a few networks.
func places(t *testing.T, countries map[string]string) string {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-City", RecordSize: 24, Languages: []string{"en"}})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{
		"BE": "Belgium", "NL": "The Netherlands", "KP": "North Korea", "US": "United States", "CN": "China", "BR": "Brazil", "VN": "Vietnam",
	}
	for network, code := range countries {
		_, ipnet, err := net.ParseCIDR(netip.MustParsePrefix(network).String())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(ipnet, mmdbtype.Map{"country": mmdbtype.Map{
			"iso_code": mmdbtype.String(code),
			"names":    mmdbtype.Map{"en": mmdbtype.String(names[code])},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "city.mmdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// acceptLine is an inbound connection that the firewall let in, as the kernel logs it.
func acceptLine(addr string, port int) string {
	return fmt.Sprintf("<4>%s fw1 kernel: [ 8123.456789] ACCEPT IN=eth0 OUT= MAC=02:00:00:00:00:01:02:00:00:00:00:02:08:00 SRC=%s DST=192.0.2.10 "+
		"LEN=60 TOS=0x00 PREC=0x00 TTL=49 ID=54321 DF PROTO=TCP SPT=40123 DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0 \n", time.Now().Format(time.Stamp), addr, port)
}

// Of addresses that nobody holds on the public Internet AbuseIPDB is not asked and the operator is not told, whatever the policy; with
// private: true the operator is, without a question.
func TestNothingLeavesAboutInternalAddresses(t *testing.T) {
	internal := []string{"10.0.0.7", "127.0.0.1", "169.254.3.3", "203.0.113.9", "100.64.0.1", "224.0.0.5"}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs { // this machine's own, whatever they are
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !slices.Contains(internal, p.Addr().String()) {
			internal = append(internal, p.Addr().String())
		}
	}
	const public = "45.149.10.1"
	for private, want := range map[bool]int{false: 1, true: 1 + len(internal)} {
		d, url := newDouble(t)
		server := newMailServer(t)
		p := startReporting(t, "run", "--config", write(t, t.TempDir(), "tattled.yaml", fmt.Sprintf(`
sources: {syslog: [{listen: "tcp://127.0.0.1:0", trust: report}]}
policy: [{name: accepts, when: {kind: [firewall-accept]}, reputation: {max_score: 0}, private: %v, do: [alert]}]
report: {abuseipdb: {url: %q}}
alerts: {mail: {server: %q, from: tattled@example.org, to: [admin@example.org], rate: 100}}
store: {path: %s/state.db}
web: {listen: "127.0.0.1:0"}
`, private, url, server.addr, t.TempDir()))).ready()
		conn := p.dial()
		for _, addr := range append(internal, public) {
			if _, err := io.WriteString(conn, acceptLine(addr, 443)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, time.Minute, "the alerts", func() bool {
			return p.metric(`tattled_outbox_items{destination="mail",state="delivered"}`) == float64(want) &&
				p.metric("tattled_receiver_outcomes_total") == float64(len(internal)+1)
		})
		if n := p.metric("tattled_policy_gate_refused_total"); n != float64(len(internal)+1-want) {
			t.Errorf("private %v: %v were refused", private, n)
		}
		if n := p.metric(`tattled_reputation_lookups_total{result="known"}`); n != 1 || p.metric("tattled_reputation_lookups_total") != 1 {
			t.Errorf("private %v: %v lookups", private, p.metric("tattled_reputation_lookups_total"))
		}
		for _, r := range d.Requests() {
			if !strings.Contains(r.Query+r.Body, public) {
				t.Errorf("private %v: AbuseIPDB was asked %s %s%s", private, r.Path, r.Query, r.Body)
			}
		}
		if n := len(server.mails()); n != want {
			t.Errorf("private %v: %d mails, want %d", private, n, want)
		}
		p.stop()
	}
}

// Of four accepted connections only the one from an unexpected country by an address that nobody has reported is worth a
// mail, and it is worth one.
func TestOneMailForTheOddAccept(t *testing.T) {
	const expected, odd, known = "45.148.10.1", "45.149.10.1", "45.149.10.2"
	d, url := newDouble(t)
	d.SetScore(netip.MustParseAddr(odd), 0)
	d.SetScore(netip.MustParseAddr(known), 80)
	server := newMailServer(t)
	p := startReporting(t, "run", "--config", write(t, t.TempDir(), "tattled.yaml", fmt.Sprintf(`
sources: {syslog: [{listen: "tcp://127.0.0.1:0", trust: report, reporter: edge}]}
policy_defaults: false
policy:
  - name: accept-unexpected-country
    when: {kind: [firewall-accept], country_not: [BE, NL]}
    reputation: {max_score: 0, max_age: 90d}
    do: [alert]
report: {abuseipdb: {url: %q}}
alerts: {mail: {server: %q, from: tattled@example.org, to: [admin@example.org], mute: 24h}}
geoip: {city: %s}
store: {path: %s/state.db}
web: {listen: "127.0.0.1:0"}
`, url, server.addr, places(t, map[string]string{"45.148.0.0/16": "BE", "45.149.0.0/16": "KP"}), t.TempDir()))).ready()

	conn, err := net.Dial("tcp", p.addr["tcp"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, line := range []string{acceptLine(expected, 3306), acceptLine(known, 3306), acceptLine(odd, 3306), acceptLine(odd, 3307)} {
		if _, err := io.WriteString(conn, line); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, "a mail", func() bool { return len(server.mails()) > 0 })
	// Both addresses from the unexpected country are settled, and so is everything: nothing more can come.
	eventually(t, time.Minute, "both alerts to be settled", func() bool {
		return p.metric(`tattled_outbox_items{destination="mail",state="delivered"}`) == 1 &&
			p.metric(`tattled_outbox_items{destination="mail",state="dismissed"}`) == 1 &&
			p.metric("tattled_receiver_outcomes_total") == 4
	})
	if n := p.metric(`tattled_outbox_items{destination="mail",state="pending"}`); n != 0 {
		t.Errorf("%v alerts are still pending", n)
	}
	mails := server.mails()
	if len(mails) != 1 {
		t.Fatalf("%d mails, want 1", len(mails))
	}
	head, body, _ := strings.Cut(mails[0], "\r\n\r\n")
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{odd, "North Korea", "3306", "edge", "SRC=" + odd, "Auto-Submitted: auto-generated"} {
		if !strings.Contains(head+string(text), want) {
			t.Errorf("the mail lacks %q:\n%s\n\n%s", want, head, text)
		}
	}
	if n := len(d.Reports()); n != 0 {
		t.Errorf("%d reports, but an accept is none", n)
	}
	p.balanced()
	p.stop()
}
