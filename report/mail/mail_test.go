package mail_test

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/emersion/go-smtp"

	"tattled/event"
	"tattled/report"
	alert "tattled/report/mail"
	"tattled/report/reporttest"
	"tattled/setting"
)

func sender(t *testing.T, s *server, change func(c *alert.Config)) *alert.Sender {
	t.Helper()
	c := alert.Config{Server: s.addr, From: "tattled <tattled@example.org>", To: []string{"admin@example.org"}, Host: "web1", CAFile: s.ca}
	if s.auth {
		c.Username = user
	}
	if change != nil {
		change(&c)
	}
	m, err := alert.New(c, setting.NewSecret(password))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func refuse(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 7, 1}, Message: text}
}

// The sender does what every sender must do, with every hostile text in every field.
func TestSender(t *testing.T) {
	reporttest.Run(t, func(t *testing.T) *reporttest.Rig {
		s := serve(t, mode{starttls: true, auth: true})
		fail := func(code int) func(*testing.T) {
			return func(*testing.T) {
				s.change(func() { s.data = func() error { return refuse(code, "no \x1b[31m"+password) } })
			}
		}
		return &reporttest.Rig{
			Sender:  sender(t, s, func(c *alert.Config) { c.TLS = alert.Mandatory }),
			Arrived: func() int { return len(s.got()) },
			Break: map[report.Result]func(*testing.T){
				report.Later:    fail(451),
				report.Rejected: fail(554),
				report.Paused: func(*testing.T) {
					s.change(func() { s.before = func(*smtp.Conn) error { return refuse(554, "go away") } })
				},
			},
			Hang: func(t *testing.T) {
				hang := make(chan struct{})
				t.Cleanup(func() { close(hang) })
				s.change(func() {
					s.before = func(*smtp.Conn) error {
						<-hang
						return nil
					}
				})
			},
			Secrets: []string{password},
			Now:     time.Now(),
		}
	})
}

// parse reads a mail as a mail program does.
func parse(t *testing.T, l letter) (*mail.Message, string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(l.text))
	if err != nil {
		t.Fatalf("%v\n%s", err, l.text)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m, strings.ReplaceAll(string(body), "\r\n", "\n")
}

func subject(t *testing.T, m *mail.Message) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The mail, word for word.
func TestMail(t *testing.T) {
	s := serve(t, mode{})
	m := sender(t, s, func(c *alert.Config) { c.To = []string{"admin@example.org", "Böb <bob@example.net>"} })
	judged := time.Date(2026, 11, 22, 10, 5, 0, 0, time.UTC)
	r := reporttest.Report(5, judged)
	r.Kind, r.Service, r.Rule, r.Policy = event.FirewallAccept, "netfilter", "accept", "accept-unexpected-country"
	r.Count, r.Users, r.User = 1, 0, ""
	r.First = r.Last
	r.Line = "ACCEPT IN=eth0 OUT= SRC=203.0.113.5 DST=198.51.100.1 PROTO=TCP DPT=22"
	score := 0
	r.Score, r.Reputation = &score, &event.Reputation{MaxAge: 90 * 24 * time.Hour}
	if out := m.Send(t.Context(), r); out.Result != report.Delivered || out.Detail != "" {
		t.Fatalf("%+v", out)
	}
	got := s.got()[0]
	if got.from != "tattled@example.org" || !slices.Equal(got.to, []string{"admin@example.org", "bob@example.net"}) {
		t.Errorf("from %s to %v", got.from, got.to)
	}
	message, body := parse(t, got)
	if text := subject(t, message); text != "[tattled @ web1] accept on web1 from Germany (AS3320) 203.0.113.5" {
		t.Errorf("subject %q", text)
	}
	want := `Address:   203.0.113.5
Place:     Berlin, Germany (DE), AS3320 Example Telecom
Score:     0 of 100 at AbuseIPDB, by the reports of 90 days
What:      accept (firewall-accept), netfilter/accept
Ports:     22 (tcp)
When:      2026-11-22 10:04:59 UTC
Seen by:   web1 (shop)
Policy:    accept-unexpected-country

The record that led to this, as the log has it; what is in it may be the attacker's choice:

    ACCEPT IN=eth0 OUT= SRC=203.0.113.5 DST=198.51.100.1 PROTO=TCP DPT=22

This policy sends no more mail about this address for 1d.
`
	if body != want {
		t.Errorf("body\n%s\nwant\n%s", body, want)
	}
	id := message.Header.Get("Message-ID")
	for name, want := range map[string]string{
		"Date": "Sun, 22 Nov 2026 10:05:00 +0000", "Auto-Submitted": "auto-generated", "Content-Type": "text/plain; charset=UTF-8",
		"Mime-Version": "1.0", "From": `"tattled" <tattled@example.org>`, "Content-Transfer-Encoding": "quoted-printable",
	} {
		if message.Header.Get(name) != want {
			t.Errorf("%s: %s, want %s", name, message.Header.Get(name), want)
		}
	}
	if !strings.HasSuffix(id, ".tattled@example.org>") || strings.Contains(id, r.ID) {
		t.Errorf("Message-ID %s", id)
	}
	if len(message.Header) != 9 {
		t.Errorf("headers %v", message.Header)
	}

	m.Send(t.Context(), r)
	if again := s.got()[1].text; again != got.text {
		t.Errorf("sent again it is another mail:\n%s\n%s", got.text, again)
	}
	r.ID += "x"
	m.Send(t.Context(), r)
	if other, _ := parse(t, s.got()[2]); other.Header.Get("Message-ID") == id {
		t.Error("another report has the same Message-ID")
	}
}

// What is not known is not shown, or shown as unknown.
func TestSparseMail(t *testing.T) {
	s := serve(t, mode{})
	m := sender(t, s, nil)
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for n, test := range []struct {
		report  event.Report
		subject string
		in, out []string
	}{
		{event.Report{Kind: event.AuthSuccess, Count: 1}, "[tattled @ web1] login from an unknown country 2001:db8::5",
			[]string{"Place:     unknown\n", "What:      login (auth-success)\n"}, []string{"Score", "Before", "Accounts", "Ports", "When", "Seen by", "record"}},
		{event.Report{Kind: event.AuthFailure, Count: 9, Users: 4, User: "röot", Reputation: &event.Reputation{}, ScoreMissing: "no API key is configured", Place: event.Place{Country: "BE"}},
			"[tattled @ web1] 9 failed logins as \"röot\" and others from BE 2001:db8::5",
			[]string{"Score:     not known: no API key is configured\n", "What:      9 failed logins (auth-failure)\n", "Accounts:  4, the last one \"röot\"\n", "Place:     BE\n"}, nil},
		{event.Report{Kind: event.WebAttack, Count: 2, User: "a", Users: 1, Host: "h", Reporter: "h"}, "[tattled @ web1] 2 web attacks as \"a\" on h from an unknown country 2001:db8::5",
			[]string{"Accounts:  \"a\"\n", "Seen by:   h\n"}, nil},
		{
			event.Report{
				Kind: event.AuthSuccess, Service: "sshd", Rule: "accepted-password", Count: 1, Users: 1, User: "root", Host: "db2",
				First: noon, Last: noon, Prior: &event.Prior{Kinds: []event.Kind{event.AuthFailure}, Count: 6, First: noon.Add(-time.Minute)},
			},
			"[tattled @ web1] login as \"root\" after 6 failed logins on db2 from an unknown country 2001:db8::5",
			[]string{
				"What:      login (auth-success), sshd/accepted-password\n", "When:      2026-11-22 12:00:00 UTC\n",
				"Before:    6 failed logins (auth-failure) since 2026-11-22 11:59:00 UTC\n",
			},
			[]string{" x "},
		},
		{
			event.Report{
				Kind: event.AuthSuccess, Count: 1, Users: 1, User: "root", Host: "db2",
				Prior: &event.Prior{Kinds: []event.Kind{event.AuthFailure, event.Probe}, Count: 10, More: true},
			},
			"[tattled @ web1] login as \"root\" after 10 events or more on db2 from an unknown country 2001:db8::5",
			[]string{"Before:    10 events or more (auth-failure, probe)\n"}, nil,
		},
		{
			event.Report{Kind: event.Probe, Kinds: []event.Kind{event.Probe, event.WebAttack}, Count: 300, Service: "web-access", Rule: "not-found"},
			"[tattled @ web1] 300 events from an unknown country 2001:db8::5",
			[]string{"What:      300 events (probe, web-attack), the last one web-access/not-found\n"}, nil,
		},
		{event.Report{Kind: 77}, "[tattled @ web1] kind(77) from an unknown country 2001:db8::5", nil, nil},
	} {
		test.report.Addr = netip.MustParseAddr("2001:db8::5")
		if out := m.Send(t.Context(), &test.report); out.Result != report.Delivered {
			t.Fatalf("%+v", out)
		}
		message, body := parse(t, s.got()[n])
		if text := subject(t, message); text != test.subject {
			t.Errorf("subject %q, want %q", text, test.subject)
		}
		for _, text := range test.in {
			if !strings.Contains(body, text) {
				t.Errorf("%d: no %q in\n%s", n, text, body)
			}
		}
		for _, text := range test.out {
			if strings.Contains(body, text) {
				t.Errorf("%d: %q in\n%s", n, text, body)
			}
		}
	}
}

// An internal address, of which a policy with private: true alerts, is in no country, known or not.
func TestInternalAddress(t *testing.T) {
	s := serve(t, mode{})
	m := sender(t, s, nil)
	for n, test := range []struct {
		addr, subject, place string
	}{
		{"10.0.0.7", "login as \"root\" on web1 from the internal address 10.0.0.7", "an internal address of this network"},
		{"fd00::7", "login as \"root\" on web1 from the internal address fd00::7", "an internal address of this network"},
		{"fe80::7", "login as \"root\" on web1 from the internal address fe80::7", "an internal address of this network"},
		{"127.0.0.1", "login as \"root\" on web1 from the internal address 127.0.0.1", "an internal address of this network"},
		{"100.100.0.1", "login as \"root\" on web1 from the internal address 100.100.0.1", "an internal address of this network"},
		{"172.32.0.1", "login as \"root\" on web1 from an unknown country 172.32.0.1", "unknown"},
		{"100.128.0.1", "login as \"root\" on web1 from an unknown country 100.128.0.1", "unknown"},
	} {
		r := event.Report{Kind: event.AuthSuccess, Count: 1, Users: 1, User: "root", Host: "web1", Addr: netip.MustParseAddr(test.addr)}
		m.Send(t.Context(), &r)
		message, body := parse(t, s.got()[n])
		if text := subject(t, message); text != "[tattled @ web1] "+test.subject || !strings.Contains(body, "Place:     "+test.place+"\n") {
			t.Errorf("%s: the subject is %q, the body\n%s", test.addr, text, body)
		}
	}
}

// Hostile text in every field: one mail each, with our headers only, our recipients only, no control character, no
// character that turns text around, and a body that begins and ends as ours does.
func TestInjection(t *testing.T) {
	s := serve(t, mode{})
	m := sender(t, s, nil)
	var names []string
	for n, r := range reporttest.Hostile(time.Now()) {
		if out := m.Send(t.Context(), r); out.Result != report.Delivered {
			t.Fatalf("%d: %+v", n, out)
		}
		letters := s.got()
		if len(letters) != n+1 {
			t.Fatalf("%d mails after %d", len(letters), n+1)
		}
		got := letters[n]
		if got.from != "tattled@example.org" || !slices.Equal(got.to, []string{"admin@example.org"}) {
			t.Fatalf("%d: from %s to %v", n, got.from, got.to)
		}
		message, body := parse(t, got)
		var have []string
		for name, values := range message.Header {
			if have = append(have, name); len(values) != 1 {
				t.Errorf("%d: %s %d times", n, name, len(values))
			}
		}
		slices.Sort(have)
		if names == nil {
			names = have
		}
		if !slices.Equal(have, names) || len(have) != 9 {
			t.Errorf("%d: headers %v, want %v", n, have, names)
		}
		if to, err := message.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != "admin@example.org" {
			t.Errorf("%d: To %v %v", n, to, err)
		}
		checkText(t, n, subject(t, message), "")
		checkText(t, n, body, "\n")
		if !strings.HasPrefix(body, "Address:   ") || !strings.HasSuffix(body, "This policy sends no more mail about this address for 1d.\n") {
			t.Errorf("%d: body\n%s", n, body)
		}
		for line := range strings.Lines(got.text) {
			if len(line) > 998 {
				t.Errorf("%d: a line of %d bytes", n, len(line))
			}
		}
		if len(got.text) > 64<<10 {
			t.Errorf("%d: %d bytes", n, len(got.text))
		}
	}
}

// checkText fails on what could do more than be read.
func checkText(t *testing.T, n int, text, allowed string) {
	t.Helper()
	for _, c := range text {
		if strings.ContainsRune(allowed, c) {
			continue
		}
		if unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || c == unicode.ReplacementChar {
			t.Errorf("%d: %U in %q", n, c, text)
			return
		}
	}
}

// Each answer of the server, at each point, is what it means.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(s *server, err error)
		code int
		want report.Result
	}{
		{"grey listing", func(s *server, err error) { s.rcpt = func(string) error { return err } }, 451, report.Later},
		{"no such recipient", func(s *server, err error) { s.rcpt = func(string) error { return err } }, 550, report.Rejected},
		{"sender refused", func(s *server, err error) { s.mail = func(string) error { return err } }, 550, report.Rejected},
		{"authentication needed", func(s *server, err error) { s.mail = func(string) error { return err } }, 530, report.Paused},
		{"sender not now", func(s *server, err error) { s.mail = func(string) error { return err } }, 452, report.Later},
		{"content refused", func(s *server, err error) { s.data = func() error { return err } }, 554, report.Rejected},
		{"disk full", func(s *server, err error) { s.data = func() error { return err } }, 452, report.Later},
		{"too busy", func(s *server, err error) { s.before = func(*smtp.Conn) error { return err } }, 421, report.Later},
		{"no service", func(s *server, err error) { s.before = func(*smtp.Conn) error { return err } }, 554, report.Paused},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, mode{})
			test.set(s, refuse(test.code, "because"))
			out := sender(t, s, nil).Send(t.Context(), reporttest.Report(1, time.Now()))
			if out.Result != test.want || out.Unanswered || !strings.Contains(out.Detail, "because") {
				t.Errorf("came out as %+v, want %v", out, test.want)
			}
			if len(s.got()) != 0 {
				t.Error("it arrived")
			}
		})
	}
}

// Grey listing passes: refused at first, the same mail is taken later.
func TestGreyListing(t *testing.T) {
	s := serve(t, mode{})
	m := sender(t, s, nil)
	tries := 0
	s.change(func() {
		s.rcpt = func(string) error {
			if tries++; tries <= 2 {
				return refuse(451, "try again later")
			}
			return nil
		}
	})
	r := reporttest.Report(1, time.Now())
	for n, want := range []report.Result{report.Later, report.Later, report.Delivered} {
		if out := m.Send(t.Context(), r); out.Result != want {
			t.Errorf("attempt %d: %+v", n, out)
		}
	}
	if len(s.got()) != 1 {
		t.Errorf("%d mails", len(s.got()))
	}
}

// One recipient that is refused does not keep the mail from the others; one that is grey-listed makes it wait for all,
// for an hour.
func TestSomeRecipients(t *testing.T) {
	s := serve(t, mode{})
	m := sender(t, s, func(c *alert.Config) { c.To = []string{"gone@example.org", "admin@example.org"} })
	first := func(err error) func() {
		return func() {
			s.rcpt = func(to string) error {
				if to == "gone@example.org" {
					return err
				}
				return nil
			}
		}
	}
	s.change(first(refuse(550, "no such user")))
	out := m.Send(t.Context(), reporttest.Report(1, time.Now()))
	if out.Result != report.Delivered || !strings.Contains(out.Detail, "no such user") || !slices.Equal(s.got()[0].to, []string{"admin@example.org"}) {
		t.Errorf("one refused: %+v, to %v", out, s.got()[0].to)
	}
	s.change(first(refuse(450, "later")))
	if out := m.Send(t.Context(), reporttest.Report(2, time.Now().Add(-59*time.Minute))); out.Result != report.Later || len(s.got()) != 1 {
		t.Errorf("one grey-listed: %+v", out)
	}
	if out := m.Send(t.Context(), reporttest.Report(2, time.Now().Add(-time.Hour))); out.Result != report.Delivered || len(s.got()) != 2 {
		t.Errorf("an hour later: %+v", out)
	}
}

// How the connection is protected: as configured, or there is no mail; the certificate is verified; the password is
// sent to whom it belongs.
func TestSecurity(t *testing.T) {
	for _, test := range []struct {
		name   string
		server mode
		tls    string
		user   bool
		trust  bool
		want   report.Result
		secure bool
	}{
		{"mandatory", mode{starttls: true}, alert.Mandatory, false, true, report.Delivered, true},
		{"mandatory, not offered", mode{}, alert.Mandatory, false, true, report.Paused, false},
		{"mandatory, unknown CA", mode{starttls: true}, alert.Mandatory, false, false, report.Paused, false},
		{"opportunistic, offered", mode{starttls: true}, alert.Opportunistic, false, true, report.Delivered, true},
		{"opportunistic, not offered", mode{}, alert.Opportunistic, false, true, report.Delivered, false},
		{"opportunistic, unknown CA", mode{starttls: true}, alert.Opportunistic, false, false, report.Paused, false},
		{"implicit", mode{implicit: true}, alert.Implicit, false, true, report.Delivered, true},
		{"implicit, unknown CA", mode{implicit: true}, alert.Implicit, false, false, report.Paused, false},
		{"implicit to a plain port", mode{}, alert.Implicit, false, true, report.Paused, false},
		{"none", mode{starttls: true}, alert.None, false, true, report.Delivered, false},
		{"default to loopback", mode{starttls: true}, "", false, true, report.Delivered, false},
		{"password over STARTTLS", mode{starttls: true, auth: true}, alert.Mandatory, true, true, report.Delivered, true},
		{"password over TLS", mode{implicit: true, auth: true}, alert.Implicit, true, true, report.Delivered, true},
		{"password to loopback", mode{auth: true}, alert.None, true, true, report.Delivered, false},
		{"password not wanted", mode{}, alert.None, true, true, report.Paused, false},
		{"no password", mode{auth: true}, alert.None, false, true, report.Paused, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.server)
			if !test.trust {
				s.ca = ""
			}
			m := sender(t, s, func(c *alert.Config) {
				c.TLS, c.Username = test.tls, ""
				if test.user {
					c.Username = user
				}
			})
			out := m.Send(t.Context(), reporttest.Report(1, time.Now()))
			if out.Result != test.want || strings.Contains(out.Detail, password) {
				t.Fatalf("came out as %+v, want %v", out, test.want)
			}
			if test.want != report.Delivered {
				return
			}
			if got := s.got()[0]; !test.server.implicit && got.tls != test.secure || test.user != (got.user == user) {
				t.Errorf("TLS %v, user %q", got.tls, got.user)
			}
		})
	}
}

// A wrong password closes the destination and is not shown, even if the server echoes it.
func TestWrongPassword(t *testing.T) {
	s := serve(t, mode{starttls: true, auth: true})
	const wrong = "hunter2-hunter2"
	m, err := alert.New(alert.Config{Server: s.addr, From: "a@example.org", To: []string{"b@example.org"}, Username: user, TLS: alert.Mandatory, CAFile: s.ca},
		setting.NewSecret(wrong))
	if err != nil {
		t.Fatal(err)
	}
	out := m.Send(t.Context(), reporttest.Report(1, time.Now()))
	if out.Result != report.Paused || strings.Contains(out.Detail, wrong) || !strings.Contains(out.Detail, "no such account: <secret>") {
		t.Errorf("%+v", out)
	}
	if text := fmt.Sprintf("%+v", m); strings.Contains(text, wrong) {
		t.Error("printing the sender shows the password")
	}
}

// Nobody there, nonsense for a greeting, a connection cut at any point: later; and only the cut after the end of the
// mail leaves open whether it arrived.
func TestConnection(t *testing.T) {
	script := func(lines ...string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for i, line := range lines {
				fmt.Fprint(c, line+"\r\n")
				if i == len(lines)-1 {
					return
				}
				for { // a command, or a whole mail after 354
					text, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if !strings.HasPrefix(line, "354") || text == ".\r\n" {
						break
					}
				}
			}
		}()
		return l.Addr().String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, test := range []struct {
		name, addr string
		unanswered bool
	}{
		{"nobody", closed.Addr().String(), false},
		{"nonsense", script("HTTP/1.1 400 Bad Request", ""), false},
		{"a code without end", script(strings.Repeat("2", 5000)), false},
		{"cut at the greeting", script(""), false},
		{"cut after EHLO", script("220 x", "250 x"), false},
		{"cut after MAIL", script("220 x", "250 x", "250 ok"), false},
		{"cut after RCPT", script("220 x", "250 x", "250 ok", "250 ok"), false},
		{"cut at the mail", script("220 x", "250 x", "250 ok", "250 ok", "354 go on", ""), true},
		{"nonsense after the mail", script("220 x", "250 x", "250 ok", "250 ok", "354 go on", "what?"), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &server{addr: test.addr}
			out := sender(t, s, nil).Send(t.Context(), reporttest.Report(1, time.Now()))
			if out.Result != report.Later || out.Unanswered != test.unanswered {
				t.Errorf("%+v", out)
			}
		})
	}
}
