package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tattled/detect"
	"tattled/report/abuseipdb/double"
)

// Ten thousand lines of every service that there is a rule for, by TCP, a file and the journal, with what must not leave the machine planted
// in every field that they have: nothing of it reaches AbuseIPDB, by no endpoint, and no request is about an address that is private,
// our own, trusted or from documentation, whatever the line says of it.
func TestNothingPlantedLeaves(t *testing.T) {
	const lines = 10_000
	g := newPlanter(t)
	wire := newPrivacyWire(t, g)
	dir, journal, server := t.TempDir(), newJournal(t), newMailServer(t)
	p := startReporting(t, "run", "--config", write(t, dir, "tattled.yaml", fmt.Sprintf(`
sources:
  syslog: [{listen: "tcp://127.0.0.1:0", trust: report, reporter: zqx-label}]
  files: [{path: %[1]s/messages, start: beginning, reporter: zqx-files}]
  journal: {directory: %[2]s, helper: %[3]s, since: 1h, reporter: zqx-journal}
trusted: [%[4]s]
policy_defaults: false
policy:
  - {name: zqx-report, when: {kind: [auth-failure, probe, web-attack, mail-abuse, ban, firewall-block]}, do: [report]}
  - {name: zqx-score, when: {kind: [auth-failure, firewall-block]}, reputation: {max_score: 0}, do: [alert]}
  - {name: zqx-inner, when: {kind: [probe, mail-abuse]}, reputation: {max_score: 0}, private: true, do: [alert]}
report: {abuseipdb: {url: %[5]q, rate: 100}}
alerts: {mail: {server: %[6]q, from: zqx-tattled@zqx.example, to: [zqx-admin@zqx.example], rate: 100}}
store: {path: %[1]s/state.db}
web: {listen: "127.0.0.1:0"}
`, dir, journal.dir, buildHelper(t), strings.Join(g.trusted, ", "), wire.url, server.addr))).ready()

	var file strings.Builder
	conn := p.dial()
	for n := range lines {
		program, message := g.line()
		switch n % 3 {
		case 0:
			if _, err := fmt.Fprintf(conn, "<38>1 %s %s %s %d %s [%s@32473 user=%q] %s\n", time.Now().Format(time.RFC3339), g.host(), program, n, g.token(), g.token(), g.token(), message); err != nil {
				t.Fatal(err)
			}
		case 1:
			fmt.Fprintf(&file, "%s %s %s[%d]: %s\n", time.Now().Format(time.Stamp), g.host(), program, n, message)
		default:
			g.toJournal(journal, program, n, message)
		}
	}
	journal.flush()
	write(t, dir, "messages", file.String())
	eventually(t, 2*time.Minute, "all lines to be judged", func() bool { return p.metric("tattled_receiver_records_total") >= lines })
	enough := 300 // each question costs two transactions
	if full() {
		enough = 1 << 30
	}
	eventually(t, 10*time.Minute, "reports singly and by bulk file, and questions about scores", func() bool {
		asked := wire.count("check") >= enough || p.metric(`tattled_outbox_items{destination="mail",state="pending"}`) == 0
		return wire.count("bulk-report") > 0 && wire.count("report") > 100 && asked
	})
	p.idle()
	matched := p.metric(`tattled_receiver_outcomes_total{outcome="matched"`)
	if matched < lines*9/10 {
		t.Errorf("of %d lines only %v are events: that nothing of the others leaves says nothing", lines, matched)
	}
	p.balanced()
	p.stop()
	wire.judge(g)
	t.Logf("%d lines of %d services, %v of them events, about %d attackers and others: %d requests looked at (%d reports, %d bulk files with %d rows, %d checks), %d mails",
		lines, len(g.services), matched, len(g.named), len(wire.all()), wire.count("report"), wire.count("bulk-report"), wire.rows, wire.count("check"), len(server.mails()))
}

// privacyWire is a double that keeps every byte of every request.
type privacyWire struct {
	t    *testing.T
	url  string
	mu   sync.Mutex
	got  []privacyRequest
	rows int // of bulk files
}

type privacyRequest struct {
	path, query, kind string
	header            http.Header
	body              []byte
}

func newPrivacyWire(t *testing.T, g *planter) *privacyWire {
	t.Helper()
	d, err := double.New(double.Options{Plan: "premium"})
	if err != nil {
		t.Fatal(err)
	}
	// The quota is soon used up, so that the rest goes by bulk file.
	d.SetFaults(double.Fault{Mode: double.Exhausted, Endpoint: "report", Skip: 150})
	for n := range attackersInPlanted { // with a score most of them are not worth a mail, which takes longer than the question
		if n%20 > 0 {
			d.SetScore(g.attacker(n, false), 80)
			d.SetScore(g.attacker(n, true), 80)
		}
	}
	w := &privacyWire{t: t}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		w.got = append(w.got, privacyRequest{r.URL.Path, r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Clone(), body})
		w.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		d.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL + "/api/v2/"
	return w
}

func (w *privacyWire) all() []privacyRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got)
}

// count returns how many requests to an endpoint there were.
func (w *privacyWire) count(endpoint string) int {
	return len(slices.DeleteFunc(w.all(), func(q privacyRequest) bool { return q.path != "/api/v2/"+endpoint }))
}

// judge looks at every request: for what was planted, and for whom it is about.
func (w *privacyWire) judge(g *planter) {
	w.t.Helper()
	asked := map[string]bool{}
	for _, q := range w.all() {
		text := strings.ToLower(fmt.Sprintf("%s?%s %v %s", q.path, q.query, q.header, q.body))
		if plain, err := url.QueryUnescape(text); err == nil {
			text += plain
		}
		for _, planted := range g.never {
			if strings.Contains(text, planted) {
				w.t.Errorf("%q reached AbuseIPDB: %.600s", planted, text)
			}
		}
		about := w.about(q)
		if len(about) == 0 {
			w.t.Errorf("a request about nobody: %.300s", text)
		}
		for _, addr := range append(about, addressesIn(text)...) {
			if !g.named[addr] {
				w.t.Errorf("%s: %s, which is not an attacker's: %.600s", q.path, addr, text)
			}
		}
		if strings.HasSuffix(q.path, "/check") {
			asked[about[0].String()] = true
		}
	}
	if w.rows < 500 || len(asked) < 300 {
		w.t.Errorf("only %d rows in bulk files, and %d addresses asked about", w.rows, len(asked))
	}
}

// about returns the addresses that a request is about.
func (w *privacyWire) about(q privacyRequest) []netip.Addr {
	w.t.Helper()
	var names []string
	switch {
	case strings.HasSuffix(q.path, "/check"):
		form, _ := url.ParseQuery(q.query)
		names = form["ipAddress"]
	case strings.HasSuffix(q.path, "/report"):
		form, _ := url.ParseQuery(string(q.body))
		names = form["ip"]
	case strings.HasSuffix(q.path, "/bulk-report"):
		_, parameters, err := mime.ParseMediaType(q.kind)
		if err != nil {
			w.t.Fatal(err)
		}
		part, err := multipart.NewReader(bytes.NewReader(q.body), parameters["boundary"]).NextPart()
		if err != nil {
			w.t.Fatal(err)
		}
		table, err := csv.NewReader(part).ReadAll()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, row := range table[1:] {
			names = append(names, row[0])
		}
		w.rows += len(names)
	default:
		w.t.Errorf("a request to %s", q.path)
	}
	var all []netip.Addr
	for _, name := range names {
		addr, err := netip.ParseAddr(name)
		if err != nil {
			w.t.Errorf("%s names %q", q.path, name)
		}
		all = append(all, addr)
	}
	return all
}

// addressesIn returns whatever reads like an address in a text.
func addressesIn(text string) []netip.Addr {
	var all []netip.Addr
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef.:", r) }) {
		if addr, err := netip.ParseAddr(strings.Trim(word, ".:")); err == nil {
			all = append(all, addr)
		}
	}
	return all
}

// planter makes lines of every service, with what must not leave in their fields.
type planter struct {
	t        *testing.T
	r        *rand.Rand
	rules    *detect.Rules
	samples  []plantedSample
	services map[string]bool
	named    map[netip.Addr]bool // attackers: whom requests may be about
	inner    []string            // peers that no request may be about
	trusted  []string
	own      []string // our public addresses, which lines name beside the peer
	never    []string // must not be in any request, lower case
}

type plantedSample struct{ program, line, ip string }

func newPlanter(t *testing.T) *planter {
	t.Helper()
	rules, faults := detect.Load(detect.Options{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	all, faults := rules.Samples()
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	g := &planter{
		t: t, r: rand.New(rand.NewPCG(5, 6)), rules: rules, services: map[string]bool{}, named: map[netip.Addr]bool{},
		trusted: []string{"45.77.0.0/16", "2a0b:f4c1::/32"}, own: []string{"81.2.69.142", "81.2.69.143", "2a02:8388:1::7"},
		inner: []string{
			"10.0.0.7", "172.16.3.4", "192.168.1.77", "127.0.0.1", "169.254.3.3", "100.64.0.1", "224.0.0.5", "0.0.0.0", "255.255.255.255", "192.0.2.55",
			"198.51.100.55", "203.0.113.55", "45.77.1.2", "45.77.200.3", "::1", "fe80::7", "fd00::7", "2001:db8::55", "ff02::1", "2a0b:f4c1::5", "::ffff:10.0.0.7",
		},
		never: []string{"zqx", "de:ad:be:ef", "deadbeef"},
	}
	g.never = append(g.never, g.own...)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs { // this machine's own, whatever they are
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			g.inner = append(g.inner, p.Addr().WithZone("").String())
		}
	}
	for _, rule := range rules.All() {
		for _, s := range all[rule] {
			if program := s.Form.Program.Value; s.Addr.IsValid() && rule.Kind.Hostile() && !strings.ContainsAny(s.Form.Line.Value, "\n\r\x00") {
				if program == "" {
					program = strings.ReplaceAll(rule.Service.Programs[0], "*", "")
				}
				g.services[rule.Service.Name] = true
				g.samples = append(g.samples, plantedSample{program, s.Form.Line.Value, s.Form.IP.Value})
			}
		}
	}
	slices.SortFunc(g.samples, func(a, b plantedSample) int { return strings.Compare(a.program+a.line, b.program+b.line) })
	return g
}

// host is a name of a machine of ours.
func (g *planter) host() string { return fmt.Sprintf("zqx-host%d.corp", g.r.IntN(50)) }

// token is something that must not leave.
func (g *planter) token() string {
	n := g.r.IntN(100)
	switch g.r.IntN(8) {
	case 0:
		return g.host()
	case 1:
		return fmt.Sprintf("zqxuser%d", n)
	case 2:
		return fmt.Sprintf("zqx-Pa55w0rd-%d", n)
	case 3:
		return fmt.Sprintf("zqx%d@zqxmail.example", n)
	case 4:
		return fmt.Sprintf("de:ad:be:ef:00:%02x", n)
	case 5:
		return fmt.Sprintf("zqx-label%d", n)
	case 6:
		return "deadbeef"
	default:
		return g.own[g.r.IntN(len(g.own))]
	}
}

// peer is whom a line is about, of the family of an address: an attacker, or one of those that nothing may leave about.
func (g *planter) peer(like string) string {
	six := strings.Contains(like, ":")
	if g.r.IntN(4) == 0 {
		for {
			if inner := g.inner[g.r.IntN(len(g.inner))]; strings.Contains(inner, ":") == six {
				return inner
			}
		}
	}
	addr := g.attacker(g.r.IntN(attackersInPlanted), six)
	g.named[addr] = true
	return addr.String()
}

// attackersInPlanted is how many attackers of each family there are.
const attackersInPlanted = 1500

// attacker is one of them.
func (g *planter) attacker(n int, six bool) netip.Addr {
	if six {
		return netip.MustParseAddr(fmt.Sprintf("2a0b:f4c2:%x::5", n+1))
	}
	return netip.MustParseAddr(attacker(n))
}

// words are what in a line may be a field's value.
var words = regexp.MustCompile(`[A-Za-z0-9_@./-]{2,}`)

// line is a line of a service, about a peer, with something planted wherever it is a line of the service still.
func (g *planter) line() (program, message string) {
	s := g.samples[g.r.IntN(len(g.samples))]
	peer := g.peer(s.ip)
	message = strings.ReplaceAll(s.line, s.ip, peer)
	message = strings.ReplaceAll(message, "198.51.100.66", g.own[0]) // whom samples have an attacker write
	for range 12 {
		places := words.FindAllStringIndex(message, -1)
		if len(places) == 0 {
			break
		}
		at := places[g.r.IntN(len(places))]
		if word := message[at[0]:at[1]]; strings.Contains(word, peer) || strings.Contains(peer, word) {
			continue
		}
		planted := message[:at[0]] + g.token() + message[at[1]:]
		// What stands next to the peer's address may be read as a part of it: then the line is about somebody else, by the service's own account.
		var before, after detect.Finding
		g.rules.Detect([]byte(s.program), []byte(message), &before)
		if g.rules.Detect([]byte(s.program), []byte(planted), &after) == detect.Matched && after.Addr == before.Addr {
			message = planted
		}
	}
	return s.program, message
}

// toJournal writes an entry with all fields that a program can set, and those that journald does.
func (g *planter) toJournal(j *journalWriter, program string, pid int, message string) {
	for _, field := range []string{
		fmt.Sprintf("__REALTIME_TIMESTAMP=%d", time.Now().UnixMicro()), fmt.Sprintf("__MONOTONIC_TIMESTAMP=%d", pid+1),
		"_BOOT_ID=0123456789abcdef0123456789abcdef", "_MACHINE_ID=fedcba9876543210fedcba9876543210", "_HOSTNAME=" + g.host(),
		"_TRANSPORT=syslog", "_UID=0", "_COMM=" + program, "_EXE=/usr/sbin/" + g.token(), "_CMDLINE=" + g.token(), "USER_NAME=" + g.token(),
		"SYSLOG_IDENTIFIER=" + program, "PRIORITY=6", fmt.Sprintf("_PID=%d", pid), fmt.Sprintf("SYSLOG_PID=%d", pid), "MESSAGE=" + message, "",
	} {
		if _, err := j.buf.WriteString(field + "\n"); err != nil {
			j.t.Fatalf("write to the journal: %v", err)
		}
	}
}
