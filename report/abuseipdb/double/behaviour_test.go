package double_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/report/abuseipdb/double"
)

// upload sends a bulk file.
func (a *api) upload(csv string) answer {
	a.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("csv", "report.csv")
	if err != nil {
		a.t.Fatal(err)
	}
	fmt.Fprint(part, csv)
	form.Close()
	return a.do("POST", "/api/v2/bulk-report", form.FormDataContentType(), body.String())
}

const headings = "IP,Categories,ReportDate,Comment\n"

func (a *api) get(path string, header ...string) answer {
	a.t.Helper()
	return a.do("GET", "/api/v2/"+path, "", "", header...)
}

// want fails unless an answer has a status and, somewhere in its text, each of the strings.
func (a *api) want(got answer, status int, in ...string) answer {
	a.t.Helper()
	for _, text := range in {
		if got.status != status || !strings.Contains(got.text, text) {
			a.t.Errorf("%d %s; want %d and %s", got.status, got.text, status, text)
		}
	}
	return got
}

// want header and value.
func (a *api) header(got answer, pairs ...string) {
	a.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if v := got.header.Get(pairs[i]); v != pairs[i+1] {
			a.t.Errorf("%s is %q, want %q", pairs[i], v, pairs[i+1])
		}
	}
}

// fill uses an endpoint up.
func (a *api) fill(n int, path string) {
	for range n {
		a.get(path)
	}
}

const wrongKey = "Authentication failed. Your API key is either missing, incorrect, or revoked. Note: The APIv2 key differs from the APIv1 key."

// behaviours shows each of double.Behaviours, on a double with the key "k" at noon.
var behaviours = map[string]func(a *api){
	"key-header":    func(a *api) { a.want(a.get("check?ipAddress=192.0.2.1"), 200, "data") },
	"key-parameter": func(a *api) { a.want(a.get("check?ipAddress=192.0.2.1&key=k", "Key", ""), 200, "data") },
	"key-wrong": func(a *api) {
		a.want(a.get("check?ipAddress=192.0.2.1", "Key", "x"), 401, wrongKey)
		a.want(a.get("check?ipAddress=192.0.2.1", "Key", ""), 401, wrongKey)
	},
	"key-too-many": func(a *api) {
		b := start(a.t, double.Options{})
		for n := range 1000 {
			b.get("check?ipAddress=192.0.2.1", "Key", fmt.Sprint("key", n))
		}
		b.want(b.get("check?ipAddress=192.0.2.1", "Key", "another"), 401, wrongKey)
		b.want(b.get("check?ipAddress=192.0.2.1", "Key", "key7"), 200, "data")
	},
	"no-endpoint": func(a *api) {
		a.want(a.get("nothing"), 404, "errors")
		a.want(a.get("clear-address"), 405, "The GET method is not supported for this route.")
	},
	"accept": func(a *api) { a.want(a.get("check", "Accept", "*/*"), 422, "<!DOCTYPE html>") },
	"error-form": func(a *api) {
		a.want(a.get("check"), 422, `{"errors":[{"detail":"`, `"status":422,"source":{"parameter":"ipAddress"}}]}`)
	},
	"slashes": func(a *api) {
		a.do("POST", "/api/v2/report", form, "ip=192.0.2.1&categories=18&comment=a/b")
		a.want(a.get("reports?ipAddress=192.0.2.1"), 200, `"comment":"a\/b"`)
	},
	"forms": func(a *api) {
		for _, body := range [][3]string{{form, "ipAddress=192.0.2.1"}, {"application/json", `{"ipAddress":"192.0.2.1"}`}, {"", "", "?ipAddress=192.0.2.1"}} {
			a.want(a.do("DELETE", "/api/v2/clear-address"+body[2], body[0], body[1]), 200, "numReportsDeleted")
		}
	},
	"plain-http": func(a *api) {
		server := httptest.NewServer(double.Redirect("https://127.0.0.1:1"))
		a.t.Cleanup(server.Close)
		b := &api{t: a.t, url: server.URL}
		b.header(b.want(b.get("check?ipAddress=192.0.2.1"), 302, ""), "Location", "https://127.0.0.1:1/api/v2/check?ipAddress=192.0.2.1")
	},
	"quotas": func(a *api) {
		for plan, want := range map[string]string{
			"standard": "1000 100 5 1000 100 5 5", "webmaster": "3000 500 10 3000 250 10 10", "supporter": "5000 1000 20 1000 500 20 20",
			"basic": "10000 5000 100 10000 1000 100 100", "premium": "50000 25000 500 50000 5000 500 500",
		} {
			b := start(a.t, double.Options{Plan: plan})
			var quota map[string]struct{ Limit int }
			if err := json.Unmarshal([]byte(b.do("GET", "/double/quota", "", "").text), &quota); err != nil {
				a.t.Fatal(err)
			}
			var limits []string
			for _, name := range double.Endpoints() {
				limits = append(limits, fmt.Sprint(quota[name].Limit))
			}
			if got := strings.Join(limits, " "); got != want {
				a.t.Errorf("%s: %v has %s, want %s", plan, double.Endpoints(), got, want)
			}
		}
	},
	"quota-headers": func(a *api) {
		a.header(a.get("check?ipAddress=192.0.2.1"), "X-RateLimit-Limit", "1000", "X-RateLimit-Remaining", "999")
		a.header(a.get("check?ipAddress=x"), "X-RateLimit-Limit", "1000", "X-RateLimit-Remaining", "998")
	},
	"quota-used-up": func(a *api) {
		a.fill(5, "blacklist")
		got := a.want(a.get("blacklist"), 429, "Daily rate limit of 5 requests exceeded for this endpoint. See headers for additional details.")
		a.header(got, "Retry-After", "43201", "X-RateLimit-Limit", "5", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1795392000")
	},
	"reset-utc": func(a *api) {
		a.fill(6, "blacklist")
		a.Step(12*time.Hour - time.Second)
		a.want(a.get("blacklist"), 429, "Daily")
		a.Step(time.Second)
		a.want(a.get("blacklist"), 200, "data")
	},
	"reset-eastern": func(a *api) {
		b := start(a.t, double.Options{Eastern: true})
		b.fill(6, "blacklist")
		b.Step(17*time.Hour - time.Second)
		b.header(b.want(b.get("blacklist"), 429, "Daily"), "X-RateLimit-Reset", "1795410000")
		b.Step(time.Second)
		b.want(b.get("blacklist"), 200, "data")
	},
	"quota-counts": func(a *api) {
		a.get("check?ipAddress=192.0.2.1", "Key", "wrong")
		a.get("check?ipAddress=x")
		a.header(a.get("check?ipAddress=192.0.2.1"), "X-RateLimit-Remaining", "998")
	},
	"report": func(a *api) {
		a.SetScore(netip.MustParseAddr("192.0.2.1"), 52)
		a.want(a.report("192.0.2.1"), 200, `{"data":{"ipAddress":"192.0.2.1","abuseConfidenceScore":52}}`)
	},
	"report-address": func(a *api) {
		a.want(a.do("POST", "/api/v2/report", form, "categories=18"), 422, "The ip field is required.")
		a.want(a.report("::ffff:192.0.2.1"), 200, `"ipAddress":"192.0.2.1"`)
	},
	"address-invalid": func(a *api) {
		a.want(a.get("check?ipAddress=192.0.2"), 422, "The ip address must be a valid IPv4 or IPv6 address (e.g. 8.8.8.8 or 2001:4860:4860::8888).")
	},
	"report-categories": func(a *api) {
		for _, bad := range []string{"", "24", "0", "x", strings.Repeat("18,", 30) + "18"} {
			a.want(a.do("POST", "/api/v2/report", form, "ip=192.0.2.1&categories="+bad), 422, "categories")
		}
		a.want(a.do("POST", "/api/v2/report", form, "ip=192.0.2.1&categories="+strings.Repeat("18,", 29)+"18"), 200, "data")
	},
	"report-timestamp": func(a *api) {
		a.want(a.do("POST", "/api/v2/report", form, "ip=192.0.2.1&categories=18&timestamp=2026-11-22T10:00:00+00:00"), 422, "timestamp")
		a.want(a.do("POST", "/api/v2/report", form, "ip=192.0.2.1&categories=18&timestamp=2006-11-22T10:00:00%2B00:00"), 200, "data")
		a.want(a.do("POST", "/api/v2/report", form, "ip=192.0.2.2&categories=18&timestamp=2036-11-22T10:00:00-04:00"), 200, "data")
	},
	"report-private": func(a *api) {
		for _, ip := range []string{"127.0.0.1", "10.0.0.1", "fe80::1"} {
			a.want(a.report(ip), 200, "data")
		}
	},
	"fifteen-minutes": func(a *api) {
		a.report("192.0.2.1")
		a.Step(15*time.Minute - time.Second)
		a.want(a.report("192.0.2.1"), 429, "You can only report the same IP address (`192.0.2.1`) once in 15 minutes.", `"parameter":"ip"`)
		a.Step(time.Second)
		a.want(a.report("192.0.2.1"), 200, "data")
		a.want(a.report("127.0.0.2"), 429, "`127.0.0.2`")
	},
	"fifteen-minutes-key": func(a *api) {
		b := start(a.t, double.Options{})
		b.report("192.0.2.1")
		b.want(b.do("POST", "/api/v2/report", form, "ip=192.0.2.1&categories=18", "Key", "another"), 200, "data")
	},
	"fifteen-minutes-cost": func(a *api) {
		b := start(a.t, double.Options{FreeDuplicates: true})
		for left, c := range map[string]*api{"998": a, "999": b} {
			c.report("192.0.2.1")
			c.header(c.report("192.0.2.1"), "X-RateLimit-Remaining", left)
		}
	},
	"fifteen-minutes-wait": func(a *api) { a.header(a.report("127.0.0.2"), "Retry-After", "") },
	"comment-cut": func(a *api) {
		a.do("POST", "/api/v2/report", form, "ip=192.0.2.1&categories=18&comment="+strings.Repeat("x", 1023)+"\u20ac")
		if got := a.Reports()[0].Comment; got != strings.Repeat("x", 1023) {
			a.t.Errorf("%d bytes are kept", len(got))
		}
	},
	"not-merged": func(a *api) {
		a.report("192.0.2.1")
		a.Step(time.Hour)
		a.report("192.0.2.1")
		a.want(a.get("check?ipAddress=192.0.2.1"), 200, `"totalReports":2`)
	},
	"check": func(a *api) {
		a.want(a.do("PUT", "/double/addresses", "", `{"198.18.0.9":{"score":80,"country":"DE","usage_type":"Library","isp":"E","domain":"example.org","hostnames":["a.example.org"],"tor":true,"whitelisted":true}}`), 204, "")
		a.report("198.18.0.9")
		a.Step(25 * time.Hour)
		a.report("198.18.0.9")
		a.want(a.get("check?ipAddress=198.18.0.9&maxAgeInDays=1"), 200, `{"data":{"ipAddress":"198.18.0.9","isPublic":true,"ipVersion":4,"isWhitelisted":true,`+
			`"abuseConfidenceScore":80,"countryCode":"DE","usageType":"Library","isp":"E","domain":"example.org","hostnames":["a.example.org"],"isTor":true,`+
			`"totalReports":1,"numDistinctUsers":1,"lastReportedAt":"2026-11-23T13:00:00+00:00"}}`)
		a.want(a.get("check?ipAddress=198.18.0.9&verbose"), 200, `"countryName":"DE"`, `"reports":[{"reportedAt":"2026-11-23T13:00:00+00:00","comment":"c","categories":[18,22],"reporterId":`)
		a.want(a.get("check?ipAddress=198.18.0.10&verbose="), 200, `"countryName":null`, `"reports":[]`, `"isWhitelisted":null`)
	},
	"check-score": func(a *api) {
		a.report("192.0.2.1")
		a.want(a.get("check?ipAddress=192.0.2.1"), 200, `"abuseConfidenceScore":0`)
	},
	"check-age": func(a *api) {
		for _, bad := range []string{"0", "366", "x", "-1"} {
			a.want(a.get("check?ipAddress=192.0.2.1&maxAgeInDays="+bad), 422, "The max age in days must be between 1 and 365.")
		}
	},
	"check-reserved": func(a *api) {
		a.want(a.get("check?ipAddress=192.0.2.1"), 200, `"isPublic":false`, `"isWhitelisted":true`, `"usageType":"Reserved"`, `"isp":null`)
		a.want(a.get("check?ipAddress=255.255.255.123"), 200, `"isWhitelisted":false`, `"lastReportedAt":null`)
	},
	"reports": func(a *api) {
		for range 30 {
			a.report("192.0.2.1")
			a.Step(15 * time.Minute)
		}
		a.want(a.get("reports?ipAddress=192.0.2.1"), 200, `{"data":{"total":30,"page":1,"count":25,"perPage":25,"lastPage":2,"nextPageUrl":"http:`, `"previousPageUrl":null,"results":[{"reportedAt"`)
		a.want(a.get("reports?ipAddress=192.0.2.1&perPage=20&page=2"), 200, `"page":2,"count":10,"perPage":20,"lastPage":2,"nextPageUrl":null,"previousPageUrl":"http:`)
		a.want(a.get("reports?ipAddress=192.0.2.2&page=9"), 200, `"total":0,"page":9,"count":0`, `"results":[]`)
	},
	"reports-order": func(a *api) {
		a.report("192.0.2.1")
		a.Step(time.Hour)
		a.report("192.0.2.1")
		got := a.get("reports?ipAddress=192.0.2.1&perPage=1")
		a.want(got, 200, "2026-11-22T13:00:00+00:00")
		next := strings.TrimPrefix(got.body.Data["nextPageUrl"].(string), a.url+"/api/v2/")
		a.want(a.get(next), 200, "2026-11-22T12:00:00+00:00")
		for _, bad := range []string{"perPage=0", "perPage=101", "page=0"} {
			a.want(a.get("reports?ipAddress=192.0.2.1&"+bad), 422, "must be")
		}
	},
	"blacklist": func(a *api) {
		b := start(a.t, double.Options{Plan: "basic"})
		b.do("PUT", "/double/scores", "", `{"192.0.2.1":100,"2001:db8::1":100,"192.0.2.3":90,"192.0.2.4":20}`)
		b.Step(time.Hour)
		b.report("2001:db8::1")
		b.want(b.get("blacklist"), 200, `{"meta":{"generatedAt":"2026-11-22T13:00:00+00:00"},"data":[{"ipAddress":"2001:db8::1","countryCode":null,"abuseConfidenceScore":100,"lastReportedAt":"2026-11-22T13:00:00+00:00"},{"ipAddress":"192.0.2.1"`)
		b.want(b.get("blacklist?confidenceMinimum=25&ipVersion=4&limit=2&plaintext"), 200, "192.0.2.1\n192.0.2.3\n")
		b.header(b.get("blacklist", "Accept", "text/plain"), "X-Generated-At", "2026-11-22T13:00:00+00:00", "Content-Type", "text/plain; charset=UTF-8")
	},
	"blacklist-plan": func(a *api) {
		a.do("PUT", "/double/scores", "", `{"192.0.2.1":100,"192.0.2.3":90}`)
		if got := a.get("blacklist?confidenceMinimum=25&plaintext"); got.text != "192.0.2.1\n" {
			a.t.Errorf("%q", got.text)
		}
	},
	"blacklist-countries": func(a *api) {
		facts := `{"192.0.2.1":{"score":100,"country":"DE"},"192.0.2.3":{"score":100,"country":"NL"}}`
		a.do("PUT", "/double/addresses", "", facts)
		b := start(a.t, double.Options{Plan: "premium"})
		b.do("PUT", "/double/addresses", "", facts)
		a.want(a.get("blacklist?onlyCountries=NL&plaintext"), 200, "192.0.2.1\n", "192.0.2.3\n")
		if got := b.get("blacklist?onlyCountries=nl&plaintext"); got.text != "192.0.2.3\n" {
			a.t.Errorf("%q", got.text)
		}
		if got := b.get("blacklist?exceptCountries=NL,FR&plaintext"); got.text != "192.0.2.1\n" {
			a.t.Errorf("%q", got.text)
		}
		for _, bad := range []string{"confidenceMinimum=24", "limit=0", "ipVersion=5"} {
			b.want(b.get("blacklist?"+bad), 422, "errors")
		}
		a.want(a.get("blacklist?limit=20000"), 200, "data")
	},
	"check-block": func(a *api) {
		a.report("127.0.0.1")
		a.want(a.get("check-block?network=127.0.0.1/24"), 200, `{"data":{"networkAddress":"127.0.0.0","netmask":"255.255.255.0","minAddress":"127.0.0.1","maxAddress":"127.0.0.254",`+
			`"numPossibleHosts":254,"addressSpaceDesc":"Loopback","reportedAddress":[{"ipAddress":"127.0.0.1","numReports":1,"mostRecentReport":"2026-11-22T12:00:00+00:00","abuseConfidenceScore":0,"countryCode":null}]}}`)
	},
	"check-block-plan": func(a *api) {
		for plan, bounds := range map[string][4]string{
			"standard": {"24", "30", "23", "31"}, "basic": {"20", "60", "19", "61"}, "premium": {"16", "365", "15", "365"},
		} {
			b := start(a.t, double.Options{Plan: plan})
			b.want(b.get("check-block?network=198.18.0.0/"+bounds[0]+"&maxAgeInDays="+bounds[1]), 200, "data")
			b.want(b.get("check-block?network=198.18.0.0/"+bounds[2]+"&maxAgeInDays=1"), 402, "errors")
			if plan != "premium" {
				b.want(b.get("check-block?network=198.18.0.0/24&maxAgeInDays="+bounds[3]), 402, "errors")
			}
		}
	},
	"check-block-text": func(a *api) {
		a.want(a.get("check-block?network=198.18.0.0/23"), 402, "Your plan does not cover")
		a.want(a.get("check-block?network=2001:db8::/64"), 200, `"numPossibleHosts":18446744073709551616`, `"maxAddress":"2001:db8::ffff:ffff:ffff:ffff"`, `"Reserved"`)
		a.want(a.get("check-block?network=10.0.0.0/31"), 200, `"numPossibleHosts":2`, `"Private"`)
		a.want(a.get("check-block?network=198.18.0.1"), 422, "CIDR")
	},
	"bulk": func(a *api) {
		a.want(a.upload(headings+`192.0.2.1,"18,22",2018-01-01T10:00:01-04:00,"Failed, password"`), 200, `{"data":{"savedReports":1,"invalidReports":[]}}`)
		if r := a.Reports()[0]; r.IP != "192.0.2.1" || !slices.Equal(r.Categories, []int{18, 22}) || r.Comment != "Failed, password" || r.Timestamp != "2018-01-01T10:00:01-04:00" {
			a.t.Errorf("%+v", r)
		}
		if f := a.Files(); len(f) != 1 || !strings.HasPrefix(f[0].Text, headings) {
			a.t.Errorf("%+v", f)
		}
		a.header(a.upload(headings), "X-RateLimit-Limit", "5", "X-RateLimit-Remaining", "3")
	},
	"bulk-dialect": func(a *api) {
		a.want(a.upload(headings+`192.0.2.1,18,2018-01-01,"say \"x\", twice`+"\r\n"+`and"`+"\r192.0.2.2,18,2018-01-01,\n"), 200, `"savedReports":2`)
		if r := a.Reports(); len(r) != 2 || r[0].Comment != "say \"x\", twice\nand" || r[1].Comment != "" {
			a.t.Errorf("%+v", r)
		}
		a.want(a.upload(headings+`192.0.2.3,18,2018-01-01,"it ends in \\"`), 422, "a quote is not closed")
	},
	"bulk-strict": func(a *api) {
		b := start(a.t, double.Options{Plan: "premium"})
		for csv, why := range map[string]string{
			headings + `192.0.2.1,18,2018-01-01,"a ""b"""`: "something follows a closing quote", headings + `192.0.2.1,18,2018-01-01,a "b"`: "a quote in a field without quotes",
			headings + `192.0.2.1,18,22,2018-01-01,a`: "row 2 has 5 columns", headings + `192.0.2.1,18,2018-01-01`: "row 2 has 3 columns",
			"ip,categories,reportdate,comment\n": "headings", "\ufeff" + headings: "headings", "": "headings", "192.0.2.1,18,2018-01-01,a": "headings",
		} {
			b.want(b.upload(csv), 422, why, `"parameter":"csv"`)
		}
		b.want(b.do("POST", "/api/v2/bulk-report", form, "csv=x"), 422, "required")
	},
	"bulk-bounds": func(a *api) {
		row := func(n int) string { return fmt.Sprintf("198.18.%d.%d,18,2018-01-01,\n", n>>8, n&255) }
		file := headings
		for n := range 9_999 {
			file += row(n)
		}
		a.want(a.upload(file), 200, `"savedReports":9999`)
		a.want(a.upload(file+row(9_999)), 422, "10000 lines")
	},
	"bulk-bounds-status": func(a *api) {
		pad := strings.Repeat("x", 2_000_000-len(headings)-len("192.0.2.1,18,2018-01-01,"))
		a.want(a.upload(headings+"192.0.2.1,18,2018-01-01,"+pad), 413, "megabytes")
		a.want(a.upload(headings+"192.0.2.1,18,2018-01-01,"+pad[1:]), 200, `"savedReports":1`)
		a.want(a.upload(strings.Repeat("x", 5_000_000)), 413, "too large")
	},
	"bulk-rows": func(a *api) {
		a.want(a.upload(headings+"192.0.2.1,18,2018-01-01,\n192.0.2.1,18,2018-01-01,\n127.0.foo.bar,18,2018-01-01,\n192.0.2.2,99,2018-01-01,\n192.0.2.3,18,2018-01-01,\n"), 200,
			`{"data":{"savedReports":2,"invalidReports":[{"error":"Duplicate IP","input":"192.0.2.1","rowNumber":3},{"error":"Invalid IP","input":"127.0.foo.bar","rowNumber":4},{"error":"Invalid Category","input":"192.0.2.2","rowNumber":5}]}}`)
	},
	"bulk-duplicate": func(a *api) {
		a.report("192.0.2.1")
		a.want(a.upload(headings+"192.0.2.1,18,2018-01-01,\n192.0.2.2,18,2018-01-01,\n"), 200, `"savedReports":1`, "Duplicate IP")
		a.want(a.report("192.0.2.2"), 429, "once in 15 minutes")
	},
	"bulk-date": func(a *api) {
		a.want(a.upload(headings+"192.0.2.1,18,yesterday-ish,\n192.0.2.2,18,2018-01-01 10:00:00,\n"), 200, `"savedReports":1`, `"Invalid Date","input":"192.0.2.1","rowNumber":2`)
	},
	"clear-address": func(a *api) {
		b := start(a.t, double.Options{})
		b.report("192.0.2.1")
		b.do("POST", "/api/v2/report", form, "ip=192.0.2.1&categories=18", "Key", "another")
		b.Step(time.Hour)
		b.report("192.0.2.1")
		b.report("192.0.2.2")
		b.want(b.do("DELETE", "/api/v2/clear-address?ipAddress=192.0.2.1", "", ""), 200, `{"data":{"numReportsDeleted":2}}`)
		b.want(b.do("DELETE", "/api/v2/clear-address?ipAddress=192.0.2.1", "", ""), 200, `{"data":{"numReportsDeleted":0}}`)
		b.want(b.get("check?ipAddress=192.0.2.1"), 200, `"totalReports":1`)
		if n := len(b.Reports()); n != 2 {
			a.t.Errorf("%d reports remain", n)
		}
	},
	"clear-address-rule": func(a *api) {
		a.report("192.0.2.1")
		a.do("DELETE", "/api/v2/clear-address?ipAddress=192.0.2.1", "", "")
		a.want(a.report("192.0.2.1"), 429, "once in 15 minutes")
	},
}

// Each behaviour of the table is there, marked, and each mark is one of the three.
func TestBehaviours(t *testing.T) {
	named := map[string]bool{}
	for _, b := range double.Behaviours() {
		named[b.Name] = true
		if !slices.Contains([]double.Mark{double.Documented, double.Observed, double.Synthetic}, b.Mark) || b.What == "" {
			t.Errorf("%+v", b)
		}
		show := behaviours[b.Name]
		if show == nil {
			t.Errorf("%s: nothing shows it", b.Name)
			continue
		}
		t.Run(b.Name, func(t *testing.T) { show(start(t, double.Options{Key: "k"})) })
	}
	for _, name := range slices.Sorted(maps.Keys(behaviours)) {
		if !named[name] {
			t.Errorf("%s is shown, and not in the table", name)
		}
	}
	a := start(t, double.Options{})
	a.want(a.do("GET", "/double/behaviours", "", ""), http.StatusOK, `"mark":"synthetic"`)
}

// A bulk file of which half is saved when the connection is cut.
func TestHalfSaved(t *testing.T) {
	a := start(t, double.Options{})
	a.SetFaults(double.Fault{Mode: double.HalfSaved, Times: 1})
	file := headings + "192.0.2.1,18,2018-01-01,\n192.0.2.2,18,2018-01-01,\n192.0.2.3,18,2018-01-01,\n"
	if got := a.upload(file); got.status != 0 || len(a.Reports()) != 2 {
		t.Errorf("%+v, %d reports", got, len(a.Reports()))
	}
	a.want(a.upload(file), 200, `"savedReports":1`, `"input":"192.0.2.3"`)
}

// What a double knows survives in a file: reports, whose they are, quotas, scores, faults, the clock, and the 15-minute rule. The key
// is not in it.
func TestState(t *testing.T) {
	path := t.TempDir() + "/state.json"
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	a := start(t, double.Options{})
	a.report("192.0.2.1")
	a.upload(headings + "192.0.2.9,18,2018-01-01,\n")
	a.get("check?ipAddress=192.0.2.1", "Key", "planted-key")
	a.SetScore(netip.MustParseAddr("192.0.2.1"), 80)
	a.SetFaults(double.Fault{Mode: double.Internal, Endpoint: "check", Skip: 1})
	a.Step(time.Minute)
	if err := a.Save(path); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "planted-key") {
		t.Errorf("%v, or the key is in the file", err)
	}
	b := start(t, double.Options{})
	if err := b.Load(path); err != nil {
		t.Fatal(err)
	}
	b.want(b.report("192.0.2.1"), 429, "once in 15 minutes")
	b.header(b.report("192.0.2.2"), "X-RateLimit-Remaining", "997")
	b.want(b.get("check?ipAddress=192.0.2.1"), 200, `"abuseConfidenceScore":80`, `"lastReportedAt":"2026-11-22T12:00:00+00:00"`)
	b.want(b.get("check?ipAddress=192.0.2.1"), 500, "")
	b.want(b.do("GET", "/double/clock", "", ""), 200, "2026-11-22T12:01:00Z")
	b.want(b.do("DELETE", "/api/v2/clear-address?ipAddress=192.0.2.1", "", ""), 200, `{"data":{"numReportsDeleted":1}}`)
	if len(b.Files()) != 1 || len(b.Requests()) != 8 {
		t.Errorf("%d files, %d requests", len(b.Files()), len(b.Requests()))
	}
	if err := b.Save(path); err != nil {
		t.Fatal(err)
	}
	set := start(t, double.Options{Start: now.Add(time.Hour)})
	if err := set.Load(path); err != nil {
		t.Fatal(err)
	}
	set.want(set.do("GET", "/double/clock", "", ""), 200, "2026-11-22T13:00:00Z")
	if err := set.Load(path + ".none"); err != nil {
		t.Error(err)
	}
}
