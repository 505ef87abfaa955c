package abuseipdb_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/abuseipdb/double"
	"tattled/report/reporttest"
	"tattled/setting"
)

func doubleOptions() double.Options { return double.Options{Key: key} }

// answering serves one fixed answer and counts the requests.
func answering(t *testing.T, answer http.HandlerFunc) (*abuseipdb.Client, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return client(t, server.URL+"/api/v2", key), &asked
}

// The request is the one that the API documents, byte for byte where bytes matter.
func TestRequest(t *testing.T) {
	type seen struct {
		method, path, body string
		header             http.Header
	}
	got := make(chan seen, 1)
	c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.URL.String(), string(body), r.Header}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"data":{"ipAddress":"127.0.0.1","abuseConfidenceScore":52}}`)
	})
	r := reporttest.Report(5, time.Now())
	r.First = r.Judged.Add(-time.Hour).In(time.FixedZone("", -4*60*60))
	out := c.Send(t.Context(), r)
	if out.Result != report.Delivered || out.Detail != "the score is now 52" {
		t.Errorf("came out as %v: %q", out.Result, out.Detail)
	}
	q := <-got
	if q.method != "POST" || q.path != "/api/v2/report" {
		t.Errorf("asked %s %s", q.method, q.path)
	}
	for name, want := range map[string]string{
		"Key": key, "Accept": "application/json", "User-Agent": "tattled/test", "Content-Type": "application/x-www-form-urlencoded",
	} {
		if q.header.Get(name) != want {
			t.Errorf("header %s is %q, want %q", name, q.header.Get(name), want)
		}
	}
	form, err := url.ParseQuery(q.body)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"ip": {"203.0.113.5"}, "categories": {"18,22"}, "comment": {abuseipdb.Comment(r)},
		"timestamp": {r.First.UTC().Format("2006-01-02T15:04:05") + "+00:00"},
	}
	if form.Encode() != want.Encode() {
		t.Errorf("form is  %s\nwant it %s", form.Encode(), want.Encode())
	}
	if !strings.Contains(q.body, "%2B00%3A00") {
		t.Errorf("the offset's plus sign is not encoded, it would arrive as a space: %s", q.body)
	}
	if strings.Contains(q.path+q.body, key) {
		t.Error("the key is in the URL or the body")
	}
}

// Every address has one text, in reports and in checks.
func TestAddressText(t *testing.T) {
	d, base := far(t, doubleOptions())
	c := client(t, base, key)
	for text, want := range map[string]string{
		"2001:0DB8:0000:0000:0000:0000:0000:0001": "2001:db8::1",
		"2001:db8:0:1:0:0:0:1":                    "2001:db8:0:1::1",
		"::ffff:203.0.113.77":                     "203.0.113.77",
		"fe80::1%eth0":                            "fe80::1",
	} {
		r := reporttest.Report(1, time.Now())
		r.Addr = netip.MustParseAddr(text)
		if out := c.Send(t.Context(), r); out.Result != report.Delivered {
			t.Fatalf("%s: %v %s", text, out.Result, out.Detail)
		}
		reports := d.Reports()
		if got := reports[len(reports)-1].IP; got != want {
			t.Errorf("%s was reported as %s, want %s", text, got, want)
		}
		if _, out := c.Check(t.Context(), r.Addr, time.Hour); out.Result != report.Delivered {
			t.Errorf("check of %s: %v %s", text, out.Result, out.Detail)
		}
		requests := d.Requests()
		if q := requests[len(requests)-1].Query; !strings.Contains(q, "ipAddress="+url.QueryEscape(want)+"&") {
			t.Errorf("%s was checked by %s", text, q)
		}
	}
}

// Categories are sent ascending and once; 22 never goes alone; a rule without any gets what its kind implies.
func TestCategories(t *testing.T) {
	d, url := far(t, doubleOptions())
	c := client(t, url, key)
	for n, test := range []struct {
		kind event.Kind
		have []int
		want []int
	}{
		{event.AuthFailure, []int{22}, []int{18, 22}},
		{event.AuthFailure, []int{22, 18, 22, -1, 0}, []int{18, 22}},
		{event.AuthFailure, nil, []int{18}},
		{event.FirewallBlock, nil, []int{14}},
		{event.WebAttack, nil, []int{21}},
		{event.MailAbuse, nil, []int{11}},
		{event.Probe, nil, []int{15}},
	} {
		r := reporttest.Report(n, time.Now())
		r.Kind, r.Categories = test.kind, test.have
		if out := c.Send(t.Context(), r); out.Result != report.Delivered {
			t.Fatalf("%v: %v %s", test.have, out.Result, out.Detail)
		}
		if got := d.Reports()[n].Categories; !slices.Equal(got, test.want) {
			t.Errorf("%v %v was sent as %v, want %v", test.kind, test.have, got, test.want)
		}
	}
}

// What comes back is judged by status and text, as the API's error table says; a body that is no JSON by status alone.
func TestClassification(t *testing.T) {
	const (
		recently = "You can only report the same IP address (`127.0.0.2`) once in 15 minutes."
		daily    = "Daily rate limit of 1000 requests exceeded for this endpoint. See headers for additional details."
	)
	typed := func(detail string, status int) string {
		return fmt.Sprintf(`{"errors":[{"detail":%q,"status":%d,"source":{"parameter":"ip"}}]}`, detail, status)
	}
	page := "<!DOCTYPE html><html>" + strings.Repeat("<p>", 1000)
	retry := func(v string) http.Header { return http.Header{"Retry-After": {v}} }
	for _, test := range []struct {
		name   string
		status int
		header http.Header
		body   string
		want   report.Result
		until  time.Duration // from now, 0 for none
	}{
		{"taken", 200, nil, `{"data":{"ipAddress":"127.0.0.1","abuseConfidenceScore":52}}`, report.Delivered, 0},
		{"taken, answer cut", 200, nil, `{"data":{"ipAddr`, report.Delivered, 0},
		{"a portal's page", 200, http.Header{"Content-Type": {"text/html"}}, page, report.Later, 0},
		{"recently, 429", 429, nil, typed(recently, 429), report.Duplicate, 0},
		{"recently, 403", 403, nil, typed(recently, 403), report.Duplicate, 0},
		{"recently, 422", 422, nil, typed(recently, 422), report.Duplicate, 0},
		{"recently with a wait", 429, retry("800"), typed(recently, 429), report.Duplicate, 0},
		{"daily", 429, retry("29241"), typed(daily, 429), report.Paused, 29241 * time.Second},
		{"daily without headers", 429, nil, typed(daily, 429), report.Paused, time.Hour},
		{"daily by remaining", 429, http.Header{"X-Ratelimit-Remaining": {"0"}, "Retry-After": {"60"}}, page, report.Paused, time.Minute},
		{"daily, absurd", 429, retry("999999999"), typed(daily, 429), report.Paused, 10 * time.Second}, // late reset first
		{"daily, beyond a number", 429, retry("99999999999999999999"), typed(daily, 429), report.Paused, time.Hour},
		{"daily, negative", 429, retry("-5"), typed(daily, 429), report.Paused, time.Hour},
		{"daily, reset gone by", 429, http.Header{"X-Ratelimit-Reset": {"1545973200"}}, typed(daily, 429), report.Paused, time.Second},
		{"too fast", 429, retry("7"), page, report.Paused, 7 * time.Second},
		{"too fast, no word", 429, nil, page, report.Paused, 0},
		{"too fast, absurd", 429, retry("999999"), page, report.Paused, 15 * time.Minute},
		{"wrong key", 401, nil, typed("Authentication failed. Your API key is either missing, incorrect, or revoked.", 401), report.Paused, 0},
		{"beyond the plan", 402, nil, "", report.Paused, 0},
		{"suspended", 403, nil, page, report.Paused, 0},
		{"wrong URL", 404, nil, page, report.Paused, 0},
		{"redirect", 302, http.Header{"Location": {"https://www.example.org/"}}, "", report.Paused, 0},
		{"invalid", 422, nil, typed("The ip address must be a valid IPv4 or IPv6 address (e.g. 8.8.8.8 or 2001:4860:4860::8888).", 422), report.Rejected, 0},
		{"invalid, no JSON", 422, nil, page, report.Rejected, 0},
		{"bad request, typed", 400, nil, typed("No.", 400), report.Rejected, 0},
		{"bad request of a proxy", 400, nil, page, report.Later, 0},
		{"error", 500, nil, page, report.Later, 0},
		{"bad gateway", 502, nil, page, report.Later, 0},
		{"unavailable", 503, nil, page, report.Later, 0},
		{"maintenance", 503, retry("120"), page, report.Paused, 2 * time.Minute},
		{"Cloudflare", 520, nil, page, report.Later, 0},
		{"timeout", 408, nil, typed("x", 408), report.Later, 0},
		{"nonsense", 418, nil, "", report.Later, 0},
		{"no content", 204, nil, "", report.Later, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, asked := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for name, values := range test.header {
					w.Header()[name] = values
				}
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			before := time.Now()
			out := c.Send(t.Context(), reporttest.Report(1, before))
			if out.Result != test.want {
				t.Errorf("came out as %v (%s), want %v", out.Result, out.Detail, test.want)
			}
			if asked.Load() != 1 {
				t.Errorf("%d requests were made", asked.Load())
			}
			if test.until == 0 {
				if !out.Until.IsZero() {
					t.Errorf("until %v, want none", out.Until)
				}
				return
			}
			if wait := out.Until.Sub(before); wait < test.until-time.Second || wait > test.until+time.Minute {
				t.Errorf("waits %v, want %v", wait, test.until)
			}
		})
	}
}

// A wait of nearly a day right after the reset is tried once more after ten seconds, then believed.
func TestLateReset(t *testing.T) {
	d, url := far(t, doubleOptions())
	c := client(t, url, key)
	d.SetFaults(double.Fault{Mode: double.LateReset})
	first := c.Send(t.Context(), reporttest.Report(1, time.Now()))
	second := c.Send(t.Context(), reporttest.Report(1, time.Now()))
	if wait := time.Until(first.Until); first.Result != report.Paused || wait > 11*time.Second {
		t.Errorf("first: %v, waits %v", first.Result, wait)
	}
	if wait := time.Until(second.Until); second.Result != report.Paused || wait < 20*time.Hour {
		t.Errorf("second: %v, waits %v", second.Result, wait)
	}
}

// A redirect is not followed: neither the key nor the report goes to where it points.
func TestNoRedirect(t *testing.T) {
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+r.URL.Path, status) })
		if out := c.Send(t.Context(), reporttest.Report(1, time.Now())); out.Result != report.Paused {
			t.Errorf("%d: came out as %v", status, out.Result)
		}
	}
	plain := httptest.NewServer(double.Redirect(other.URL))
	t.Cleanup(plain.Close)
	if out := client(t, plain.URL, key).Send(t.Context(), reporttest.Report(1, time.Now())); out.Result != report.Paused {
		t.Errorf("plain http: came out as %v", out.Result)
	}
	if reached.Load() {
		t.Error("the redirect was followed")
	}
}

// An answer that inflates to a hundred megabytes, one that never ends, and headers without end cost next to nothing.
func TestHugeAnswers(t *testing.T) {
	var written atomic.Int64
	endless := func(w io.Writer, done <-chan struct{}) {
		block := make([]byte, 64<<10)
		for n := 0; n < 100<<20; n += len(block) {
			select {
			case <-done:
				return
			default:
			}
			if _, err := w.Write(block); err != nil {
				return
			}
			written.Add(int64(len(block)))
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"plain": func(w http.ResponseWriter, r *http.Request) { endless(w, r.Context().Done()) },
		"gzip": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusInternalServerError)
			z := gzip.NewWriter(w)
			endless(z, r.Context().Done())
			z.Close()
		},
		"header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := answering(t, answer)
			if out := c.Send(t.Context(), reporttest.Report(1, time.Now())); out.Result != report.Later {
				t.Errorf("came out as %v: %s", out.Result, out.Detail)
			}
		})
	}
	c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) { endless(w, r.Context().Done()) })
	written.Store(0)
	c.Send(t.Context(), reporttest.Report(1, time.Now()))
	if n := written.Load(); n > 32<<20 {
		t.Errorf("%d bytes of the endless answer were taken", n)
	}
}

// TLS below 1.2, a certificate that nobody vouches for, a closed port: each is an outage, and nothing of the key shows.
func TestTransportFaults(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	t.Cleanup(old.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for name, url := range map[string]string{"untrusted": untrusted.URL, "TLS 1.1": old.URL, "closed": "http://" + l.Addr().String()} {
		out := client(t, url, key).Send(t.Context(), reporttest.Report(1, time.Now()))
		if out.Result != report.Later || out.Unanswered || strings.Contains(out.Detail, key) {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

// A report whose answer was not seen says so: it may have arrived.
func TestUnanswered(t *testing.T) {
	d, url := far(t, doubleOptions())
	d.SetFaults(double.Fault{Mode: double.DropAfter, Times: 1})
	c := client(t, url, key)
	out := c.Send(t.Context(), reporttest.Report(1, time.Now()))
	if out.Result != report.Later || !out.Unanswered || len(d.Reports()) != 1 {
		t.Errorf("cut after the commit: %+v, %d reports", out, len(d.Reports()))
	}
	if out = c.Send(t.Context(), reporttest.Report(1, time.Now())); out.Result != report.Duplicate || len(d.Reports()) != 1 {
		t.Errorf("again: %+v, %d reports", out, len(d.Reports()))
	}
}

// A server that sends the key back does not make us show it; a key that is no header value is not shown either.
func TestKeyIsNotShown(t *testing.T) {
	c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprintf(w, `{"errors":[{"detail":"bad key %s","status":422}]}`, r.Header.Get("Key"))
	})
	out := c.Send(t.Context(), reporttest.Report(1, time.Now()))
	if strings.Contains(out.Detail, key) || !strings.Contains(out.Detail, "<secret>") {
		t.Errorf("detail: %s", out.Detail)
	}
	c.SetKey(setting.NewSecret("broken\nkey-value"))
	out = c.Send(t.Context(), reporttest.Report(1, time.Now()))
	if out.Result != report.Later || strings.Contains(out.Detail, "key-value") {
		t.Errorf("broken key: %+v", out)
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, key) {
		t.Error("printing the client shows the key")
	}
}

// Without a key nothing is asked; with a new one it goes on.
func TestDryRun(t *testing.T) {
	d, url := far(t, doubleOptions())
	c := client(t, url, "")
	r := reporttest.Report(1, time.Now())
	if out := c.Send(t.Context(), r); out.Result != report.DryRun || !c.DryRun() {
		t.Errorf("Send: %+v", out)
	}
	if _, out := c.Check(t.Context(), r.Addr, time.Hour); out.Result != report.DryRun {
		t.Errorf("Check: %+v", out)
	}
	if n := len(d.Requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
	c.SetKey(setting.NewSecret(key))
	if out := c.Send(t.Context(), r); out.Result != report.Delivered || c.DryRun() {
		t.Errorf("with a key: %+v", out)
	}
}

// Reports that the policy of AbuseIPDB forbids by their age are not sent; a clock gone years ahead forbids nothing.
func TestAge(t *testing.T) {
	_, url := far(t, doubleOptions())
	c := client(t, url, key)
	const day = 24 * time.Hour
	for _, test := range []struct {
		first, judged time.Duration // ago
		want          report.Result
	}{
		{58 * day, 58 * day, report.Delivered},
		{60 * day, time.Hour, report.Rejected},
		{61 * day, 40 * day, report.Delivered}, // the queue stood for long: at its judgement it was 21 days old
		{61 * day, 25 * day, report.Rejected},
		{3650 * day, 3650 * day, report.Delivered}, // judged a moment after: the clock jumped since
	} {
		now := time.Now()
		r := reporttest.Report(int(test.first/day)%200, now)
		r.Addr = netip.AddrFrom4([4]byte{203, 0, byte(test.judged / day), byte(test.first / day)})
		r.First, r.Judged = now.Add(-test.first), now.Add(-test.judged)
		if out := c.Send(t.Context(), r); out.Result != test.want {
			t.Errorf("first %v ago, judged %v ago: %v (%s), want %v", test.first, test.judged, out.Result, out.Detail, test.want)
		}
	}
	if out := c.Send(t.Context(), &event.Report{}); out.Result != report.Rejected {
		t.Errorf("no address: %+v", out)
	}
}

// The sender's clock may be ahead: what is sent is never a time that has not come.
func TestFutureTimestamp(t *testing.T) {
	d, url := far(t, doubleOptions())
	c := client(t, url, key)
	r := reporttest.Report(1, time.Now())
	r.First, r.Last = r.Judged.Add(2*time.Hour), r.Judged.Add(3*time.Hour)
	if out := c.Send(t.Context(), r); out.Result != report.Delivered {
		t.Fatalf("%+v", out)
	}
	if got, want := d.Reports()[0].Timestamp, r.Judged.UTC().Format("2006-01-02T15:04:05+00:00"); got != want {
		t.Errorf("timestamp %s, want %s", got, want)
	}
}

// Check asks with whole days and believes only a score from 0 to 100.
func TestCheck(t *testing.T) {
	d, url := far(t, doubleOptions())
	c := client(t, url, key)
	addr := netip.MustParseAddr("203.0.113.9")
	d.SetScore(addr, 80)
	for age, days := range map[time.Duration]string{0: "1", time.Hour: "1", 25 * time.Hour: "2", 90 * 24 * time.Hour: "90", 1 << 62: "365"} {
		score, out := c.Check(t.Context(), addr, age)
		if score != 80 || out.Result != report.Delivered {
			t.Errorf("%v: %d %+v", age, score, out)
		}
		requests := d.Requests()
		if q := requests[len(requests)-1]; q.Query != "ipAddress=203.0.113.9&maxAgeInDays="+days || q.Method != http.MethodGet {
			t.Errorf("%v: asked %s %s", age, q.Method, q.Query)
		}
	}
	for _, body := range []string{"", "{}", `{"data":{}}`, `{"data":{"abuseConfidenceScore":null}}`, `{"data":{"abuseConfidenceScore":101}}`,
		`{"data":{"abuseConfidenceScore":-1}}`, `{"data":{"abuseConfidenceScore":"80"}}`, `{"data":{"abuseConfidenceScore":1e99}}`, "[", "null"} {
		c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		})
		if score, out := c.Check(t.Context(), addr, time.Hour); out.Result != report.Later || score != 0 {
			t.Errorf("%q: %d %+v", body, score, out)
		}
	}
	for mode, want := range map[double.Mode]report.Result{
		double.Exhausted: report.Paused, double.Revoked: report.Paused, double.Internal: report.Later, double.Truncated: report.Later,
		double.Drop: report.Later, double.Invalid: report.Rejected, double.Payment: report.Paused, double.Suspended: report.Paused,
		double.Redirected: report.Paused, double.TooFast: report.Paused, double.Maintenance: report.Paused, double.Portal: report.Later,
		double.Garbage: report.Later, double.BadGateway: report.Later, double.WrongLength: report.Later,
	} {
		d.SetFaults(double.Fault{Mode: mode}) // for good: the transport itself asks again where a kept connection broke
		if _, out := c.Check(t.Context(), addr, time.Hour); out.Result != want {
			t.Errorf("%s: %+v, want %v", mode, out, want)
		}
	}
}

// The quota is what the headers last said, by endpoint.
func TestQuota(t *testing.T) {
	_, url := far(t, doubleOptions())
	c := client(t, url, key)
	if q := c.Quota(); len(q) != 0 {
		t.Errorf("before the first answer: %v", q)
	}
	for n := range 3 {
		c.Send(t.Context(), reporttest.Report(n, time.Now()))
	}
	c.Check(t.Context(), netip.MustParseAddr("203.0.113.9"), time.Hour)
	want := []abuseipdb.Quota{{Endpoint: "report", Limit: 1000, Remaining: 997}, {Endpoint: "check", Limit: 1000, Remaining: 999}}
	if q := c.Quota(); !slices.Equal(q, want) {
		t.Errorf("got %v, want %v", q, want)
	}
}

// The timeout ends a request by itself.
func TestTimeout(t *testing.T) {
	d, url := far(t, doubleOptions())
	d.SetFaults(double.Fault{Mode: double.Hold, Delay: setting.Duration(time.Hour)})
	c, err := abuseipdb.New(abuseipdb.Config{URL: url, Timeout: setting.Duration(100 * time.Millisecond)}, setting.NewSecret(key), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	out := c.Send(context.Background(), reporttest.Report(1, time.Now()))
	if out.Result != report.Later || !out.Unanswered {
		t.Errorf("came out as %+v", out)
	}
}
