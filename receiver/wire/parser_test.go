package wire

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tattled/event"
	"tattled/receiver"
)

// received is when the lines of these tests are read.
var received = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

type want struct {
	form                     Form
	time                     string // RFC 3339, "" for none
	host, program, pid, text string
}

const at = "2026-11-22T05:40:00Z"

// Every header that the wild has, with what is nasty about it.
var headers = map[string]struct {
	line string
	want want
}{
	// RFC 3164 and its relatives.
	"rfc3164":                      {"<38>Nov 22 05:40:00 web1 sshd[4711]: Failed password", want{RFC3164, at, "web1", "sshd", "4711", "Failed password"}},
	"file":                         {"Nov 22 05:40:00 web1 sshd[4711]: Failed password", want{RFC3164, at, "web1", "sshd", "4711", "Failed password"}},
	"short-precise":                {"Nov 22 05:40:00.123456 web1 sshd[1]: x", want{RFC3164, "2026-11-22T05:40:00.123456Z", "web1", "sshd", "1", "x"}},
	"no pid":                       {"Nov 22 05:40:00 web1 CRON: x", want{RFC3164, at, "web1", "CRON", "", "x"}},
	"day of one digit":             {"Nov  1 05:40:00 h t: x", want{RFC3164, "2026-11-01T05:40:00Z", "h", "t", "", "x"}},
	"day of one digit, one space":  {"Nov 1 05:40:00 h t: x", want{RFC3164, "2026-11-01T05:40:00Z", "h", "t", "", "x"}},
	"month in capitals":            {"NOV 22 05:40:00 h t: x", want{RFC3164, at, "h", "t", "", "x"}},
	"year":                         {"<166>Nov 22 2025 05:40:00 fw t: x", want{RFC3164, "2025-11-22T05:40:00Z", "fw", "t", "", "x"}},
	"cisco asa":                    {"<166>Nov 22 2026 05:40:00 fw : %ASA-6-302013: Built", want{RFC3164, at, "fw", "%ASA-6-302013", "", "Built"}},
	"cisco asa without host":       {"<166>Nov 22 2026 05:40:00: %ASA-6-302013: Built", want{RFC3164, at, "", "%ASA-6-302013", "", "Built"}},
	"cisco ios":                    {"<189>45: *Nov 22 05:40:00.5: %SYS-5-CONFIG_I: x", want{RFC3164, "2026-11-22T05:40:00.5Z", "", "%SYS-5-CONFIG_I", "", "x"}},
	"space after priority":         {"<13> Nov 22 05:40:00 h t: x", want{RFC3164, at, "h", "t", "", "x"}},
	"syslog(3) names no host":      {"<13>Nov 22 05:40:00 sshd[9]: x", want{RFC3164, at, "", "sshd", "9", "x"}},
	"no host, no pid":              {"<13>Nov  1 00:00:00 tag: msg", want{RFC3164, "2026-11-01T00:00:00Z", "", "tag", "", "msg"}},
	"no host, nothing said":        {"<13>Nov 22 05:40:00 tag:", want{RFC3164, at, "", "tag", "", ""}},
	"empty host":                   {"Nov 22 05:40:00  tag: x", want{RFC3164, at, "", "tag", "", "x"}},
	"IPv6 host":                    {"<13>Nov 22 05:40:00 2001:db8::1 sshd[9]: x", want{RFC3164, at, "2001:db8::1", "sshd", "9", "x"}},
	"IPv6 host that ends in ::":    {"<13>Nov 22 05:40:00 2001:db8:: sshd[9]: x", want{RFC3164, at, "2001:db8::", "sshd", "9", "x"}},
	"address and port":             {"<13>Nov 22 05:40:00 192.0.2.1:514 sshd[9]: x", want{RFC3164, at, "192.0.2.1:514", "sshd", "9", "x"}},
	"IPv6 address and port":        {"<13>Nov 22 05:40:00 [2001:db8::1]:514 t: x", want{RFC3164, at, "[2001:db8::1]:514", "t", "", "x"}},
	"slash in tag":                 {"Nov 22 05:40:00 mx postfix/smtpd[8]: x", want{RFC3164, at, "mx", "postfix/smtpd", "8", "x"}},
	"host twice":                   {"<13>Nov 22 05:40:00 gw gw sshd[8]: x", want{RFC3164, at, "gw", "sshd", "8", "x"}},
	"host twice, no tag":           {"<13>Nov 22 05:40:00 gw gw [WAN_LOCAL-D-1] x", want{RFC3164, at, "gw", "", "", "[WAN_LOCAL-D-1] x"}},
	"host in the message":          {"<13>Nov 22 05:40:00 gw gwx is up", want{RFC3164, at, "gw", "", "", "gwx is up"}},
	"host and nothing":             {"<13>Nov 22 05:40:00 gw gw", want{RFC3164, at, "gw", "", "", "gw"}},
	"BusyBox":                      {"Nov 22 05:40:00 h authpriv.warn dropbear[8]: x", want{RFC3164, at, "h", "dropbear", "8", "x"}},
	"BusyBox, precise":             {"Nov 22 05:40:00.250 h kern.info kernel: [  1.5] x", want{RFC3164, "2026-11-22T05:40:00.25Z", "h", "kernel", "", "x"}},
	"BusyBox, no tag":              {"Nov 22 05:40:00 h local7.notice x y", want{RFC3164, at, "h", "", "", "x y"}},
	"BusyBox and nothing":          {"Nov 22 05:40:00 h auth.info", want{RFC3164, at, "h", "", "", "auth.info"}},
	"no such facility":             {"Nov 22 05:40:00 h auth2.info sshd[8]: x", want{RFC3164, at, "h", "", "", "auth2.info sshd[8]: x"}},
	"no such level":                {"Nov 22 05:40:00 h auth.infos sshd[8]: x", want{RFC3164, at, "h", "", "", "auth.infos sshd[8]: x"}},
	"facility twice":               {"Nov 22 05:40:00 h auth.info auth.info sshd[8]: x", want{RFC3164, at, "h", "", "", "auth.info sshd[8]: x"}},
	"a tag that is a facility":     {"Nov 22 05:40:00 h auth.info: x", want{RFC3164, at, "h", "auth.info", "", "x"}},
	"port in tag":                  {"Nov 22 05:40:00 h wordpress(example.org:443)[8]: x", want{RFC3164, at, "h", "wordpress(example.org:443)", "8", "x"}},
	"port in tag, no pid":          {"Nov 22 05:40:00 h wp(example.org:443): x", want{RFC3164, at, "h", "wp(example.org:443)", "", "x"}},
	"IPv6 in tag":                  {"<13>Nov 22 05:40:00 wp([2001:db8::5]:443)[8]: x", want{RFC3164, at, "", "wp([2001:db8::5]:443)", "8", "x"}},
	"end of a tag in tag":          {"Nov 22 05:40:00 h wp(a)[1]:b)[8]: x", want{RFC3164, at, "h", "wp(a)[1]:b)", "8", "x"}},
	"parenthesis behind the tag":   {"Nov 22 05:40:00 h app: f(x)[8]: y", want{RFC3164, at, "h", "app", "", "f(x)[8]: y"}},
	"parenthesis, no tag's end":    {"Nov 22 05:40:00 h app(x):y z", want{RFC3164, at, "h", "app(x)", "", "y z"}},
	"brackets in tag":              {"Nov 22 05:40:00 h (systemd)[8]: x", want{RFC3164, at, "h", "(systemd)", "8", "x"}},
	"pid that is none":             {"Nov 22 05:40:00 h app[worker]: x", want{RFC3164, at, "h", "app", "", "x"}},
	"empty pid":                    {"Nov 22 05:40:00 h app[]: x", want{RFC3164, at, "h", "app", "", "x"}},
	"pid without colon":            {"Nov 22 05:40:00 h app[7] x", want{RFC3164, at, "h", "app", "7", "x"}},
	"tag without space":            {"Nov 22 05:40:00 h app:x", want{RFC3164, at, "h", "app", "", "x"}},
	"text without tag":             {"Nov 22 05:40:00 h last message repeated 3 times", want{RFC3164, at, "h", "", "", "last message repeated 3 times"}},
	"text in brackets":             {"Nov 22 05:40:00 h [UFW BLOCK] IN=eth0", want{RFC3164, at, "h", "", "", "[UFW BLOCK] IN=eth0"}},
	"open bracket":                 {"Nov 22 05:40:00 h app[12 x", want{RFC3164, at, "h", "", "", "app[12 x"}},
	"two brackets":                 {"Nov 22 05:40:00 h app[1][2]: x", want{RFC3164, at, "h", "", "", "app[1][2]: x"}},
	"glue behind the bracket":      {"Nov 22 05:40:00 h app[1]x: y", want{RFC3164, at, "h", "", "", "app[1]x: y"}},
	"further spaces":               {"Nov 22 05:40:00 h sudo:   alice : TTY=pts/0", want{RFC3164, at, "h", "sudo", "", "  alice : TTY=pts/0"}},
	"kernel":                       {"Nov 22 05:40:00 h kernel: [812345.678901] [UFW BLOCK] IN=eth0", want{RFC3164, at, "h", "kernel", "", "[UFW BLOCK] IN=eth0"}},
	"kernel, young":                {"Nov 22 05:40:00 h kernel: [   12.345678] x", want{RFC3164, at, "h", "kernel", "", "x"}},
	"kernel without clock":         {"Nov 22 05:40:00 h kernel: [UFW BLOCK] IN=eth0", want{RFC3164, at, "h", "kernel", "", "[UFW BLOCK] IN=eth0"}},
	"Solaris":                      {"Nov 22 05:40:00 h sshd[7]: [ID 800047 auth.info] Failed", want{RFC3164, at, "h", "sshd", "7", "Failed"}},
	"nearly Solaris":               {"Nov 22 05:40:00 h app: [ID x] [ID 8 A] [ID 8 a]", want{RFC3164, at, "h", "app", "", "[ID x] [ID 8 A] [ID 8 a]"}},
	"only the kernel has a clock":  {"Nov 22 05:40:00 h app: [   12.345678] x", want{RFC3164, at, "h", "app", "", "[   12.345678] x"}},
	"ends after host":              {"<13>May  1 20:51:40 myhostname", want{RFC3164, "2026-05-01T20:51:40Z", "myhostname", "", "", ""}},
	"ends after host and space":    {"<13>May  1 20:51:40 myhostname ", want{RFC3164, "2026-05-01T20:51:40Z", "myhostname", "", "", ""}},
	"ends after time":              {"<13>May  1 20:51:40", want{RFC3164, "2026-05-01T20:51:40Z", "", "", "", ""}},
	"ends after time and space":    {"<13>May  1 20:51:40 ", want{RFC3164, "2026-05-01T20:51:40Z", "", "", "", ""}},
	"no such day":                  {"Feb 31 05:40:00 h t: x", want{RFC3164, "", "h", "t", "", "x"}},
	"no such hour":                 {"Nov 22 25:40:00 h t: x", want{RFC3164, "", "h", "t", "", "x"}},
	"leap second":                  {"Nov 22 05:39:60 h t: x", want{RFC3164, at, "h", "t", "", "x"}},
	"byte order mark":              {"<13>Nov 22 05:40:00 h t: \xef\xbb\xbfx", want{RFC3164, at, "h", "t", "", "x"}},
	"not UTF-8":                    {"<13>Nov 22 05:40:00 h t: \xff\xfe", want{RFC3164, at, "h", "t", "", "\xff\xfe"}},
	"NUL and escape":               {"<13>Nov 22 05:40:00 h t: a\x00\x1b[2J", want{RFC3164, at, "h", "t", "", "a\x00\x1b[2J"}},
	"the attacker's second header": {"<13>Nov 22 05:40:00 h t[1]: Nov 22 05:40:00 h sshd[2]: x", want{RFC3164, at, "h", "t", "1", "Nov 22 05:40:00 h sshd[2]: x"}},

	// The same behind a timestamp of RFC 3339.
	"ForwardFormat":     {"<38>2026-11-22T06:40:00.123456+01:00 web1 sshd[4711]: x", want{RFC3339, "2026-11-22T05:40:00.123456Z", "web1", "sshd", "4711", "x"}},
	"FileFormat":        {"2026-11-22T06:40:00.123456+01:00 web1 kernel: [  1.5] x", want{RFC3339, "2026-11-22T05:40:00.123456Z", "web1", "kernel", "", "x"}},
	"short-iso":         {"2026-11-22T05:40:00+0000 web1 sshd[4711]: x", want{RFC3339, at, "web1", "sshd", "4711", "x"}},
	"short-iso, colon":  {"2026-11-22T05:40:00+00:00 web1 sshd[4711]: x", want{RFC3339, at, "web1", "sshd", "4711", "x"}},
	"short-iso-precise": {"2026-11-22T05:40:00.000001-0130 h t: x", want{RFC3339, "2026-11-22T07:10:00.000001Z", "h", "t", "", "x"}},
	"Z":                 {"<13>2026-11-22T05:40:00Z h t: x", want{RFC3339, at, "h", "t", "", "x"}},
	"microseconds, Z":   {"<13>2026-11-22T05:40:00.123456Z h t: x", want{RFC3339, "2026-11-22T05:40:00.123456Z", "h", "t", "", "x"}},
	"nanoseconds":       {"<13>2026-11-22T05:40:00.123456789Z h t: x", want{RFC3339, "2026-11-22T05:40:00.123456789Z", "h", "t", "", "x"}},
	"too many digits":   {"<13>2026-11-22T05:40:00.1234567891234567890Z h t: x", want{RFC3339, "2026-11-22T05:40:00.123456789Z", "h", "t", "", "x"}},
	"comma, +01":        {"2026-11-22T06:40:00,5+01 h t: x", want{RFC3339, "2026-11-22T05:40:00.5Z", "h", "t", "", "x"}},
	"no zone":           {"2026-11-22T05:40:00 h t: x", want{RFC3339, at, "h", "t", "", "x"}},
	"no such month":     {"2026-13-22T05:40:00Z h t: x", want{RFC3339, "", "h", "t", "", "x"}},
	"no such offset":    {"2026-11-22T05:40:00+99:00 h t: x", want{None, "", "", "", "", "2026-11-22T05:40:00+99:00 h t: x"}},
	"no host, RFC 3339": {"<13>2026-11-22T05:40:00Z t[3]: x", want{RFC3339, at, "", "t", "3", "x"}},
	"ends after time 2": {"2026-11-22T05:40:00Z", want{RFC3339, at, "", "", "", ""}},

	// RFC 5424.
	"rfc5424":               {"<34>1 2026-11-22T05:40:00Z web1 sshd 4711 ID47 - Failed", want{RFC5424, at, "web1", "sshd", "4711", "Failed"}},
	"rsyslog's Protocol23":  {"<86>1 2026-11-22T05:40:00.000000+00:00 r1 sshd 58 - -  Failed", want{RFC5424, at, "r1", "sshd", "58", "Failed"}},
	"all nil":               {"<34>1 - - - - - - x", want{RFC5424, "", "", "", "", "x"}},
	"logger --tcp":          {`<13>1 2026-11-22T06:40:00.500000+01:00 web1 root - - [timeQuality tzKnown="1" isSynced="1" syncAccuracy="1000"] x`, want{RFC5424, "2026-11-22T05:40:00.5Z", "web1", "root", "", "x"}},
	"bracket in quotes":     {`<34>1 2026-11-22T05:40:00Z h a 1 - [id k="x] y"] z`, want{RFC5424, at, "h", "a", "1", "z"}},
	"escapes":               {`<34>1 2026-11-22T05:40:00Z h a 1 - [id k="\"] \\"][b] z`, want{RFC5424, at, "h", "a", "1", "z"}},
	"data, no message":      {`<34>1 2026-11-22T05:40:00Z h a 1 - [id]`, want{RFC5424, at, "h", "a", "1", ""}},
	"no message":            {`<34>1 2026-11-22T05:40:00Z h a 1 - -`, want{RFC5424, at, "h", "a", "1", ""}},
	"BOM":                   {"<34>1 2026-11-22T05:40:00Z h a 1 - - \xef\xbb\xbfx", want{RFC5424, at, "h", "a", "1", "x"}},
	"ns, as Go and Java":    {"<34>1 2026-11-22T05:40:00.123456789Z h a 1 - - x", want{RFC5424, "2026-11-22T05:40:00.123456789Z", "h", "a", "1", "x"}},
	"long names":            {"<34>1 2026-11-22T05:40:00Z h " + strings.Repeat("a", 60) + " 1 " + strings.Repeat("i", 40) + " - x", want{RFC5424, at, "h", strings.Repeat("a", 60), "1", "x"}},
	"version of two digits": {"<34>12 2026-11-22T05:40:00Z h a 1 - - x", want{RFC5424, at, "h", "a", "1", "x"}},
	"procid is a name":      {"<34>1 2026-11-22T05:40:00Z h a main - - x", want{RFC5424, at, "h", "a", "", "x"}},
	"data left out":         {"<34>1 2026-11-22T05:40:00Z h a 1 - [UFW BLOCK] IN=eth0", want{RFC5424, at, "h", "a", "1", "[UFW BLOCK] IN=eth0"}},
	"data unclosed":         {`<34>1 2026-11-22T05:40:00Z h a 1 - [id k="v] z`, want{RFC5424, at, "h", "a", "1", `[id k="v] z`}},
	"kernel 5424":           {"<34>1 2026-11-22T05:40:00Z h kernel - - - [    1.234567] x", want{RFC5424, at, "h", "kernel", "", "x"}},
	"ends after app":        {"<34>1 2026-11-22T05:40:00Z h a", want{RFC5424, at, "h", "a", "", ""}},
	"ends after time 3":     {"<34>1 2026-11-22T05:40:00Z", want{RFC5424, at, "", "", "", ""}},
	"two spaces":            {"<34>1 2026-11-22T05:40:00Z  h a 1 - - x", want{RFC5424, at, "", "h", "", "- x"}},

	// RouterOS.
	"topics":               {"firewall,info DROP input: in:ether1", want{Topics, "", "", "firewall,info", "", "DROP input: in:ether1"}},
	"topics and priority":  {"<30>system,error,critical login failure for user a", want{Topics, "", "", "system,error,critical", "", "login failure for user a"}},
	"topics behind a host": {"Nov 22 05:40:00 192.0.2.1 firewall,info DROP input: in:ether1", want{RFC3164, at, "192.0.2.1", "firewall,info", "", "DROP input: in:ether1"}},
	"topics behind ISO":    {"2026-11-22T05:40:00Z gw l2tp,ppp,info,account a logged in", want{RFC3339, at, "gw", "l2tp,ppp,info,account", "", "a logged in"}},
	"BSD names no topics":  {"<30>Nov 22 05:40:00 gw DROP input: in:ether1", want{RFC3164, at, "gw", "", "", "DROP input: in:ether1"}},
	"topics without level": {"one,two three", want{None, "", "", "", "", "one,two three"}},
	"a level is no topics": {"Nov 22 05:40:00 h error this is bad", want{RFC3164, at, "h", "", "", "error this is bad"}},
	"topics and nothing":   {"firewall,info", want{None, "", "", "", "", "firewall,info"}},
	"not quite topics":     {"Info,info x", want{None, "", "", "", "", "Info,info x"}},

	// What is no header. The inputs that kill go-syslog's parsers are among them.
	"empty":                     {"", want{None, "", "", "", "", ""}},
	"kills go-syslog":           {"<13>", want{None, "", "", "", "", "<13>"}},
	"kills go-syslog, too":      {"<3>", want{None, "", "", "", "", "<3>"}},
	"its fuzzer's own":          {"<0>MAY 01 00:00:000", want{None, "", "", "", "", "<0>MAY 01 00:00:000"}},
	"negative count":            {"-1 x", want{None, "", "", "", "", "-1 x"}},
	"priority above 191":        {"<999>Nov 22 05:40:00 h t: x", want{None, "", "", "", "", "<999>Nov 22 05:40:00 h t: x"}},
	"priority 192":              {"<192>Nov 22 05:40:00 h t: x", want{None, "", "", "", "", "<192>Nov 22 05:40:00 h t: x"}},
	"priority with zero":        {"<013>Nov 22 05:40:00 h t: x", want{None, "", "", "", "", "<013>Nov 22 05:40:00 h t: x"}},
	"priority empty":            {"<>Nov 22 05:40:00 h t: x", want{None, "", "", "", "", "<>Nov 22 05:40:00 h t: x"}},
	"priority open":             {"<13", want{None, "", "", "", "", "<13"}},
	"priority and text":         {"<13>Failed password", want{None, "", "", "", "", "<13>Failed password"}},
	"version and text":          {"<13>1 Failed password", want{None, "", "", "", "", "<13>1 Failed password"}},
	"version 0":                 {"<13>0 2026-11-22T05:40:00Z h a 1 - - x", want{None, "", "", "", "", "<13>0 2026-11-22T05:40:00Z h a 1 - - x"}},
	"version without priority":  {"1 2026-11-22T05:40:00Z h a 1 - - x", want{None, "", "", "", "", "1 2026-11-22T05:40:00Z h a 1 - - x"}},
	"plain text":                {"203.0.113.5 - - [22/Nov/2026:05:40:00 +0000] \"GET / HTTP/1.1\"", want{None, "", "", "", "", "203.0.113.5 - - [22/Nov/2026:05:40:00 +0000] \"GET / HTTP/1.1\""}},
	"a date with a space is no": {"2026-11-22 05:40:00 [info] x", want{None, "", "", "", "", "2026-11-22 05:40:00 [info] x"}},
	"glue behind the time":      {"Nov 22 05:40:00x h t: x", want{None, "", "", "", "", "Nov 22 05:40:00x h t: x"}},
}

func TestParse(t *testing.T) {
	p := NewParser(time.UTC)
	for name, c := range headers {
		for range 2 { // the second time from the cache
			line := []byte(c.line)
			r := receiver.Record{Trust: event.TrustReport, Cut: true, Host: []byte("stale"), PID: []byte("1"), Program: []byte("stale")}
			form := p.Parse(line, received, &r)
			got := want{form, "", string(r.Host), string(r.Program), string(r.PID), string(r.Message)}
			if !r.Time.IsZero() {
				got.time = r.Time.UTC().Format(time.RFC3339Nano)
			}
			if got != c.want {
				t.Errorf("%s: %q\n got %+v\nwant %+v", name, c.line, got, c.want)
			}
			if r.Trust != event.TrustReport || !r.Cut {
				t.Errorf("%s: Parse touched Trust or Cut", name)
			}
			checkLent(t, line, &r)
		}
	}
}

// checkLent demands that all of r lies in line, and that what is absent is nil.
func checkLent(t rapid.TB, line []byte, r *receiver.Record) {
	t.Helper()
	for _, part := range [][]byte{r.Host, r.Program, r.PID} {
		if part != nil && (len(part) == 0 || !within(line, part)) {
			t.Fatalf("%q: %q is empty or not within", line, part)
		}
	}
	if !within(line, r.Message) {
		t.Fatalf("%q: message %q is not within", line, r.Message)
	}
}

func within(whole, part []byte) bool {
	if len(part) == 0 {
		return true
	}
	from := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	start := uintptr(unsafe.Pointer(unsafe.SliceData(part)))
	return start >= from && start+uintptr(len(part)) <= from+uintptr(len(whole))
}

// A timestamp without a year is the latest that is at most a day ahead of the reading.
func TestYear(t *testing.T) {
	for _, c := range []struct{ received, stamp, want string }{
		{"2026-11-22T06:00:00Z", "Nov 22 05:40:00", "2026-11-22T05:40:00Z"},
		{"2027-01-01T00:00:05Z", "Dec 31 23:59:59", "2026-12-31T23:59:59Z"}, // read after New Year
		{"2026-12-31T23:59:50Z", "Jan  1 00:00:10", "2027-01-01T00:00:10Z"}, // a clock that is ahead
		{"2026-11-22T06:00:00Z", "Nov 23 05:59:59", "2026-11-23T05:59:59Z"},
		{"2026-11-22T06:00:00Z", "Nov 23 06:00:00", "2026-11-23T06:00:00Z"},
		{"2026-11-22T06:00:00Z", "Nov 23 06:00:01", "2025-11-23T06:00:01Z"},
		{"2026-11-22T06:00:00Z", "Jan  1 00:00:00", "2026-01-01T00:00:00Z"},
		{"2028-03-01T06:00:00Z", "Feb 29 00:00:00", "2028-02-29T00:00:00Z"},
		{"2029-02-01T06:00:00Z", "Feb 29 00:00:00", "2028-02-29T00:00:00Z"},
		{"2027-03-01T06:00:00Z", "Feb 29 00:00:00", "2024-02-29T00:00:00Z"}, // as a stamp in a message: event.InYear
		{"2027-03-01T06:00:00Z", "Feb 30 00:00:00", ""},
	} {
		now, err := time.Parse(time.RFC3339, c.received)
		if err != nil {
			t.Fatal(err)
		}
		var r receiver.Record
		NewParser(nil).Parse([]byte(c.stamp+" h t: x"), now, &r)
		got := ""
		if !r.Time.IsZero() {
			got = r.Time.Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("%s read at %s: %s, want %s", c.stamp, c.received, got, c.want)
		}
	}
}

// What is remembered of the last timestamp never changes an answer, however the clock of the reading moves.
func TestCacheIsInvisible(t *testing.T) {
	warm := NewParser(time.UTC)
	for _, stamp := range []string{"Nov 22 05:40:00", "Jan  1 00:00:00", "Feb 29 12:00:00", "Dec 31 23:59:59"} {
		line := []byte(stamp + " h t: x")
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for range 5000 {
			now = now.Add(7 * time.Hour)
			var a, b receiver.Record
			warm.Parse(line, now, &a)
			NewParser(time.UTC).Parse(line, now, &b)
			if !a.Time.Equal(b.Time) {
				t.Fatalf("%s at %s: %s from the cache, %s without", stamp, now, a.Time, b.Time)
			}
			if a.Time.After(now.Add(24 * time.Hour)) {
				t.Fatalf("%s at %s: %s is ahead", stamp, now, a.Time)
			}
		}
	}
}

// Nor does what is remembered of the last header: each line is read as if it were the first.
func TestHeaderCacheIsInvisible(t *testing.T) {
	warm := NewParser(time.UTC)
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, before := range []string{"", "<38>", "<3>", "45: "} {
		for _, stamp := range []string{"Nov 22 05:40:00", "Nov 22 05:40:00.000", "Nov 22 2026 05:40:00", "Nov  2 05:40:00", "Nov 2 05:40:00", "Feb 30 05:40:00"} {
			for _, behind := range []string{" h t: x", " h t", " h", " h ", " ", "", " h: t", ": %SYS-5: x", " h:: t: x", "  t: x", " " + strings.Repeat("h", 60) + " t: x"} {
				for _, later := range []string{behind, behind + "y", " h t[1]: z"} {
					var a, b receiver.Record
					for _, line := range []string{before + stamp + behind, before + stamp + later} {
						formA := warm.Parse([]byte(line), now, &a)
						formB := NewParser(time.UTC).Parse([]byte(line), now, &b)
						if diff := cmp.Diff(b, a); diff != "" || formA != formB {
							t.Fatalf("%q: %v, without what is remembered %v\n%s", line, formA, formB, diff)
						}
					}
				}
			}
		}
	}
}

// The short cut for usual records reads them as the long way does, whatever their words are.
func TestUsual(t *testing.T) {
	word := rapid.StringMatching(`[a-zA-Z0-9:\[\]/ .\x00\xef-]{0,20}`)
	taken, warm := 0, NewParser(time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		lastHost := word.Draw(t, "the last record's host")
		warm.usual([]byte(lastHost+" t: a message"), new(receiver.Record))
		host, tag, text := rapid.OneOf(word, rapid.Just(lastHost)).Draw(t, "host"), word.Draw(t, "tag"), word.Draw(t, "text")
		if rapid.Bool().Draw(t, "kernel") {
			tag, text = "kernel", "[ 12.345678] "+text
		}
		pid := rapid.SampledFrom([]string{"", "[1]", "[4194304]", "[12345678]", "[]", "[x]", "[1", "[1]x"}).Draw(t, "pid")
		s := []byte(host + rapid.SampledFrom([]string{" ", "", "  ", ": "}).Draw(t, "behind the host") + tag + pid +
			rapid.SampledFrom([]string{": ", ":", " ", "", ":  "}).Draw(t, "behind the tag") + text)
		var short, long receiver.Record
		if !warm.usual(s, &short) {
			if diff := cmp.Diff(receiver.Record{}, short); diff != "" {
				t.Fatalf("%q: not usual, but\n%s", s, diff)
			}
			return
		}
		taken++
		unusual(s, &long)
		if diff := cmp.Diff(long, short); diff != "" {
			t.Fatalf("%q: the long way and the short one differ\n%s", s, diff)
		}
		checkLent(t, s, &short)
	})
	if taken == 0 {
		t.Error("no record was usual")
	}
}

// Nor does the host of the record before, however much of it is in the next one.
func TestHostCacheIsInvisible(t *testing.T) {
	var hosts []string
	for _, n := range []int{0, 1, 6, 7, 8, 9, 14, 15, 16, 17} {
		for _, end := range []string{"", "x", "y", " ", ":", "::", "\xff"} {
			hosts = append(hosts, strings.Repeat("h", n)+end)
		}
	}
	for _, last := range hosts {
		for _, host := range hosts {
			for _, behind := range []string{" t[12]: a message", " t: a message of some length", " t: x"} {
				var warm Parser
				var a, b receiver.Record
				warm.origin([]byte(" "+last+" t: a message of some length"), new(receiver.Record))
				warm.origin([]byte(" "+host+behind), &a)
				unusual([]byte(host+behind), &b)
				if diff := cmp.Diff(b, a); diff != "" {
					t.Fatalf("%q behind %q:\n%s", host+behind, last, diff)
				}
			}
		}
	}
}

// Nor do the seconds that are added to the last time: each minute's are those that reading the whole timestamp gives.
func TestSecondsOfAMinute(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Brussels", "Australia/Lord_Howe"} { // the last one's clock moves by half an hour
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			warm := NewParser(loc)
			start := rapid.Int64Range(received.Unix()-400*day, received.Unix()+2*day).Draw(t, "start")
			for range 20 {
				at := time.Unix(start+rapid.Int64Range(0, 119).Draw(t, "seconds"), 0).In(loc).Format(time.Stamp)
				if rapid.IntRange(0, 20).Draw(t, "leap second") == 0 {
					at = at[:13] + "60"
				}
				line, now := []byte(at+" h t: x"), received.Add(time.Duration(rapid.Int64Range(-2, 2).Draw(t, "now"))*time.Second)
				var a, b receiver.Record
				warm.Parse(line, now, &a)
				NewParser(loc).Parse(line, now, &b)
				if !a.Time.Equal(b.Time) {
					t.Fatalf("%s in %s at %s: %s from the cache, %s without", at, zone, now, a.Time, b.Time)
				}
			}
		})
	}
}

// A timestamp without a zone is in the parser's zone; one with a zone is the instant it says.
func TestZone(t *testing.T) {
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	p := NewParser(brussels)
	for line, want := range map[string]string{
		"Nov 22 05:40:00 h t: x":                   "2026-11-22T05:40:00+01:00",
		"Jul 22 05:40:00 h t: x":                   "2026-07-22T05:40:00+02:00",
		"Jul 22 2025 05:40:00 h t: x":              "2025-07-22T05:40:00+02:00",
		"2026-07-22T05:40:00 h t: x":               "2026-07-22T05:40:00+02:00",
		"2026-07-22T05:40:00.5Z h t: x":            "2026-07-22T07:40:00.5+02:00",
		"<13>1 2026-11-22T05:40:00-05:00 h - - -":  "2026-11-22T11:40:00+01:00",
		"2026-11-22T05:40:00.25+01:00 h t: x":      "2026-11-22T05:40:00.25+01:00",
		"<13>2026-11-22T05:40:00.25+0100 h t: x":   "2026-11-22T05:40:00.25+01:00",
		"<13>1 2026-11-22T05:40:00.25 h t - - - x": "2026-11-22T05:40:00.25+01:00",
	} {
		var r receiver.Record
		p.Parse([]byte(line), received, &r)
		if got := r.Time.Format(time.RFC3339Nano); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestTrimAndBlank(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a", "a\r\n": "a", "a\n\x00": "a", "a\r": "a", "a \n": "a ", "\r\n": "", "\na": "\na"} {
		if got := Trim([]byte(in)); string(got) != want {
			t.Errorf("Trim(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]bool{"": true, " \t\x00\x7f\x1b": true, "a": false, "  \xff": false} {
		if got := Blank([]byte(in)); got != want {
			t.Errorf("Blank(%q) = %v", in, got)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	p := NewParser(time.UTC)
	var r receiver.Record
	for name, c := range headers {
		line := []byte(c.line)
		if n := testing.AllocsPerRun(100, func() { p.Parse(line, received, &r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range headers {
		f.Add([]byte(c.line))
	}
	for _, c := range oddHeaders {
		f.Add([]byte(c.header + said))
	}
	warm := NewParser(time.UTC)
	f.Fuzz(func(t *testing.T, line []byte) {
		before := bytes.Clone(line)
		var r, again receiver.Record
		form := warm.Parse(line, received, &r)
		checkLent(t, line, &r)
		if !bytes.Equal(before, line) {
			t.Fatal("Parse wrote to its input")
		}
		if form == None && (!bytes.Equal(r.Message, line) || r.Program != nil || r.Host != nil || !r.Time.IsZero()) {
			t.Fatalf("%q: no header, yet %+v", line, r)
		}
		if bytes.ContainsAny(r.Program, " ") || bytes.ContainsAny(r.Host, " ") || r.PID != nil && !allDigits(r.PID) {
			t.Fatalf("%q: program %q, host %q, pid %q", line, r.Program, r.Host, r.PID)
		}
		if fresh := NewParser(time.UTC).Parse(line, received, &again); fresh != form || !again.Time.Equal(r.Time) || string(again.Host) != string(r.Host) || string(again.Program) != string(r.Program) {
			t.Fatalf("%q: %v %v with a cache, %v %v without", line, form, r.Time, fresh, again.Time)
		}
	})
}

var benchmarks = map[string]string{
	"rfc3164": "<38>Nov 22 05:40:00 bastion01 sshd[4711]: Failed password for invalid user admin from 198.51.100.9 port 40022 ssh2",
	"file":    "Nov 22 05:40:00 bastion01 sshd[4711]: Failed password for invalid user admin from 198.51.100.9 port 40022 ssh2",
	"rfc5424": "<38>1 2026-11-22T05:40:00.123456Z bastion01 sshd 4711 - - Failed password for invalid user admin from 198.51.100.9 port 40022 ssh2",
	"rfc3339": "<38>2026-11-22T05:40:00.123456+01:00 bastion01 sshd[4711]: Failed password for invalid user admin from 198.51.100.9 port 40022 ssh2",
	"none":    "Failed password for invalid user admin from 198.51.100.9 port 40022 ssh2",
}

func BenchmarkParse(b *testing.B) {
	for name, text := range benchmarks {
		b.Run(name, func(b *testing.B) {
			p, line := NewParser(time.UTC), []byte(text)
			var r receiver.Record
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				p.Parse(line, received, &r)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
	b.Run("rfc3164 of another second each", func(b *testing.B) {
		p := NewParser(time.UTC)
		lines := [2][]byte{[]byte("Nov 22 05:40:00 h t[1]: x"), []byte("Nov 22 05:40:01 h t[1]: x")}
		var r receiver.Record
		i := 0
		for b.Loop() {
			p.Parse(lines[i&1], received, &r)
			i++
		}
	})
}
