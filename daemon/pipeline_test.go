package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"tattled/detect"
	"tattled/event"
	"tattled/policy"
	"tattled/policy/shared"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// taken is a submitter that keeps what it gets.
type taken struct {
	events []event.Event
	stream string
	cursor string
}

func (s *taken) Submit(_ context.Context, events []event.Event, stream string, cursor receiver.Cursor) error {
	s.events = append(s.events, events...)
	s.stream, s.cursor = stream, string(cursor)
	return nil
}

func testRules(t testing.TB) *detect.Rules {
	t.Helper()
	rules, faults := detect.Load(detect.Options{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return rules
}

func liveOf(e *engine) *atomic.Pointer[engine] {
	p := new(atomic.Pointer[engine])
	p.Store(e)
	return p
}

func testPipeline(t testing.TB, trusted string, out submitter) *pipeline {
	t.Helper()
	var n shared.Network
	if err := n.UnmarshalText([]byte(trusted)); err != nil {
		t.Fatal(err)
	}
	tally := newTally()
	gate := policy.NewGate(policy.GateConfig{Trusted: []shared.Network{n}})
	return newPipeline(liveOf(newEngine(shippedParts().config(), testRules(t), gate, tally)), tally, nil, out)
}

func record(program, message string) receiver.Record {
	return receiver.Record{Program: []byte(program), PID: []byte("123"), Host: []byte("web1"), Message: []byte(message), Trust: event.TrustReport}
}

func TestPipeline(t *testing.T) {
	var out taken
	p := testPipeline(t, "198.51.100.0/24", &out)
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	cut := record("sshd", "Invalid user x from 203.0.113.9 port 22")
	cut.Cut = true
	ahead := record("sshd", "Invalid user y from 203.0.113.5 port 22")
	ahead.Time = now.Add(time.Hour)
	b := &receiver.Batch{
		Source: "test", Received: now, Stream: "s", Cursor: receiver.Cursor("c1"),
		Records: []receiver.Record{
			record("sshd", "Failed password for root from 203.0.113.5 port 40022 ssh2"),
			record("sshd", "Failed password for root from 198.51.100.7 port 40022 ssh2"), // trusted
			record("sshd", "Server listening on 0.0.0.0 port 22."),                       // ignored
			record("cron", "nothing"), // ignored
			record("sshd", "Failed password for root from attacker.example.org port 40022 ssh2"), // refused
			cut, ahead,
			record("nginx", `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /a/..//%2eenv?x HTTP/1.1" 404 9 "-" "-"`),
			record("nginx", `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env/`+strings.Repeat("é", 200)+` HTTP/1.1" 404 9 "-" "-"`),
		},
	}
	if err := p.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(out.events) != 4 || out.stream != "s" || out.cursor != "c1" {
		t.Fatalf("%d events, stream %q, cursor %q", len(out.events), out.stream, out.cursor)
	}
	e := out.events[0]
	want := event.Event{
		Time: now, Received: now, Kind: event.AuthFailure, Service: "sshd", Rule: "failed-password", Categories: e.Categories,
		Addr: netip.MustParseAddr("203.0.113.5"), Port: 40022, Handshake: true, Session: true, Proto: e.Proto,
		User: "root", Program: "sshd", PID: "123", Host: "web1", Source: "test", Reporter: "web1", Trust: event.TrustReport,
		Line: "Failed password for root from 203.0.113.5 port 40022 ssh2",
	}
	if fmt.Sprint(e) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
	if path := out.events[2].Path; path != "/.env" {
		t.Errorf("the path is %q, not as the server resolves it", path)
	}
	if path := out.events[3].Path; len(path) != event.MaxPath-1 || !utf8.ValidString(path) {
		t.Errorf("a long path has %d bytes: %q", len(path), path)
	}
	if !out.events[1].Time.Equal(now) {
		t.Errorf("a record from the future is dated %v, want %v", out.events[1].Time, now)
	}
	s := p.tally.source("test")
	if m, i, r := s.matched.Load(), s.ignored.Load(), s.refused.Load(); m != 5 || i != 2 || r != 2 || p.tally.trusted.Load() != 1 {
		t.Errorf("matched %d, ignored %d, refused %d, trusted %d; want 5, 2, 2, 1", m, i, r, p.tally.trusted.Load())
	}
	if n := p.tally.missedCounts()["sshd"]; n != 1 {
		t.Errorf("%d lines of sshd matched nothing, want 1", n)
	}
}

// A client of NAT64 is trusted by the address that the log has and by its own, and judged by its own.
func TestPipelineNAT64(t *testing.T) {
	for trusted, events := range map[string]int{"64:ff9b::/96": 0, "64:ff9b::2d09:1407": 0, "45.9.20.0/24": 0, "45.9.21.0/24": 1} {
		var out taken
		p := testPipeline(t, trusted, &out)
		b := &receiver.Batch{Source: "test", Received: time.Now(), Records: []receiver.Record{
			record("sshd", "Failed password for root from 64:ff9b::2d09:1407 port 40022 ssh2"),
		}}
		if err := p.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(out.events) != events || events > 0 && out.events[0].Addr != netip.MustParseAddr("45.9.20.7") {
			t.Errorf("trusted %s: %+v", trusted, out.events)
		}
	}
}

// A log without headers dates its events itself, in the zone of its source; a header's word comes first.
func TestStampsDateEvents(t *testing.T) {
	dir := t.TempDir()
	const shop = `{service: shop, programs: [shop], stamp: true, rules: [{name: login, kind: auth-failure, categories: [18],
		match: ["login failed from <ip>"], samples: [{line: "login failed from 203.0.113.5", ip: 203.0.113.5}]}]}`
	if err := os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(shop), 0o600); err != nil {
		t.Fatal(err)
	}
	rules, faults := detect.Load(detect.Options{Directory: dir})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	var out taken
	tally := newTally()
	p := newPipeline(liveOf(newEngine(shippedParts().config(), rules, policy.NewGate(policy.GateConfig{}), tally)), tally, nil, &out)
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	headed := record("shop", "2026/11/22 06:30:00 login failed from 203.0.113.5")
	headed.Time = now.Add(-time.Hour)
	b := &receiver.Batch{Source: "test", Received: now, Location: brussels, Records: []receiver.Record{
		record("shop", "2026/11/22 06:30:00 login failed from 203.0.113.5"),
		record("shop", "2026/11/22 09:30:00 login failed from 203.0.113.5"), // not yet
		record("shop", "login failed from 203.0.113.5"),
		headed,
	}}
	if err := p.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Time{now.Add(-10 * time.Minute), now, now, headed.Time} {
		if i >= len(out.events) || !out.events[i].Time.Equal(want) {
			t.Errorf("event %d of %d is not dated %v", i, len(out.events), want)
		}
	}
}

// nginx writes a path into its error log as it is, line ends too: a line of an access log that stands there proves nothing,
// while one in a log of its own does.
func TestMadeUpLinesProveNothing(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	const access = `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x"`
	handle := func(source, stream string, messages ...string) {
		t.Helper()
		b := &receiver.Batch{Source: source, Stream: stream, Received: time.Now()}
		for _, m := range messages {
			b.Records = append(b.Records, record("nginx", m))
		}
		if err := p.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	handle("files", "/var/log/nginx/access.log", access)
	handle("files", "/var/log/nginx/error.log", `2026/11/22 10:00:00 [error] 7#7: *1 open() "/srv/x`, access, `" failed (2: No such file or directory), client: 198.51.100.9, server: _, request: "GET /x%0A HTTP/1.1"`)
	handle("files", "/var/log/nginx/access.log", access)
	handle("files", "/var/log/nginx/error.log", access)
	for i, proven := range []bool{true, false, true, false} {
		if i >= len(out.events) || out.events[i].Addr.String() != "203.0.113.5" || out.events[i].Handshake != proven {
			t.Errorf("event %d of %d: its handshake should be %v", i, len(out.events), proven)
		}
	}
}

// The batch's bytes are lent: what the pipeline keeps must be copies.
func TestPipelineCopies(t *testing.T) {
	var out taken
	p := testPipeline(t, "198.51.100.0/24", &out)
	line := []byte("Failed password for root from 203.0.113.5 port 40022 ssh2")
	r := receiver.Record{Program: []byte("sshd"), Host: []byte("web1"), PID: []byte("1"), Message: line}
	if err := p.Handle(t.Context(), &receiver.Batch{Source: "test", Received: time.Now(), Records: []receiver.Record{r}}); err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{line, r.Program, r.Host, r.PID} {
		for i := range b {
			b[i] = 'X'
		}
	}
	if e := out.events[0]; e.User != "root" || e.Host != "web1" || e.PID != "1" || strings.Contains(e.Line, "X") {
		t.Errorf("the event changed with the batch: %+v", e)
	}
}

func TestLineIsBoundedOnACharacter(t *testing.T) {
	for shift := range 5 {
		line := textOf([]byte(strings.Repeat("x", shift)+strings.Repeat("ü", event.MaxLine)), event.MaxLine)
		if len(line) > event.MaxLine || len(line) < event.MaxLine-3 || !utf8.ValidString(line) {
			t.Errorf("%d bytes, valid: %v", len(line), utf8.ValidString(line))
		}
	}
	if got := textOf([]byte(strings.Repeat("\x80", 2*event.MaxLine)), event.MaxLine); len(got) > event.MaxLine {
		t.Errorf("%d bytes", len(got))
	}
}

// A thousand made-up hosts must not stay in memory.
func TestNamesAreBounded(t *testing.T) {
	var n names
	for i := range 10 * maxNames {
		n.intern(fmt.Appendf(nil, "host-%d", i))
		if len(n.kept) > maxNames {
			t.Fatalf("%d names are kept, want at most %d", len(n.kept), maxNames)
		}
	}
}

// Hosts, programs, process ids and accounts as long as a record may be are cut before anything keeps them: made-up ones
// cost little memory, and no event carries more.
func TestLongNamesAreCut(t *testing.T) {
	const long = 64 << 10
	var out taken
	p := testPipeline(t, "198.51.100.0/24", &out)
	b := &receiver.Batch{Source: "test", Received: time.Now()}
	name := func(i int) string { return fmt.Sprintf("%d", i) + strings.Repeat("\u00fc", long/2) }
	records := func(from int) {
		b.Records = b.Records[:0]
		for i := range 100 {
			r := record("sshd", "Failed password for "+name(from + i)[:401]+" from 203.0.113.5 port 40022 ssh2")
			r.Host, r.PID = []byte(name(from+i)), []byte(strings.Repeat("1", long))
			b.Records = append(b.Records, r)
		}
	}
	heap := func() uint64 {
		b.Records = nil
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 11 {
		records(100 * i)
		if err := p.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	grown := int64(heap()) - int64(before)
	t.Logf("figure: names of 64 KiB in 1,100 events: %d KiB", grown>>10)
	if grown > 4<<20 {
		t.Errorf("%d bytes are kept of 1,100 records", grown)
	}
	if len(out.events) != 1100 {
		t.Fatalf("%d events", len(out.events))
	}
	for _, e := range out.events {
		for _, text := range []string{e.Host, e.Program, e.PID, e.User, e.Reporter} {
			if len(text) > maxName || !utf8.ValidString(text) {
				t.Fatalf("%d bytes are kept of a name", len(text))
			}
		}
	}
	runtime.KeepAlive(p)
}

// A time that is more than ten years from its receipt is not taken: whatever year a header or a stamp names, the event's
// is one that can be kept and shown.
func TestFarTimesAreReceipt(t *testing.T) {
	var out taken
	p := testPipeline(t, "198.51.100.0/24", &out)
	now := time.Date(2026, 11, 22, 5, 40, 0, 0, time.UTC)
	b := &receiver.Batch{Source: "test", Received: now}
	parser := wire.NewParser(time.UTC)
	for _, c := range []struct {
		stamp string
		want  time.Time
	}{
		{"0000-01-01T00:00:00Z", now}, {"0000-01-01T00:00:00+23:59", now}, {"0001-01-01T00:00:00Z", now}, {"1970-01-01T00:00:00Z", now},
		{"2016-11-01T00:00:00Z", now}, {"2017-11-01T00:00:00Z", time.Date(2017, 11, 1, 0, 0, 0, 0, time.UTC)},
		{"9999-12-31T23:59:59-23:59", now}, {"2026-11-22T05:39:00Z", now.Add(-time.Minute)},
	} {
		r := receiver.Record{Trust: event.TrustReport}
		line := "<38>1 " + c.stamp + " web1 sshd 7 - - Failed password for root from 203.0.113.5 port 40022 ssh2"
		if form := parser.Parse([]byte(line), now, &r); form != wire.RFC5424 {
			t.Fatalf("%s: %v", line, form)
		}
		b.Records, out.events = []receiver.Record{r}, nil
		if err := p.Handle(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(out.events) != 1 || !out.events[0].Time.Equal(c.want) {
			t.Errorf("%s: %+v, want %v", c.stamp, out.events, c.want)
		}
	}
}

// A line feed in a stranger's text is text: the record is its writer's, and nobody whom the stranger names is seen.
func TestLineFeedInARecordIsText(t *testing.T) {
	var out taken
	p := testPipeline(t, "198.51.100.0/24", &out)
	const second = "\n<38>Nov 22 05:40:00 web1 sshd[1]: Failed password for root from 203.0.113.5 port 4022 ssh2"
	b := &receiver.Batch{Source: "test", Received: time.Now(), Records: []receiver.Record{
		record("shop", "no such user bob"+second),
		record("sshd", "Invalid user bob"+second+" from 192.0.2.66 port 4023"),
		record("sshd", "session opened for user bob"+second),
	}}
	if err := p.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, e := range out.events {
		if e.Addr != netip.MustParseAddr("192.0.2.66") {
			t.Errorf("%v is seen: %q", e.Addr, e.Line)
		}
	}
}

// What no rule matches costs no allocation on its way through the pipeline.
func TestPipelineAllocatesNothingForOrdinaryLines(t *testing.T) {
	p := testPipeline(t, "198.51.100.0/24", &taken{})
	b := &receiver.Batch{Source: "test", Received: time.Now()}
	for range 100 {
		b.Records = append(b.Records, record("sshd", "pam_unix(sshd:session): session closed for user deploy"), record("cron", "x"))
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if err := p.Handle(ctx, b); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for 200 lines, want none", n)
	}
}

func BenchmarkPipeline(b *testing.B) {
	for name, share := range map[string]int{"ordinary": 0, "attacks-1-in-100": 1, "attacks-1-in-2": 50} {
		b.Run(name, func(b *testing.B) {
			out := &taken{}
			p := testPipeline(b, "198.51.100.0/24", out)
			batch := &receiver.Batch{Source: "bench", Received: time.Now()}
			for i := range 100 {
				if i < share {
					batch.Records = append(batch.Records, record("sshd", fmt.Sprintf("Failed password for invalid user admin from 203.0.113.%d port 40022 ssh2", i)))
				} else {
					batch.Records = append(batch.Records, record("systemd", "Started session-4711.scope - Session of User deploy."))
				}
			}
			b.ReportAllocs()
			lines := 0
			for b.Loop() {
				out.events = out.events[:0]
				if err := p.Handle(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				lines += len(batch.Records)
			}
			b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// A web server's log with a name in its first column, whose names may be addresses that a peer gave itself, is believed in
// none from then on: its lines count, and nothing of them is proven.
func TestLogWithNames(t *testing.T) {
	var out taken
	p := testPipeline(t, "192.0.2.0/24", &out)
	const attack = ` - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9 "-" "-"`
	handle := func(host, message string) {
		t.Helper()
		b := receiver.Batch{Source: "file:/var/log/apache2/access.log", Received: time.Date(2026, 11, 22, 10, 0, 1, 0, time.UTC), Records: []receiver.Record{record("apache2", message)}}
		b.Records[0].Host = []byte(host)
		if err := p.Handle(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
	}
	handle("web1", "203.0.113.5"+attack)
	handle("web1", `crawler.example.org - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 9 "-" "-"`)
	handle("web1", "198.51.100.66"+attack)
	handle("web2", "203.0.113.5"+attack)
	handle("web2", "192.168.0.1 203.0.113.5"+attack)
	var got []bool
	for _, e := range out.events {
		got = append(got, e.Handshake)
		if e.Handshake != (e.Proto == event.TCP) {
			t.Errorf("%v: handshake %v, %v", e.Addr, e.Handshake, e.Proto)
		}
	}
	if want := []bool{true, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("handshakes %v, not %v", got, want)
	}
}

// What a message with line ends in it becomes decides whether its lines can be believed: one record, or several of which a
// peer wrote all but the first.
func TestFramingDecides(t *testing.T) {
	const whole, file, out = receiver.Whole, receiver.FileLine, receiver.OutLine
	const access = `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 9 "-" "-"`
	for _, c := range []struct {
		program, message string
		proven           []receiver.Framing
	}{
		{"sshd", "Failed password for root from 203.0.113.5 port 40022 ssh2", []receiver.Framing{whole}},
		{"proftpd", "server.example.org (203.0.113.5[203.0.113.5]) - USER dan (Login failed): Incorrect password", []receiver.Framing{whole}},
		{"postfix/smtpd", "warning: unknown[203.0.113.5]: SASL LOGIN authentication failed: UGFzc3dvcmQ6", []receiver.Framing{whole, file, out}},
		{"vsftpd", `Sun Nov 22 10:00:00 2026 [pid 1] [dan] FAIL LOGIN: Client "203.0.113.5"`, []receiver.Framing{whole, file, out}},
		{"lighttpd", access, []receiver.Framing{whole, file}}, // CGI programs' standard error is lighttpd's, without a stamp
		{"nginx", access, []receiver.Framing{whole, file}},
		{"lighttpd", "2026-11-22 10:00:00: (mod_auth.c.1) get_password failed, IP: 203.0.113.5", nil},
		{"wordpress(example.org)", "Authentication failure for dan from 203.0.113.5", nil},
	} {
		for _, framing := range []receiver.Framing{whole, file, out} {
			var got taken
			p := testPipeline(t, "192.0.2.0/24", &got)
			r := record(c.program, c.message)
			r.Framing = framing
			if err := p.Handle(t.Context(), &receiver.Batch{Source: "test", Received: time.Now(), Records: []receiver.Record{r}}); err != nil {
				t.Fatal(err)
			}
			if len(got.events) != 1 || got.events[0].Addr != netip.MustParseAddr("203.0.113.5") {
				t.Fatalf("%s: %v", c.message, got.events)
			}
			if want := slices.Contains(c.proven, framing); got.events[0].Handshake != want {
				t.Errorf("%s, framing %d: handshake is %v: %s", c.program, framing, !want, c.message)
			}
		}
	}
}

// The Host header is in the tag of WP fail2ban, and has a port where the peer writes one: that keeps no line from being counted.
func TestTagWithHost(t *testing.T) {
	for _, host := range []string{"example.org", "example.org:443", "[2001:db8::1]:443", "a)[1]:b", "a):", strings.Repeat("a", 310), ":", "[1]"} {
		for _, header := range []string{"Nov 22 10:00:00 web1 ", "<38>Nov 22 10:00:00 ", "<38>Nov 22 10:00:00 web1 ", "2026-11-22T10:00:00.123456+00:00 web1 "} {
			for _, pid := range []string{"[123]", ""} {
				var got taken
				p := testPipeline(t, "192.0.2.0/24", &got)
				r := receiver.Record{Trust: event.TrustReport}
				line := header + "wordpress(" + host + ")" + pid + ": Authentication failure for admin from 203.0.113.5"
				wire.NewParser(time.UTC).Parse([]byte(line), time.Date(2026, 11, 22, 10, 0, 1, 0, time.UTC), &r)
				if err := p.Handle(t.Context(), &receiver.Batch{Source: "test", Received: time.Now(), Records: []receiver.Record{r}}); err != nil {
					t.Fatal(err)
				}
				if len(got.events) != 1 || got.events[0].Addr != netip.MustParseAddr("203.0.113.5") {
					t.Errorf("%q: %v", line, got.events)
				}
			}
		}
	}
}

// A time without a year is of the same year in a header and in a message, the 29th of February too.
func TestOneRuleOfTheYear(t *testing.T) {
	rules, faults := detect.Load(detect.Options{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	for _, zone := range []string{"UTC", "Europe/Brussels", "Pacific/Auckland", "America/St_Johns"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		parser := wire.NewParser(loc)
		for _, stamp := range []string{"Feb 29 10:00:00", "Feb 28 23:59:59", "Mar  1 00:00:00", "Dec 31 23:59:59", "Jan  1 00:00:00", "Mar 28 02:30:00"} {
			for received := time.Date(2026, 12, 30, 11, 0, 0, 0, time.UTC); received.Year() < 2030; received = received.Add(13 * time.Hour) {
				var r receiver.Record
				parser.Parse([]byte(stamp+" h t: x"), received, &r)
				var f detect.Finding
				rules.Detect([]byte("fail2ban"), []byte(stamp+" fail2ban.actions        [4711]: NOTICE  [sshd] Ban 203.0.113.5"), &f)
				inMessage, ok := f.Stamp.Time(loc, received)
				if !ok || r.Time.IsZero() || !inMessage.Equal(r.Time) {
					t.Fatalf("%s read at %s in %s: %v in the header, %v in the message", stamp, received, zone, r.Time, inMessage)
				}
			}
		}
	}
}
