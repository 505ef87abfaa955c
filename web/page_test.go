package web

import (
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"tattled/event"
	"tattled/geoip"
	"tattled/store"
)

// update writes the golden files anew: go test ./web -update.
var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not as it was; if that is meant, run go test ./web -update (-want +got):\n%s", name, diff)
	}
}

// The pages are as they were agreed upon.
func TestGoldenPages(t *testing.T) {
	quiet := start(t, peopled(0), func(_ *Config, d *Deps) {
		d.Health = func() Health { return Health{Live: true} }
	}, usualPace())
	busy := start(t, peopled(12), func(_ *Config, d *Deps) {
		d.Health = func() Health {
			h := fairHealth()
			h.DryRun = true
			h.Problems = []event.Problem{
				{What: "journal is not read", Cause: "there is no journal file that may be read", Remedy: "see that the user is in group systemd-journal", Since: base.Add(-time.Hour)},
				{What: "the state file is not backed up", Cause: "there is no space for today's", Remedy: "make room on its file system", Since: base},
			}
			h.Sources[0].Up = false
			h.Sources[2].Dropped, h.Sources[2].Lost = 7, 3
			return h
		}
		d.Credits = func() []geoip.Credit {
			return []geoip.Credit{{Text: "IP geolocation by DB-IP", URL: "https://db-ip.com"}}
		}
	}, usualPace())
	for _, c := range []struct {
		r          *rig
		path, name string
	}{
		{quiet, "/", "quiet.html"},
		{busy, "/", "busy.html"},
		{busy, "/addresses/203.0.113.35", "address.html"},
	} {
		resp, body := c.r.get(c.path)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %s, %s", c.path, resp.Status, resp.Header.Get("Content-Type"))
		}
		golden(t, c.name, body)
	}
}

// Red is for loss: what was skipped, and faults that passed, are no alarm.
func TestAlarm(t *testing.T) {
	for _, c := range []struct {
		source Source
		alarm  bool
	}{
		{Source{Up: true, Records: 9, Skipped: 4, Errors: 2}, false},
		{Source{Up: true, Records: 9, Dropped: 3}, false},
		{Source{Up: true, Records: 9, Dropped: 3, Lost: 1}, true},
		{Source{Up: true, Records: 9, Gaps: 1}, true},
	} {
		if line := sourceLine(c.source); line.Alarm != c.alarm || line.Skipped != fmt.Sprint(c.source.Skipped) {
			t.Errorf("%+v is shown as %+v", c.source, line)
		}
		for _, f := range figures(&Health{Sources: []Source{c.source}}, &store.Stats{}) {
			if want := c.alarm && f.ID == "lost"; f.Alarm != want {
				t.Errorf("%+v: the figure %+v", c.source, f)
			}
		}
	}
}

// Nothing in a page needs what the Content-Security-Policy forbids, and nothing comes from elsewhere.
func TestPagesKeepThePolicy(t *testing.T) {
	r := start(t, peopled(40), nil, usualPace())
	forbidden := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script(?:>|[^>]*[^>]>[^<])|<(?:iframe|object|embed|form|base)\b|(?:src|href)="(?:https?:)?//`)
	for _, path := range []string{"/", "/addresses/203.0.113.15"} {
		_, body := r.get(path)
		if found := forbidden.FindString(body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		for _, id := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			if n := strings.Count(body, ` id="`+id[1]+`"`); n != 1 {
				t.Errorf("%s has id %q %d times", path, id[1], n)
			}
		}
	}
	script, err := files.ReadFile("assets/live.js")
	if err != nil {
		t.Fatal(err)
	}
	sinks := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|\.style\b|https?://|import\(`)
	if found := sinks.Find(script); found != nil {
		t.Errorf("live.js has %q", found)
	}
}

// Every field that the templates show and the script fills is one that the server sends, and every element that the script
// looks for is there.
func TestScriptAndTemplatesFit(t *testing.T) {
	names := map[string]bool{}
	for _, v := range []any{Event{}, problemView{}, figureView{}, activityView{}, rankView{}, countView{}, reportView{}, sourceView{}} {
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			names[name] = true
		}
	}
	r := start(t, peopled(3), nil, usualPace())
	_, body := r.get("/")
	for _, f := range regexp.MustCompile(`data-f="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if !names[f[1]] {
			t.Errorf("nothing fills data-f=%q", f[1])
		}
	}
	_, script := r.get("/assets/live.js")
	for _, id := range regexp.MustCompile(`(?:byId|make)\("([^"]*)"\)`).FindAllStringSubmatch(script, -1) {
		if !strings.Contains(body, ` id="`+id[1]+`"`) {
			t.Errorf("live.js looks for id %q", id[1])
		}
	}
	for _, id := range regexp.MustCompile(`"(new-[a-z]+)"`).FindAllStringSubmatch(script, -1) {
		if !strings.Contains(body, `<template id="`+id[1]+`"`) {
			t.Errorf("live.js makes rows from %q", id[1])
		}
	}
}

// payloads are user names as attackers write them.
var payloads = []string{
	`<script>alert(1)</script>`, `</script><script>alert(1)</script>`, `<ScRiPt src=//evil.example/x.js></ScRiPt>`,
	`<img src=x onerror=alert(1)>`, `<svg/onload=alert(1)>`, `<svg><script>alert&#40;1)</script>`, `<body onload=alert(1)>`,
	`"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `" onmouseover="alert(1)`, `' autofocus onfocus='alert(1)`,
	`</bdi></td></tr></table><h1>owned</h1>`, `</title><script>alert(1)</script>`, `</template><script>alert(1)</script>`,
	`<iframe srcdoc="<script>alert(1)</script>">`, `<a href="javascript:alert(1)">x</a>`, `javascript:alert(1)`, `<math><mi//xlink:href="data:x,<script>alert(4)</script>">`,
	`<details open ontoggle=alert(1)>`, `<meta http-equiv=refresh content=0;url=//evil.example>`, `<base href=//evil.example/>`, `<link rel=stylesheet href=//evil.example>`,
	`<style>@import '//evil.example';</style>`, `<!--<img src="--><img src=x onerror=alert(1)//">`, `<![CDATA[<script>alert(1)</script>]]>`,
	`{{.}}`, `{{template "live"}}`, `${alert(1)}`, `<%= 1 %>`, `&lt;script&gt;alert(1)&lt;/script&gt;`, `&#60;script&#62;`, `%3Cscript%3E`, `\u003cscript\u003e`, `\x3cscript\x3e`,
	"<scr\x00ipt>alert(1)</scr\x00ipt>", "<\x0bscript>", "\"\r\nSet-Cookie: a=b\r\n\r\n<script>", "data: x\n\nevent: status\ndata: {}\n\n", "\u2028alert(1)\u2029",
	"\xff<script>alert(1)</script>", "\xc0\xbcscript\xc0\xbe", "+ADw-script+AD4-", "\u202e<tpircs>", "\x1b]0;owned\x07", "＜script＞", "root\u200b", "`-alert(1)-`", `'-alert(1)-'`, `\'-alert(1)//`,
}

// hostile makes a store whose every text is a payload.
func hostile() *fakeStore {
	f := &fakeStore{stats: store.Stats{Items: map[string]map[store.State]uint64{payloads[0]: {store.Pending: 1}}}}
	for i, p := range payloads {
		addr := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
		place := event.Place{Country: p, CountryName: p, City: p, Org: p, ASN: 1}
		f.events = append(f.events, event.Event{
			Seq: uint64(i + 1), Time: base, Received: base, Kind: event.AuthFailure, Service: p, Rule: p, Addr: addr,
			User: p, Program: p, PID: p, Host: p, Source: p, Reporter: p, Line: "Invalid user " + p, Place: place, LocalPort: 22,
		})
		f.items = append(f.items, store.Item{ID: p, State: store.Rejected, Created: base, Detail: p, Report: event.Report{
			Destination: p, Policy: p, Service: p, Rule: p, Addr: addr, Kind: event.Probe, Place: place, First: base, Last: base,
		}})
	}
	return f
}

// Whatever an attacker calls himself, the pages have the elements that they have for anybody else, and show the name as he
// wrote it; JSON and the event stream are whole.
func TestHostileText(t *testing.T) {
	f := hostile()
	change := func(_ *Config, d *Deps) {
		d.Health = func() Health {
			var problems []event.Problem
			for _, p := range payloads {
				problems = append(problems, event.Problem{What: p, Cause: p, Remedy: p})
			}
			return Health{Live: true, Ready: true, Problems: problems, Sources: []Source{{Name: payloads[0], Reporter: payloads[1]}}}
		}
	}
	r := start(t, f, change, quick())
	tag := regexp.MustCompile(`</?([a-zA-Z!][a-zA-Z0-9]*)`)
	allowed := regexp.MustCompile(`^(!doctype|html|head|meta|title|link|script|body|a|header|h1|h2|p|span|main|strong|ul|li|ol|noscript|dl|div|dt|dd|section|button|table|thead|tbody|tr|th|td|time|bdi|details|summary|svg|rect|aside|template|footer)$`)
	paths := []string{"/"}
	for i := range payloads {
		paths = append(paths, fmt.Sprint("/addresses/203.0.113.", i))
	}
	for _, path := range paths {
		_, body := r.get(path)
		for _, name := range tag.FindAllStringSubmatch(body, -1) {
			if !allowed.MatchString(name[1]) {
				t.Fatalf("%s: element %q", path, name[1])
			}
		}
		want := 0
		if path == "/" {
			want = 1
		}
		if n := strings.Count(body, "<script"); n != want {
			t.Fatalf("%s: %d scripts", path, n)
		}
	}
	_, body := r.get("/")
	for i, p := range payloads {
		shown := regexp.MustCompile(fmt.Sprintf(`(?s)<tr data-seq="%d">.*?<bdi class="user" data-f="user">(.*?)</bdi>`, i+1)).FindStringSubmatch(body)
		if shown == nil || html.UnescapeString(shown[1]) != event.Visible(p) {
			t.Errorf("%q is shown as %q", p, shown)
		}
	}
	// JSON is for people too, and so has < and > as they are. No browser takes it for a page, and if one did it would run nothing.
	for _, path := range []string{"/api/v1/events", "/api/v1/outbox", "/api/v1/top", "/api/v1/summary", "/api/v1/sources", "/api/v1/addresses/203.0.113.3", "/healthz"} {
		resp, body := r.get(path)
		h := resp.Header
		if !json.Valid([]byte(body)) || h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") || strings.ContainsFunc(strings.TrimSuffix(body, "\n"), unicode.IsControl) {
			t.Errorf("%s: %v\n%s", path, h, body)
		}
	}
	r.listen("/events", "0").expectSeqs(1, uint64(len(payloads)))
}

// A browser keeps its copy of an asset as long as it is the same.
func TestAssets(t *testing.T) {
	r := start(t, peopled(0), nil, usualPace())
	for name, kind := range map[string]string{"live.js": "text/javascript; charset=utf-8", "style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml"} {
		resp, body := r.get("/assets/" + name)
		etag := resp.Header.Get("ETag")
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != kind || len(etag) != 26 || body == "" {
			t.Errorf("%s: %s %v", name, resp.Status, resp.Header)
		}
		if resp, body := r.get("/assets/"+name, "If-None-Match", etag); resp.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s again: %s", name, resp.Status)
		}
	}
	for _, path := range []string{"/assets/", "/assets/x.js", "/assets/../page.go", "/assets/%2e%2e/page.go", "/nothing", "/events/", "/debug/pprof/"} {
		if resp, _ := r.get(path); resp.StatusCode == http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	s := newServer(b, peopled(ringSize), nil)
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Host = "localhost"
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}

// Of a report that may have arrived, page and API say since when that is not known, and not as a part of a sentence.
func TestUnansweredReport(t *testing.T) {
	since := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	item := store.Item{
		State: store.Pending, Created: since, NextAttempt: since.Add(time.Hour), UnansweredSince: since, Detail: "no answer: EOF",
		Report: event.Report{Addr: netip.MustParseAddr("45.148.10.1")},
	}
	if got := viewItem(&item); got.UnansweredSince == nil || !got.UnansweredSince.Equal(since) || got.Detail != "no answer: EOF" {
		t.Errorf("%+v", got)
	}
	if got := reportLine(&item, since.Add(59*time.Minute)).Detail; got != "no answer: EOF; it may have arrived: no answer was seen since "+clock(since)+"; next try in 60 s" {
		t.Errorf("%q", got)
	}
	item.UnansweredSince = time.Time{}
	if got := viewItem(&item); got.UnansweredSince != nil {
		t.Errorf("%+v", got)
	}
}
