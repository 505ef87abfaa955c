package abuseipdb_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/abuseipdb/double"
	"tattled/report/reporttest"
	"tattled/setting"
)

// many returns n reports about as many addresses.
func many(n int) []*event.Report {
	var all []*event.Report
	for i := range n {
		r := reporttest.Report(i, time.Now())
		r.Addr = netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		all = append(all, r)
	}
	return all
}

// results counts outcomes.
func results(each []report.Outcome) map[report.Result]int {
	all := map[report.Result]int{}
	for _, out := range each {
		all[out.Result]++
	}
	return all
}

// A bulk file has, row by row, what single reports have, in the dialect that AbuseIPDB describes.
func TestBulk(t *testing.T) {
	d, url := far(t, double.Options{Key: key})
	c := client(t, url, key)
	all := many(3)
	all[1].Addr, all[1].Categories = netip.MustParseAddr("2001:db8:0:0::1"), []int{22}
	all[2].Addr = netip.MustParseAddr("::ffff:203.0.113.7")
	each, request := c.SendBulk(t.Context(), all)
	if request.Result != report.Delivered || results(each)[report.Delivered] != 3 || each[0].Detail != "by bulk file" {
		t.Fatalf("%+v %+v", request, each)
	}
	want := "IP,Categories,ReportDate,Comment\n"
	for i, ip := range []string{"198.18.0.0", "2001:db8::1", "203.0.113.7"} {
		want += fmt.Sprintf("%s,\"18,22\",%s,\"%s\"\n", ip, all[i].First.UTC().Format("2006-01-02T15:04:05+00:00"), abuseipdb.Comment(all[i]))
	}
	if got := d.Files()[0].Text; got != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
	if q := d.Requests()[0]; q.Method != http.MethodPost || q.Path != "/api/v2/bulk-report" || q.Key != "right" || !strings.HasPrefix(q.ContentType, "multipart/form-data") ||
		q.Accept != "application/json" || q.UserAgent != "tattled/test" {
		t.Errorf("%+v", q)
	}
	if out := c.Send(t.Context(), all[0]); out.Result != report.Duplicate {
		t.Errorf("singly after it: %+v", out)
	}
	if b := c.Bulk(); b.Reports != 9_999 || b.Requests != 4 || b.Singles != 999 {
		t.Errorf("%+v", b)
	}
}

// Whatever is in a report, its row stays one row of four columns, names no formula, and is the same for AbuseIPDB's reader and for a
// spreadsheet's.
func TestBulkHostile(t *testing.T) {
	d, url := far(t, double.Options{Key: key})
	all := reporttest.Hostile(time.Now())
	for n, service := range []string{"-1+1", "=cmd", "@SUM", "+1", "-", `a"b`, `a\`, "a,b", "a\nb"} {
		r := reporttest.Report(n, time.Now())
		r.Addr, r.Service = netip.AddrFrom4([4]byte{198, 18, 0, byte(n)}), service
		all = append(all, r)
	}
	each, request := client(t, url, key).SendBulk(t.Context(), all)
	if request.Result != report.Delivered || results(each)[report.Delivered] != len(all) || len(d.Reports()) != len(all) {
		t.Fatalf("%+v %v, %d arrived", request, results(each), len(d.Reports()))
	}
	table, err := csv.NewReader(strings.NewReader(d.Files()[0].Text)).ReadAll()
	if err != nil || len(table) != len(all)+1 {
		t.Fatalf("%v, %d rows", err, len(table))
	}
	for i, row := range table[1:] {
		for _, cell := range row {
			if strings.ContainsAny(cell, "\"\\\r\n\t") || cell == "" || strings.ContainsAny(cell[:1], "=+-@|%") {
				t.Errorf("row %d: %q", i, cell)
			}
		}
		if got := d.Reports()[i]; got.Comment != row[3] || got.Comment != abuseipdb.Comment(all[i]) {
			t.Errorf("row %d arrived as %q, want %q", i, got.Comment, abuseipdb.Comment(all[i]))
		}
	}
}

// A file has 9,999 reports at most and less than two million bytes. What does not fit is put off, and not at fault.
func TestBulkBounds(t *testing.T) {
	d, url := far(t, double.Options{Key: key})
	c := client(t, url, key)
	all := many(10_050)
	each, request := c.SendBulk(t.Context(), all)
	if got := results(each); request.Result != report.Delivered || got[report.Delivered] != 9_999 || got[report.Later] != 51 || each[9_999].Unanswered ||
		each[9_999].Detail != "it did not fit into the bulk file" {
		t.Errorf("%+v %v", request, got)
	}
	d.Step(time.Hour)
	for _, r := range all { // a comment of some 250 bytes
		r.Ports = slices.Repeat([]uint16{65535}, 16)
	}
	each, request = c.SendBulk(t.Context(), all)
	got, size := results(each), len(d.Files()[1].Text)
	if request.Result != report.Delivered || got[report.Delivered] > 9_990 || got[report.Delivered] < 5_000 || got[report.Later] != 10_050-got[report.Delivered] ||
		size >= 2_000_000 || size < 1_999_000 {
		t.Errorf("%+v %v, %d bytes", request, got, size)
	}
}

// What must not be sent is not in the file; without a key nothing is; of two reports about one address one is sent.
func TestBulkLeavesOut(t *testing.T) {
	d, url := far(t, double.Options{Key: key})
	all := many(4)
	all[0].Addr = netip.Addr{}
	all[1].First = time.Now().Add(-60 * 24 * time.Hour)
	all[3].Addr = all[2].Addr
	dry := client(t, url, "")
	each, request := dry.SendBulk(t.Context(), all)
	if request.Result != 0 || results(each)[report.DryRun] != 2 || results(each)[report.Rejected] != 2 || dry.Bulk().Reports != 0 || len(d.Requests()) != 0 {
		t.Errorf("dry: %+v %+v", request, each)
	}
	each, request = client(t, url, key).SendBulk(t.Context(), all)
	want := []report.Result{report.Rejected, report.Rejected, report.Delivered, report.Duplicate}
	for i, out := range each {
		if out.Result != want[i] {
			t.Errorf("report %d: %+v, want %v", i, out, want[i])
		}
	}
	if request.Result != report.Delivered || len(d.Reports()) != 1 {
		t.Errorf("%+v, %d reports", request, len(d.Reports()))
	}
	if each, request = client(t, url, key).SendBulk(t.Context(), all[:1]); request.Result != 0 || each[0].Result != report.Rejected || len(d.Requests()) != 1 {
		t.Errorf("nothing to send: %+v %+v", request, each)
	}
}

// Each row that was not saved is known by its address, however that is written, or else by its number; a sum that is not right leaves open
// what became of the others.
func TestBulkRows(t *testing.T) {
	const rejected, duplicate, delivered, later = report.Rejected, report.Duplicate, report.Delivered, report.Later
	for name, test := range map[string]struct {
		body string
		want [4]report.Result
	}{
		"all saved":                {`{"data":{"savedReports":4,"invalidReports":[]}}`, [4]report.Result{delivered, delivered, delivered, delivered}},
		"no list":                  {`{"data":{"savedReports":4}}`, [4]report.Result{delivered, delivered, delivered, delivered}},
		"by address":               {`{"data":{"savedReports":2,"invalidReports":[{"error":"Duplicate IP","input":"198.18.0.0","rowNumber":1},{"error":"Invalid Category","input":"198.18.0.2","rowNumber":1}]}}`, [4]report.Result{duplicate, delivered, rejected, delivered}},
		"IPv6 written otherwise":   {`{"data":{"savedReports":3,"invalidReports":[{"error":"Invalid IP","input":"2001:0DB8:0:0:0:0:0:1","rowNumber":9}]}}`, [4]report.Result{delivered, delivered, delivered, rejected}},
		"by number":                {`{"data":{"savedReports":3,"invalidReports":[{"error":"Invalid IP","input":"?","rowNumber":3}]}}`, [4]report.Result{delivered, rejected, delivered, delivered}},
		"an error that is new":     {`{"data":{"savedReports":3,"invalidReports":[{"error":"Whitelisted","input":"198.18.0.1"}]}}`, [4]report.Result{delivered, rejected, delivered, delivered}},
		"within 15 minutes":        {`{"data":{"savedReports":3,"invalidReports":[{"error":"You can only report the same IP address once in 15 minutes.","input":"198.18.0.1"}]}}`, [4]report.Result{delivered, duplicate, delivered, delivered}},
		"fewer than that":          {`{"data":{"savedReports":1,"invalidReports":[{"error":"Invalid IP","input":"198.18.0.1"}]}}`, [4]report.Result{later, rejected, later, later}},
		"more than that":           {`{"data":{"savedReports":5,"invalidReports":[]}}`, [4]report.Result{later, later, later, later}},
		"a row twice":              {`{"data":{"savedReports":3,"invalidReports":[{"error":"Invalid IP","input":"198.18.0.1"},{"error":"Invalid IP","input":"198.18.0.1"}]}}`, [4]report.Result{delivered, rejected, delivered, delivered}},
		"a row that is not there":  {`{"data":{"savedReports":3,"invalidReports":[{"error":"Invalid IP","input":"192.0.2.99","rowNumber":99}]}}`, [4]report.Result{later, later, later, later}},
		"a row before the heading": {`{"data":{"savedReports":4,"invalidReports":[{"error":"Invalid IP","input":"x","rowNumber":-9223372036854775808}]}}`, [4]report.Result{delivered, delivered, delivered, delivered}},
		"cut":                      {`{"data":{"savedRep`, [4]report.Result{later, later, later, later}},
		"empty":                    {`{}`, [4]report.Result{later, later, later, later}},
		"null":                     {`{"data":null}`, [4]report.Result{later, later, later, later}},
		"no count":                 {`{"data":{"invalidReports":[]}}`, [4]report.Result{later, later, later, later}},
		"a count that is text":     {`{"data":{"savedReports":"4"}}`, [4]report.Result{later, later, later, later}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, test.body)
			})
			all := many(4)
			all[3].Addr = netip.MustParseAddr("2001:db8::1")
			each, request := c.SendBulk(t.Context(), all)
			uncertain := false
			for i, out := range each {
				if out.Result != test.want[i] || out.Unanswered != (out.Result == later) || out.Detail == "" {
					t.Errorf("report %d: %+v, want %v", i, out, test.want[i])
				}
				uncertain = uncertain || out.Unanswered
			}
			if want := map[bool]report.Result{false: delivered, true: later}[uncertain]; request.Result != want {
				t.Errorf("%+v, want %v", request, want)
			}
		})
	}
}

// Each fault of a bulk request, with what it leaves open: what was surely not taken is tried again, what may have been is said to be
// uncertain, and no report is at fault for its file.
func TestBulkFaults(t *testing.T) {
	for _, test := range []struct {
		fault     double.Fault
		want      report.Result // of each report and of the request
		uncertain bool
		wait      time.Duration // until which the request says to wait; 0 if it does not
		taken     int           // of 5 reports
	}{
		{double.Fault{Mode: double.DropAfter}, report.Later, true, 0, 5},
		{double.Fault{Mode: double.HalfSaved}, report.Later, true, 0, 3},
		{double.Fault{Mode: double.Drop}, report.Later, true, 0, 0},
		{double.Fault{Mode: double.Hold, Delay: setting.Duration(time.Hour)}, report.Later, true, 0, 5},
		{double.Fault{Mode: double.Delay, Delay: setting.Duration(time.Hour)}, report.Later, true, 0, 0},
		{double.Fault{Mode: double.Truncated}, report.Later, true, 0, 5},
		{double.Fault{Mode: double.WrongLength}, report.Later, true, 0, 5},
		{double.Fault{Mode: double.BadGateway}, report.Later, true, 0, 0},
		{double.Fault{Mode: double.Answer, Status: 504}, report.Later, true, 0, 0},
		{double.Fault{Mode: double.Answer, Status: 524}, report.Later, true, 0, 0},
		{double.Fault{Mode: double.Internal}, report.Later, false, 0, 0},
		{double.Fault{Mode: double.Garbage}, report.Later, false, 0, 0},
		{double.Fault{Mode: double.Portal}, report.Later, false, 0, 0},
		{double.Fault{Mode: double.TooLarge}, report.Paused, false, 12 * time.Hour, 0},
		{double.Fault{Mode: double.Answer, Status: 413, Body: "<html>"}, report.Paused, false, 12 * time.Hour, 0},
		{double.Fault{Mode: double.Invalid}, report.Paused, false, 12 * time.Hour, 0},
		{double.Fault{Mode: double.RecentlyOf422}, report.Paused, false, 12 * time.Hour, 0},
		{double.Fault{Mode: double.TooFast}, report.Paused, false, 30 * time.Second, 0},
		{double.Fault{Mode: double.Maintenance}, report.Paused, false, 2 * time.Minute, 0},
		{double.Fault{Mode: double.Revoked}, report.Paused, false, 0, 0},
		{double.Fault{Mode: double.Payment}, report.Paused, false, 0, 0},
		{double.Fault{Mode: double.Suspended}, report.Paused, false, 0, 0},
		{double.Fault{Mode: double.Redirected}, report.Paused, false, 0, 0},
	} {
		t.Run(fmt.Sprint(test.fault.Mode, test.fault.Status), func(t *testing.T) {
			d, url := far(t, double.Options{Key: key})
			test.fault.Endpoint = "bulk-report"
			d.SetFaults(test.fault)
			c, err := abuseipdb.New(abuseipdb.Config{URL: url, Timeout: setting.Duration(50 * time.Millisecond)}, setting.NewSecret(key), "x", nil)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			each, request := c.SendBulk(t.Context(), many(5))
			for i, out := range append(each, request) {
				if out.Result != test.want || out.Unanswered != test.uncertain || out.Detail == "" || strings.Contains(out.Detail, key) {
					t.Errorf("report %d: %+v", i, out)
				}
			}
			if wait := request.Until.Sub(began); request.Until.IsZero() != (test.wait == 0) || test.wait != 0 && (wait < test.wait-time.Second || wait > test.wait+time.Minute) {
				t.Errorf("waits until %v", request.Until)
			}
			if n := len(d.Reports()); n != test.taken {
				t.Errorf("%d were taken", n)
			}
			d.SetFaults()
			each, request = c.SendBulk(t.Context(), many(5))
			if got := results(each); request.Result != report.Delivered || got[report.Delivered] != 5-test.taken || got[report.Duplicate] != test.taken {
				t.Errorf("again: %+v %v", request, got)
			}
		})
	}
}

// The quota of bulk files is one of its own, and closes neither report nor check.
func TestBulkQuota(t *testing.T) {
	d, url := far(t, double.Options{Key: key})
	c := client(t, url, key)
	for n := range 6 {
		d.Step(time.Minute)
		each, request := c.SendBulk(t.Context(), many(2))
		if n == 5 && (request.Result != report.Paused || request.Until.IsZero() || each[0].Result != report.Paused || c.Bulk().Requests != 0) {
			t.Errorf("file %d: %+v %+v", n, request, each)
		}
	}
	if out := c.Send(t.Context(), many(9)[8]); out.Result != report.Delivered {
		t.Errorf("%+v", out)
	}
}

// A file that is too large is followed by one of half of its rows.
func TestBulkTooLarge(t *testing.T) {
	d, url := far(t, double.Options{Key: key, Plan: "premium"})
	c := client(t, url, key)
	d.SetFaults(double.Fault{Mode: double.TooLarge})
	for _, want := range []int{4_000, 2_000, 1_000, 500, 250, 125, 100, 100} {
		c.SendBulk(t.Context(), many(8_000))
		if got := c.Bulk().Reports; got != want {
			t.Errorf("%d rows next, want %d", got, want)
		}
	}
}

// Whatever a comment had in it, its cell has no quote, no backslash, no control character, and no formula.
func TestBulkCell(t *testing.T) {
	texts := append(reporttest.HostileTexts(), "=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "|cmd", "%0", "=-+@", `"`, `\`, `\"`, `a"b\c`, "\\\n=1", "")
	for _, text := range texts {
		got := abuseipdb.Cell(text)
		if strings.ContainsAny(got, "\"\\\r\n\t\x00\x1b") || got != "" && strings.ContainsAny(got[:1], "=+-@|% ") {
			t.Errorf("%.40q became %.40q", text, got)
		}
	}
	if got := abuseipdb.Cell("sshd: 5 failed logins, port 22/tcp"); got != "sshd: 5 failed logins, port 22/tcp" {
		t.Errorf("%q", got)
	}
}

// answers is a transport whose every answer is 200 with a body.
type answers string

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(a))), Request: r}, nil
}

// Whatever a server answers to a bulk file, each report has an outcome, and no more are delivered than the answer counts as saved.
func FuzzBulkAnswer(f *testing.F) {
	for _, body := range []string{
		`{"data":{"savedReports":3,"invalidReports":[{"error":"Duplicate IP","input":"198.18.0.0","rowNumber":2}]}}`,
		`{"data":{"savedReports":4}}`, `{"data":{"savedReports":-1,"invalidReports":[{"rowNumber":5}]}}`, `{"data":{"savedReports":2,"invalidReports":[{"input":"198.18.0.1"},{"input":"::ffff:198.18.0.2"}]}}`,
		`{"data":null}`, `[]`, ``, `{"data":{"savedReports":1e3}}`,
	} {
		f.Add(body)
	}
	all := many(4)
	f.Fuzz(func(t *testing.T, body string) {
		c, err := abuseipdb.New(abuseipdb.Config{}, setting.NewSecret(key), "tattled/test", answers(body))
		if err != nil {
			t.Fatal(err)
		}
		each, request := c.SendBulk(t.Context(), all)
		var count struct{ Data struct{ SavedReports int } }
		_ = json.Unmarshal([]byte(body), &count) // else it is 0, and nothing may count as delivered
		got := results(each)
		if len(each) != len(all) || got[0] != 0 || request.Result == 0 || got[report.Delivered] > max(0, count.Data.SavedReports) {
			t.Errorf("%q: %+v %+v", body, request, each)
		}
		for _, out := range each {
			if len(out.Detail) > report.MaxDetail || report.Harmless(out.Detail, report.MaxDetail) != out.Detail || out.Detail == "" {
				t.Errorf("%q: %q", body, out.Detail)
			}
		}
	})
}
