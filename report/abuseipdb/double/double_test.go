package double_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"tattled/report/abuseipdb/double"
)

// api is a double as a real HTTP server, with a clock that stands still.
type api struct {
	t *testing.T
	*double.Double
	url string
}

func start(t *testing.T, o double.Options) *api {
	t.Helper()
	if o.Now == nil {
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		o.Now = func() time.Time { return now }
	}
	d, err := double.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return &api{t, d, server.URL}
}

// answer is what came back, the body decoded if it is JSON.
type answer struct {
	status int
	header http.Header
	text   string
	body   struct {
		Data   map[string]any
		Errors []struct {
			Detail string
			Status int
			Source struct{ Parameter string }
		}
	}
}

func (a *api) do(method, path, contentType, body string, header ...string) answer {
	a.t.Helper()
	req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Key", "k")
	req.Header.Set("Accept", "application/json")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return answer{text: err.Error()}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	got := answer{status: resp.StatusCode, header: resp.Header, text: string(text)}
	if json.Unmarshal(text, &got.body) != nil {
		got.body.Data, got.body.Errors = nil, nil // no JSON, or cut
	}
	return got
}

const form = "application/x-www-form-urlencoded"

func (a *api) report(ip string) answer {
	a.t.Helper()
	return a.do("POST", "/api/v2/report", form, url.Values{"ip": {ip}, "categories": {"18,22"}, "comment": {"c"}}.Encode())
}

func (a answer) detail() string {
	if len(a.body.Errors) == 0 {
		return ""
	}
	return a.body.Errors[0].Detail
}

// The three forms in which AbuseIPDB's own texts send a report all arrive as the same report.
func TestForms(t *testing.T) {
	a := start(t, double.Options{})
	query := url.Values{"ip": {"192.0.2.2"}, "categories": {"18,22"}, "comment": {"a/b"}, "timestamp": {"2026-11-22T10:00:00+00:00"}}.Encode()
	for name, got := range map[string]answer{
		"form":  a.do("POST", "/api/v2/report", form, strings.ReplaceAll(query, "2.2", "2.1")),
		"query": a.do("POST", "/api/v2/report?"+query, "", ""),
		"JSON list": a.do("POST", "/api/v2/report", "application/json",
			`{"ip":"192.0.2.3","categories":[18,22],"comment":"a/b","timestamp":"2026-11-22T10:00:00+00:00"}`),
		"JSON text": a.do("POST", "/api/v2/report", "application/json",
			`{"ip":"192.0.2.4","categories":"18,22","comment":"a/b","timestamp":"2026-11-22T10:00:00+00:00"}`),
	} {
		if got.status != 200 || got.body.Data["abuseConfidenceScore"] != 0.0 {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
	reports := a.Reports()
	if len(reports) != 4 {
		t.Fatalf("%d reports", len(reports))
	}
	for _, r := range reports {
		if fmt.Sprint(r.Categories) != "[18 22]" || r.Comment != "a/b" || r.Timestamp != "2026-11-22T10:00:00+00:00" {
			t.Errorf("arrived as %+v", r)
		}
	}
}

// The 15-minute rule: by key and address, whatever the address's text; 127.0.0.2 is always refused; the refusal has
// neither data nor a Retry-After, and costs a unit of the quota.
func TestFifteenMinutes(t *testing.T) {
	a := start(t, double.Options{})
	if got := a.report("2001:DB8::1"); got.status != 200 {
		t.Fatal(got.text)
	}
	got := a.report("2001:db8:0:0::1")
	if got.status != 429 || got.detail() != "You can only report the same IP address (`2001:db8::1`) once in 15 minutes." ||
		got.body.Errors[0].Source.Parameter != "ip" || got.header.Get("Retry-After") != "" {
		t.Errorf("again: %d %s %v", got.status, got.text, got.header)
	}
	if got.header.Get("X-RateLimit-Remaining") != "998" {
		t.Errorf("the refusal is not counted: %v", got.header)
	}
	other := a.do("POST", "/api/v2/report", form, "ip=2001:db8::1&categories=18", "Key", "another")
	if other.status != 200 {
		t.Errorf("another key: %s", other.text)
	}
	a.Step(15*time.Minute - time.Second)
	if got := a.report("2001:db8::1"); got.status != 429 {
		t.Errorf("a second too early: %s", got.text)
	}
	a.Step(time.Second)
	if got := a.report("2001:db8::1"); got.status != 200 {
		t.Errorf("after 15 minutes: %s", got.text)
	}
	if got := a.report("127.0.0.2"); got.status != 429 || !strings.Contains(got.detail(), "`127.0.0.2`") {
		t.Errorf("127.0.0.2: %s", got.text)
	}
	if got := a.report("127.0.0.1"); got.status != 200 {
		t.Errorf("127.0.0.1: %s", got.text)
	}
	free := start(t, double.Options{FreeDuplicates: true})
	free.report("192.0.2.1")
	if got := free.report("192.0.2.1"); got.header.Get("X-RateLimit-Remaining") != "999" {
		t.Errorf("the refusal is counted: %v", got.header)
	}
}

// The quota of each plan ends at its number, with the documented text and headers, and begins again at midnight of the
// configured zone.
func TestQuota(t *testing.T) {
	for _, test := range []struct {
		eastern bool
		after   string
		reset   int64
	}{
		{false, "43201", 1795392000}, // 2026-11-23 00:00:00 UTC
		{true, "61201", 1795410000},  // 2026-11-23 05:00:00 UTC
	} {
		a := start(t, double.Options{Eastern: test.eastern})
		for n := range 1000 {
			if got := a.report(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}).String()); got.status != 200 {
				t.Fatalf("report %d: %s", n, got.text)
			}
		}
		got := a.report("192.0.2.1")
		want := "Daily rate limit of 1000 requests exceeded for this endpoint. See headers for additional details."
		if got.status != 429 || got.detail() != want {
			t.Errorf("beyond the quota: %d %s", got.status, got.text)
		}
		for name, value := range map[string]string{
			"Retry-After": test.after, "X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(test.reset),
		} {
			if got.header.Get(name) != value {
				t.Errorf("eastern %v: %s is %s, want %s", test.eastern, name, got.header.Get(name), value)
			}
		}
		if got := a.do("GET", "/api/v2/check?ipAddress=192.0.2.1", "", ""); got.status != 200 {
			t.Errorf("check has a quota of its own: %s", got.text)
		}
		a.Step(time.Unix(test.reset, 0).Sub(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)))
		if got := a.report("192.0.2.1"); got.status != 200 || got.header.Get("X-RateLimit-Remaining") != "999" {
			t.Errorf("after the reset: %s %v", got.text, got.header)
		}
	}
	for _, plan := range double.Plans() {
		if got := start(t, double.Options{Plan: plan}).report("192.0.2.1"); got.status != 200 || got.header.Get("X-RateLimit-Limit") == "" {
			t.Errorf("%s: %s", plan, got.text)
		}
	}
	if _, err := double.New(double.Options{Plan: "gold"}); err == nil {
		t.Error("a plan that there is not is taken")
	}
}

// What is wrong is refused in the API's form, or as a page to who does not accept JSON.
func TestRefusals(t *testing.T) {
	a := start(t, double.Options{Key: "k"})
	for _, test := range []struct {
		method, path, body string
		header             []string
		status             int
		detail, parameter  string
	}{
		{"POST", "/api/v2/report", "ip=192.0.2.1&categories=18", []string{"Key", "wrong"}, 401, "Authentication failed. Your API key is either missing, incorrect, or revoked. Note: The APIv2 key differs from the APIv1 key.", ""},
		{"POST", "/api/v2/report", "ip=192.0.2.1&categories=18", []string{"Key", ""}, 401, "Authentication failed. Your API key is either missing, incorrect, or revoked. Note: The APIv2 key differs from the APIv1 key.", ""},
		{"POST", "/api/v2/report", "categories=18", nil, 422, "The ip field is required.", "ip"},
		{"POST", "/api/v2/report", "ip=192.0.2&categories=18", nil, 422, "The ip address must be a valid IPv4 or IPv6 address (e.g. 8.8.8.8 or 2001:4860:4860::8888).", "ip"},
		{"POST", "/api/v2/report", "ip=fe80::1%25eth0&categories=18", nil, 422, "The ip address must be a valid IPv4 or IPv6 address (e.g. 8.8.8.8 or 2001:4860:4860::8888).", "ip"},
		{"POST", "/api/v2/report", "ip=192.0.2.1", nil, 422, "The categories must be a comma separated list of category ids.", "categories"},
		{"POST", "/api/v2/report", "ip=192.0.2.1&categories=18,24", nil, 422, "The categories must be a comma separated list of category ids.", "categories"},
		{"POST", "/api/v2/report", "ip=192.0.2.1&categories=" + strings.Repeat("1,", 30) + "1", nil, 422, "The categories must be a comma separated list of category ids.", "categories"},
		{"POST", "/api/v2/report", "ip=192.0.2.1&categories=18&timestamp=2026-11-22T10:00:00+00:00", nil, 422, "The timestamp is not a valid date.", "timestamp"},
		{"GET", "/api/v2/report", "", nil, 405, "The GET method is not supported for this route.", ""},
		{"GET", "/api/v2/check?ipAddress=x", "", nil, 422, "The ip address must be a valid IPv4 or IPv6 address (e.g. 8.8.8.8 or 2001:4860:4860::8888).", "ipAddress"},
		{"GET", "/api/v2/check?ipAddress=192.0.2.1&maxAgeInDays=366", "", nil, 422, "The max age in days must be between 1 and 365.", "maxAgeInDays"},
		{"GET", "/api/v2/nothing", "", nil, 404, `There is no endpoint "nothing".`, ""},
		{"GET", "/nothing", "", nil, 404, "There is nothing at this path; / lists what there is.", ""},
		{"POST", "/api/v2/report", strings.Repeat("x", 100_000), nil, 413, "The request is too large.", ""},
	} {
		got := a.do(test.method, test.path, form, test.body, test.header...)
		if got.status != test.status || got.detail() != test.detail || got.body.Errors[0].Source.Parameter != test.parameter {
			t.Errorf("%s %s %.80s: %d %s", test.method, test.path, test.body, got.status, got.text)
		}
	}
	page := a.do("POST", "/api/v2/report", form, "", "Accept", "text/html")
	if page.status != 422 || !strings.HasPrefix(page.text, "<!DOCTYPE html>") {
		t.Errorf("without Accept: %d %s", page.status, page.text)
	}
	if n := len(a.Reports()); n != 0 {
		t.Errorf("%d reports were taken", n)
	}
	if got := a.do("GET", "/api/v2/check?ipAddress=192.0.2.1&key=k", "", "", "Key", ""); got.status != 200 {
		t.Errorf("key as a parameter: %s", got.text)
	}
}

// check answers the score that was set, and the documented fields; slashes come escaped as PHP does.
func TestCheck(t *testing.T) {
	a := start(t, double.Options{})
	if got := a.do("PUT", "/double/scores", "", `{"203.0.113.9": 80, "2001:db8::9": 100}`); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.text)
	}
	for ip, want := range map[string]float64{"203.0.113.9": 80, "2001:db8:0::9": 100, "203.0.113.10": 0, "::ffff:203.0.113.9": 80} {
		got := a.do("GET", "/api/v2/check?maxAgeInDays=90&ipAddress="+ip, "", "")
		if got.body.Data["abuseConfidenceScore"] != want {
			t.Errorf("%s: %s", ip, got.text)
		}
	}
	for _, bad := range []string{`{"203.0.113.9": 101}`, `{"x": 1}`, `[]`, ``, `{"203.0.113.9": -1}`} {
		if got := a.do("PUT", "/double/scores", "", bad); got.status != 400 || got.detail() == "" {
			t.Errorf("%s: %d %s", bad, got.status, got.text)
		}
	}
	a.report("203.0.113.9")
	got := a.do("GET", "/api/v2/check?ipAddress=203.0.113.9", "", "")
	if got.body.Data["totalReports"] != 1.0 || got.body.Data["isPublic"] != false || got.body.Data["ipVersion"] != 4.0 {
		t.Errorf("%s", got.text)
	}
}

// GET /double/reports has exactly the fields that outside checks are written against; the journal shows who asked what,
// and never a key.
func TestJournal(t *testing.T) {
	a := start(t, double.Options{Key: "k"})
	if got := a.do("GET", "/double/reports", "", ""); got.text != "[]\n" {
		t.Errorf("no reports: %q", got.text)
	}
	a.report("192.0.2.1")
	a.do("POST", "/api/v2/report", form, "ip=192.0.2.2", "Key", "leaked-key")
	if got := a.do("GET", "/double/reports", "", ""); got.text !=
		`[{"ip":"192.0.2.1","categories":[18,22],"comment":"c","timestamp":"","received_at":"2026-11-22T12:00:00Z"}]`+"\n" {
		t.Errorf("reports: %s", got.text)
	}
	got := a.do("GET", "/double/requests", "", "")
	var requests []double.Request
	if err := json.Unmarshal([]byte(got.text), &requests); err != nil || len(requests) != 2 {
		t.Fatalf("%v: %s", err, got.text)
	}
	if r := requests[0]; r.Key != "right" || r.Status != 200 || r.Path != "/api/v2/report" || !strings.Contains(r.Body, "ip=192.0.2.1") {
		t.Errorf("%+v", r)
	}
	if r := requests[1]; r.Key != "wrong" || r.Status != 401 || strings.Contains(got.text, "leaked-key") {
		t.Errorf("%+v", r)
	}
}

// Each fault does what its name says, as often as it was told, and counts the report as taken or not.
func TestFaults(t *testing.T) {
	a := start(t, double.Options{})
	for n, test := range []struct {
		fault  string
		status int // 0: no answer
		in     string
		taken  int
	}{
		{`{"mode":"500","times":1}`, 500, "<!DOCTYPE", 0},
		{`{"mode":"502","times":1}`, 502, "<!DOCTYPE", 0},
		{`{"mode":"401","times":1}`, 401, "Authentication failed", 0},
		{`{"mode":"422","times":1}`, 422, "invalid", 0},
		{`{"mode":"429","times":1}`, 429, "Daily rate limit", 0},
		{`{"mode":"late-reset","times":1}`, 429, "Daily rate limit", 0},
		{`{"mode":"403-recently","times":1}`, 403, "once in 15 minutes", 0},
		{`{"mode":"garbage","times":1}`, 200, "\x00", 0},
		{`{"mode":"drop","times":1}`, 0, "EOF", 0},
		{`{"mode":"drop-after","times":1}`, 0, "EOF", 1},
		{`{"mode":"truncated","times":1}`, 200, `{"data":`, 1},
		{`{"mode":"slow","times":1,"delay":"1ms"}`, 200, `{"data":`, 1},
		{`{"mode":"delay","times":1,"delay":"1ms"}`, 200, `{"data":`, 1},
		{`{"mode":"drop-early","times":1}`, 0, "EOF", 0},
		{`{"mode":"wrong-length","times":1}`, 200, `{"data":`, 1},
		{`{"mode":"html","times":1}`, 200, "<!DOCTYPE", 0},
		{`{"mode":"302","times":1}`, 302, "", 0},
		{`{"mode":"402","times":1}`, 402, "plan", 0},
		{`{"mode":"403","times":1}`, 403, "suspended", 0},
		{`{"mode":"413","times":1}`, 413, "megabytes", 0},
		{`{"mode":"422-recently","times":1}`, 422, "once in 15 minutes", 0},
		{`{"mode":"429-recently","times":1}`, 429, "once in 15 minutes", 0},
		{`{"mode":"429-fast","times":1}`, 429, "Too Many", 0},
		{`{"mode":"503","times":1}`, 503, "<!DOCTYPE", 0},
		{`{"mode":"answer","times":1,"status":520,"header":{"X-A":"b"},"body":"c"}`, 520, "c", 0},
		{`[{"mode":"pass","times":1},{"mode":"500","times":1}]`, 200, `{"data":`, 1},
		{`[{"mode":"500","skip":1,"times":1}]`, 200, `{"data":`, 1},
		{`[{"mode":"500","address":"198.51.100.0/24"}]`, 200, `{"data":`, 1},
		{`[{"mode":"500","address":"192.0.2.0/24"}]`, 500, "<!DOCTYPE", 0},
		{`{"mode":"hold","times":1,"delay":"1ms"}`, 200, `{"data":`, 1},
		{`[{"mode":"500","endpoint":"check"}]`, 200, `{"data":`, 1},
		{`[]`, 200, `{"data":`, 1},
	} {
		if got := a.do("PUT", "/double/faults", "", test.fault); got.status != 204 {
			t.Fatalf("%s: %d %s", test.fault, got.status, got.text)
		}
		before := len(a.Reports())
		got := a.report(fmt.Sprintf("192.0.2.%d", n))
		if got.status != test.status || !strings.Contains(got.text, test.in) || len(a.Reports())-before != test.taken {
			t.Errorf("%s: %d %q, %d taken", test.fault, got.status, got.text, len(a.Reports())-before)
		}
	}
	for _, bad := range []string{`{"mode":"no"}`, `[{"mode":"500","times":-1}]`, `x`, `[{"mod":"500"}]`, `{"mode":"500","delay":"5"}`,
		`{"mode":"500","endpoint":"no"}`, `{"mode":"500","address":"no"}`, `{"mode":"answer"}`, `{"mode":"500","status":200}`, `{"mode":"answer","status":99}`} {
		if got := a.do("PUT", "/double/faults", "", bad); got.status != 400 || got.detail() == "" {
			t.Errorf("%s: %d %s", bad, got.status, got.text)
		}
	}
	a.SetFaults(double.Fault{Mode: double.Internal, Times: 2})
	if got := a.do("GET", "/double/faults", "", ""); !strings.Contains(got.text, `{"mode":"500","times":2}`) {
		t.Errorf("faults: %s", got.text)
	}
	for n, status := range []int{500, 500, 200} {
		if got := a.report(fmt.Sprintf("192.0.2.20%d", n)); got.status != status {
			t.Errorf("request %d: %d, want %d", n, got.status, status)
		}
	}
}

// The clock can be stepped and set.
func TestClock(t *testing.T) {
	a := start(t, double.Options{})
	for _, test := range []struct{ put, now string }{
		{`{"step":"24h"}`, "2026-11-23T12:00:00Z"},
		{`{"now":"2030-01-02T03:04:05Z"}`, "2030-01-02T03:04:05Z"},
		{`{"now":"2026-01-02T03:04:05Z","step":"1m"}`, "2026-01-02T03:05:05Z"},
	} {
		if got := a.do("PUT", "/double/clock", "", test.put); got.text != `{"now":"`+test.now+`"}`+"\n" {
			t.Errorf("%s: %s", test.put, got.text)
		}
	}
	if got := a.do("PUT", "/double/clock", "", `{"step":"x"}`); got.status != 400 {
		t.Errorf("%d %s", got.status, got.text)
	}
}

// What is kept is bounded: the newest stays.
func TestBounds(t *testing.T) {
	const keep = 500
	d, err := double.New(double.Options{Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	comment := "&comment=" + strings.Repeat("x", 2000)
	for n := range keep + 10 {
		body := fmt.Sprintf("categories=18&ip=10.%d.%d.%d%s", n>>16, n>>8&255, n&255, comment)
		r := httptest.NewRequest(http.MethodPost, "/api/v2/report", bytes.NewReader([]byte(body)))
		r.Header.Set("Content-Type", form)
		r.Header.Set("Key", "k")
		d.ServeHTTP(httptest.NewRecorder(), r)
	}
	reports, requests := d.Reports(), d.Requests()
	if len(reports) != keep || reports[0].IP != "10.0.0.10" || reports[len(reports)-1].IP != "10.0.1.253" {
		t.Errorf("%d reports from %s to %s", len(reports), reports[0].IP, reports[len(reports)-1].IP)
	}
	if len(reports[0].Comment) != 1024 {
		t.Errorf("a comment has %d bytes", len(reports[0].Comment))
	}
	if len(requests) != keep || len(requests[0].Body) > 2<<10 {
		t.Errorf("%d requests with %d bytes", len(requests), len(requests[0].Body))
	}
	for n := range 2000 {
		r := httptest.NewRequest(http.MethodGet, "/api/v2/check?ipAddress=192.0.2.1", nil)
		r.Header.Set("Key", fmt.Sprint("key", n))
		d.ServeHTTP(httptest.NewRecorder(), r)
	}
	if r := d.Requests(); r[len(r)-1].Status != 401 {
		t.Errorf("the 2000th key is taken: %d", r[len(r)-1].Status)
	}
}

// / tells what there is.
func TestHelp(t *testing.T) {
	if got := start(t, double.Options{}).do("GET", "/", "", ""); got.status != 200 || !strings.Contains(got.text, "/double/faults") {
		t.Errorf("%d %s", got.status, got.text)
	}
}
