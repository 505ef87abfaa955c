package wire

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tattled/receiver"
)

const said = "Failed password for root from 203.0.113.5 port 40022 ssh2"

// Headers that neither RFC has, as devices, programs and people's machines write them. Behind each stands what an SSH server says.
var oddHeaders = map[string]struct {
	header string
	form   Form
	time   string // RFC 3339, "" for none
	host   string
	pid    string
}{
	// No timestamp.
	"priority, tag":          {"<38>sshd[1234]: ", Bare, "", "", "1234"},
	"priority, tag, no pid":  {"<38>sshd: ", Bare, "", "", ""},
	"priority, host, tag":    {"<38>web1 sshd[7]: ", Bare, "", "web1", "7"},
	"priority, FQDN, tag":    {"<38>web1.example.org sshd[7]: ", Bare, "", "web1.example.org", "7"},
	"priority, address, tag": {"<38>2001:db8::7 sshd: ", Bare, "", "2001:db8::7", ""},
	"priority, blank, tag":   {"<38> sshd[7]: ", Bare, "", "", "7"},
	"monotonic":              {"[  812.345678] web1 sshd[7]: ", Stamped, "", "web1", "7"},
	"monotonic, long up":     {"[81234567.345678] web1 sshd[7]: ", Stamped, "", "web1", "7"},
	// ISO with a blank.
	"ISO with a blank":            {"<38>2026-11-22 05:40:00 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"ISO with a blank, in a file": {"2026-11-22 05:40:00 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"macOS":                       {"2026-11-21 22:40:00.801612-0700  host sshd[1]: ", Stamped, "2026-11-22T05:40:00.801612Z", "host", "1"},
	"macOS, ahead":                {"2026-11-22 06:40:00.801612+0100  host sshd[1]: ", Stamped, "2026-11-22T05:40:00.801612Z", "host", "1"},
	"ISO, blank, comma":           {"2026-11-22 05:40:00,123 web1 sshd[7]: ", Stamped, "2026-11-22T05:40:00.123Z", "web1", "7"},
	"ISO, blank, zone apart":      {"2026-11-22 06:40:00 +0100 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"ISO, blank, zone's name":     {"2026-11-22 05:40:00 UTC web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"ISO, blank, Z":               {"2026-11-22 05:40:00Z web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"ISO, slashes":                {"2026/11/22 05:40:00 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"ISO, blank, facility":        {"2026-11-22 05:40:00 authpriv.warn sshd[7]: ", Stamped, at, "", "7"},
	"ISO, blank, no host":         {"<38>2026-11-22 05:40:00 sshd[7]: ", Stamped, at, "", "7"},
	// Seconds since 1970.
	"epoch":            {"<38>1795326000 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"epoch, in a file": {"1795326000 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"short-unix":       {"1795326000.250000 web1 sshd[7]: ", Stamped, "2026-11-22T05:40:00.25Z", "web1", "7"},
	// The weekday first.
	"ctime":                     {"<38>Sun Nov 22 05:40:00 2026 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"ctime, day of one digit":   {"Sun Nov  1 05:40:00 2026 web1 sshd[7]: ", Stamped, "2026-11-01T05:40:00Z", "web1", "7"},
	"weekday, no year":          {"Sun Nov 22 05:40:00 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"date(1)":                   {"Sun Nov 22 05:40:00 UTC 2026 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"short-full":                {"Sun 2026-11-22 05:40:00 UTC web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"short-full, other zone":    {"Sun 2026-11-22 05:40:00 CET web1 sshd[7]: ", Stamped, at, "web1", "7"}, // the source's zone decides
	"short-full, numbered zone": {"Sun 2026-11-22 02:40:00 -03 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"mail":                      {"Sun, 22 Nov 2026 06:40:00 +0100 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"mail, GMT":                 {"Sun, 22 Nov 2026 05:40:00 GMT web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"logread":                   {"Sun Nov 22 05:40:00 2026 authpriv.warn sshd[7]: ", Stamped, at, "", "7"},
	"logread, info":             {"Sun Nov 22 05:40:00 2026 authpriv.info sshd[7]: ", Stamped, at, "", "7"},
	"logread, old":              {"Nov 22 05:40:00 OpenWrt authpriv.warn sshd[7]: ", RFC3164, at, "OpenWrt", "7"},
	// A year or a zone behind the clock.
	"year behind":              {"Nov 22 05:40:00 2026 web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"an earlier year behind":   {"<38>Nov 22 05:40:00 2024 web1 sshd[7]: ", RFC3164, "2024-11-22T05:40:00Z", "web1", "7"},
	"zone behind":              {"Nov 22 05:40:00 UTC web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"summer zone behind":       {"<38>Nov 22 05:40:00 CEST web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"offset behind":            {"Nov 22 06:40:00 +0100 web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"zone and year behind":     {"Nov 22 05:40:00 UTC 2026 web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"year and zone behind":     {"Nov 22 05:40:00 2026 GMT web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"year before, zone behind": {"Nov 22 2026 05:40:00 UTC web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	// Vendors.
	"Sophos":                  {"<38>2026:11:22-05:40:00 utm sshd[7]: ", Stamped, at, "utm", "7"},
	"Sophos, in a file":       {"2026:11:22-05:40:00 utm-1 sshd[7]: ", Stamped, at, "utm-1", "7"},
	"FreeBSD, verbose":        {"Nov 22 05:40:00 <auth.info> web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"FreeBSD, numbers":        {"Nov 22 05:40:00 <4.6> web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"FreeBSD, long names":     {"Nov 22 05:40:00 <authpriv.warning> web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"FreeBSD, ISO":            {"2026-11-22T05:40:00.000000+00:00 <10.5> web1 sshd[7]: ", RFC3339, at, "web1", "7"},
	"day first":               {"22 Nov 2026 05:40:00 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"day first, dashes":       {"22-Nov-2026 05:40:00.5 web1 sshd[7]: ", Stamped, "2026-11-22T05:40:00.5Z", "web1", "7"},
	"as web servers write it": {"22/Nov/2026:06:40:00 +0100 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	// Months.
	"French":             {"juil. 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-07-22T05:40:00Z", "web1", "7"},
	"French, circumflex": {"août 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-08-22T05:40:00Z", "web1", "7"},
	"French, ISO 8859-1": {"ao\xfbt 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-08-22T05:40:00Z", "web1", "7"},
	"French, accent":     {"<38>févr. 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-02-22T05:40:00Z", "web1", "7"},
	"French, day first":  {"22 déc. 05:40:00 web1 sshd[7]: ", Stamped, "2025-12-22T05:40:00Z", "web1", "7"},
	"French, usual":      {"oct. 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-10-22T05:40:00Z", "web1", "7"},
	"German":             {"Mär 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-03-22T05:40:00Z", "web1", "7"},
	"German, point":      {"22. Okt 05:40:00 web1 sshd[7]: ", Stamped, "2026-10-22T05:40:00Z", "web1", "7"},
	"German, Dez":        {"Dez  1 05:40:00 web1 sshd[7]: ", Stamped, "2025-12-01T05:40:00Z", "web1", "7"},
	"Spanish":            {"ene 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-01-22T05:40:00Z", "web1", "7"},
	"Spanish, ago":       {"ago 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-08-22T05:40:00Z", "web1", "7"},
	"Italian":            {"giu 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-06-22T05:40:00Z", "web1", "7"},
	"Dutch":              {"mei 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-05-22T05:40:00Z", "web1", "7"},
	"Dutch, mrt":         {"mrt 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-03-22T05:40:00Z", "web1", "7"},
	"Polish":             {"paź 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-10-22T05:40:00Z", "web1", "7"},
	"Polish, lis":        {"lis 22 05:40:00 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"Portuguese":         {"set 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-09-22T05:40:00Z", "web1", "7"},
	"Swedish":            {"maj 22 05:40:00 web1 sshd[7]: ", Stamped, "2026-05-22T05:40:00Z", "web1", "7"},
	"a name in full":     {"November 22 2026 05:40:00 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	// What stands before.
	"byte order mark":               {"\xef\xbb\xbf<38>Nov 22 05:40:00 web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"byte order mark, in a file":    {"\xef\xbb\xbfNov 22 05:40:00 web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	"byte order mark, RFC 5424":     {"\xef\xbb\xbf<38>1 2026-11-22T05:40:00Z web1 sshd 7 - - ", RFC5424, at, "web1", "7"},
	"byte order mark, odd":          {"\xef\xbb\xbf2026-11-22 05:40:00 web1 sshd[7]: ", Stamped, at, "web1", "7"},
	"octet count":                   {"101 <38>1 2026-11-22T05:40:00Z web1 sshd 7 - - ", RFC5424, at, "web1", "7"},
	"octet count of a line end too": {"102 <38>1 2026-11-22T05:40:00Z web1 sshd 7 - - ", RFC5424, at, "web1", "7"},
	"octet count, wrong":            {"96 <38>1 2026-11-22T05:40:00Z web1 sshd 7 - - ", RFC5424, at, "web1", "7"},
	"octet count, RFC 3164":         {"91 <38>Nov 22 05:40:00 web1 sshd[7]: ", RFC3164, at, "web1", "7"},
	// Hosts.
	"a host and its domain":      {"Nov 22 05:40:00 web1 web1.example.org sshd[7]: ", RFC3164, at, "web1", "7"},
	"a host without its domain":  {"Nov 22 05:40:00 web1.example.org web1 sshd[7]: ", RFC3164, at, "web1.example.org", "7"},
	"a host and its domain, ISO": {"<38>2026-11-22T05:40:00Z web1 web1.example.org sshd[7]: ", RFC3339, at, "web1", "7"},
}

func TestOddHeaders(t *testing.T) {
	p := NewParser(time.UTC)
	for name, c := range oddHeaders {
		for _, r := range []receiver.Record{{}, {Host: []byte("stale"), Program: []byte("stale"), PID: []byte("1")}} {
			line := []byte(c.header + said)
			form := p.Parse(line, received, &r)
			got := want{form, "", string(r.Host), string(r.Program), string(r.PID), string(r.Message)}
			if !r.Time.IsZero() {
				got.time = r.Time.UTC().Format(time.RFC3339Nano)
			}
			if w := (want{c.form, c.time, c.host, "sshd", c.pid, said}); got != w {
				t.Errorf("%s: %q\n got %+v\nwant %+v", name, line, got, w)
			}
			checkLent(t, line, &r)
		}
	}
}

// What begins like one of these and has no tag behind it is no header, and nothing of it is believed.
func TestNoOddHeader(t *testing.T) {
	p := NewParser(time.UTC)
	for _, line := range []string{
		"2026-11-22 05:40:00 [info] x",
		"2026-11-22 05:40:00 " + said,
		"2026-11-22 05:40:00",
		"2026-11-22 05:40:00x web1 sshd[7]: " + said,
		"2026-11-22 5:40:00 web1 sshd[7]: " + said,
		"2026:11:22 05:40:00 web1 sshd[7]: " + said,
		"22/Nov/2026 05:40:0 web1 sshd[7]: " + said,
		"1795326000web1 sshd[7]: " + said,
		"17953260 web1 sshd[7]: " + said,
		"Sunday Nov 22 05:40:00 web1 sshd[7]: " + said,
		"foo 22 05:40:00 web1 sshd[7]: " + said,
		"juil. 222 05:40:00 web1 sshd[7]: " + said,
		"[ 812.345678]web1 sshd[7]: " + said,
		"<38>" + said,                      // words, no tag
		"<38>who? sshd[7]: " + said,        // not a host
		"<38>a b sshd[7]: " + said,         // two words before the tag
		"<38>a\tb sshd[7]: " + said,        // a blank of another sort
		"<38>\xef\xbb\xbfsshd[7]: " + said, // a mark where none belongs
		"<192>sshd[7]: " + said,            // no priority
		"sshd[7]: " + said,                 // none at all
		"web1 sshd[7]: " + said,            //
		"<38>" + strings.Repeat("a", 80) + ": " + said,
		"\xef\xbb\xbf\xef\xbb\xbf<38>Nov 22 05:40:00 web1 sshd[7]: " + said, // once is a mark, twice is text
		"12 12 <38>Nov 22 05:40:00 web1 sshd[7]: " + said,
		"21 <38>Nov 22 05:40:00 a21 <38>Nov 22 05:40:00 a sshd[7]: " + said, // two records
		"091 <38>Nov 22 05:40:00 web1 sshd[7]: " + said,
	} {
		var r receiver.Record
		if form := p.Parse([]byte(line), received, &r); form != None || r.Program != nil || r.Host != nil || !r.Time.IsZero() || string(r.Message) != line {
			t.Errorf("%q is %v: %q %q %q", line, form, r.Host, r.Program, r.Message)
		}
	}
}

// A peer's text in the message of a program is no header, whatever it looks like: it stands behind the tag, and what is before the
// tag is not a peer's.
func TestPeersTextIsNoHeader(t *testing.T) {
	p := NewParser(time.UTC)
	for name, c := range oddHeaders {
		if c.form == Bare {
			continue
		}
		for _, before := range []string{"Nov 22 05:40:00 web1 app[7]: ", "2026-11-22T05:40:00Z web1 app: ", "<38>app[7]: ", "2026-11-22 05:40:00 web1 app: ", "Nov 22 05:40:00 web1 app: user "} {
			line := before + c.header + said
			var r receiver.Record
			if p.Parse([]byte(line), received, &r); string(r.Program) != "app" || !strings.HasSuffix(line, string(r.Message)) {
				t.Errorf("%s: %q: program %q, message %q", name, line, r.Program, r.Message)
			}
		}
	}
}

// The header of a record says the same whatever a peer writes behind it.
func TestHeaderBeforeHostileText(t *testing.T) {
	p := NewParser(time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(sortedNames(oddHeaders)).Draw(t, "header")
		c := oddHeaders[name]
		if strings.HasPrefix(name, "octet count") {
			return // it counts what follows
		}
		text := "x" + rapid.StringMatching(`[ -~\x00\x1b\xff]{0,60}`).Draw(t, "text")
		var r receiver.Record
		if form := p.Parse([]byte(c.header+text), received, &r); form != c.form || string(r.Program) != "sshd" || string(r.Host) != c.host || string(r.Message) != text {
			t.Fatalf("%q: %v %q %q %q", c.header+text, form, r.Host, r.Program, r.Message)
		}
	})
}

func TestOddAllocatesNothing(t *testing.T) {
	p := NewParser(time.UTC)
	var r receiver.Record
	for name, c := range oddHeaders {
		line := []byte(c.header + said)
		if n := testing.AllocsPerRun(20, func() { p.Parse(line, received, &r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
