package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// clearingAPI is an AbuseIPDB that takes every report, and deletes all of an address.
type clearingAPI struct {
	mu    sync.Mutex
	asked []string // endpoint and form
	kept  map[string]int
}

func (a *clearingAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.Method+" "+r.URL.Path+" "+string(body))
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodDelete {
		fmt.Fprintf(w, `{"data":{"numReportsDeleted":%d}}`, a.kept[form.Get("ipAddress")])
		return
	}
	a.kept[form.Get("ip")]++
	fmt.Fprintf(w, `{"data":{"ipAddress":%q,"abuseConfidenceScore":52}}`, form.Get("ip"))
}

func (a *clearingAPI) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.asked...)
}

// By hand an address is reported through the same gate, once in a window, and what was reported is taken back: AbuseIPDB deletes it, and the
// address is neither reported again nor in the feed.
func TestReportAndRetract(t *testing.T) {
	api := &clearingAPI{kept: map[string]int{}}
	server := httptest.NewServer(api)
	defer server.Close()
	socket := filepath.Join(t.TempDir(), "control.sock")
	p := startReporting(t, "run", "--config", quick(t, fmt.Sprintf("control: {path: %s}\ntrusted: [45.148.11.0/24]\nreport: {abuseipdb: {url: %s/api/v2/, rate: 100}}\n", socket, server.URL))).ready()
	ask := func(want int, says string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if code := run(t.Context(), append(args, "--control", socket), strings.NewReader(""), &out, &out); code != want || !strings.Contains(out.String(), says) {
			t.Errorf("%v: exit %d, want %d and %q: %s", args, code, want, says, &out)
		}
	}
	ask(exitUsage, "describe with a comment", "report", "45.148.10.7", "--category", "hacking")
	ask(exitUsage, "did you mean port-scan", "report", "45.148.10.7", "--category", "portscan", "--comment", "x")
	ask(exitUsage, "begins with a letter", "report", "45.148.10.7", "--category", "hacking", "--comment", "=cmd()")
	ask(exitUsage, "can be seen", "report", "45.148.10.7", "--category", "hacking", "--comment", "a\x1bb")
	ask(exitUsage, "is not an IP address", "report", "x", "--category", "hacking")
	ask(exitFailure, "in a trusted network", "report", "45.148.11.7", "--category", "hacking", "--comment", "x")
	ask(exitFailure, "not a public one", "report", "10.0.0.1", "--category", "hacking", "--comment", "x")
	ask(exitFailure, "many share", "report", "1.1.1.1", "--category", "hacking", "--comment", "x")
	ask(0, "45.148.10.7 will be reported", "report", "45.148.10.7", "--category", "web-app-attack", "--category", "hacking", "--comment", `tried "\" a web shell`)
	eventually(t, 10*time.Second, "the report", func() bool { return len(api.requests()) == 1 })
	if got := api.requests()[0]; !strings.Contains(got, "ip=45.148.10.7") || !strings.Contains(got, "categories=15%2C21") || !strings.Contains(got, "comment=tried+%27%2F%27+a+web+shell") {
		t.Error(got)
	}
	ask(exitFailure, "is not reported before", "report", "45.148.10.7", "--category", "hacking", "--comment", "again")
	eventually(t, 10*time.Second, "its answer", func() bool { return p.metric(`tattled_reports_total{destination="abuseipdb",result="delivered"}`) == 1 })
	ask(0, "45.148.10.7\n", "feed")
	ask(0, "the score is now 52", "show", "45.148.10.7")
	ask(exitFailure, "never reported", "retract", "10.0.0.1")
	ask(0, "45.148.10.7: AbuseIPDB deleted 1 report, 0 reports not sent, held back until ", "retract", "45.148.10.7")
	ask(0, `"deleted":0,"withdrawn":0,"held_until":`, "retract", "--json", "45.148.11.9")
	ask(0, "by retracted", "show", "45.148.10.7")
	var out bytes.Buffer
	if run(t.Context(), []string{"feed", "--control", socket}, strings.NewReader(""), &out, &out); out.Len() > 0 {
		t.Errorf("it is in the feed: %s", &out)
	}
	conn := p.dial()
	for i := range 8 {
		if _, err := fmt.Fprintf(conn, "<38>%s web1 sshd[%d]: Failed password for invalid user u%d from 45.148.10.7 port %d ssh2\n", time.Now().Format(time.Stamp), i, i, 40000+i); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 10*time.Second, "the events", func() bool { return p.metric("tattled_store_events") == 8 })
	p.stop()
	for _, got := range api.requests()[1:] {
		if got != "DELETE /api/v2/clear-address ipAddress=45.148.10.7" && got != "DELETE /api/v2/clear-address ipAddress=45.148.11.9" {
			t.Errorf("an address that was retracted: %s", got)
		}
	}
}
