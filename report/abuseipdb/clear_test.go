package abuseipdb_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/report"
	"tattled/report/abuseipdb"
	"tattled/report/abuseipdb/double"
	"tattled/report/reporttest"
)

// The request is the documented one, and only an answer that says how many reports were deleted is a success.
func TestClear(t *testing.T) {
	addr := netip.MustParseAddr("203.0.113.9")
	for _, c := range []struct {
		status  int
		body    string
		result  report.Result
		deleted int
	}{
		{200, `{"data":{"numReportsDeleted":3}}`, report.Delivered, 3},
		{200, `{"data":{"numReportsDeleted":0}}`, report.Delivered, 0},
		{200, `{"data":{}}`, report.Later, 0},
		{200, `{"da`, report.Later, 0},
		{401, `{"errors":[{"detail":"Authentication failed.","status":401}]}`, report.Paused, 0},
		{422, `{"errors":[{"detail":"The ip address must be valid.","status":422}]}`, report.Rejected, 0},
		{429, `{"errors":[{"detail":"Daily rate limit of 5 requests exceeded for this endpoint.","status":429}]}`, report.Paused, 0},
		{500, `<html>`, report.Later, 0},
	} {
		var seen string
		cl, asked := answering(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			seen = r.Method + " " + r.URL.String() + " " + string(body)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		})
		deleted, out := cl.Clear(t.Context(), addr)
		if deleted != c.deleted || out.Result != c.result || asked.Load() != 1 || seen != "DELETE /api/v2/clear-address ipAddress=203.0.113.9" {
			t.Errorf("%d %s: %d, %v, after %d requests, the last %q", c.status, c.body, deleted, out, asked.Load(), seen)
		}
	}
	cl := client(t, "http://127.0.0.1:1/api/v2", "")
	if _, out := cl.Clear(t.Context(), addr); out.Result != report.DryRun {
		t.Errorf("without a key: %v", out)
	}
}

// The double deletes what this account reported, once.
func TestClearOfTheDouble(t *testing.T) {
	d, err := double.New(doubleOptions())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(d)
	defer server.Close()
	cl := client(t, server.URL+"/api/v2", key)
	r := reporttest.Report(5, time.Now())
	if out := cl.Send(t.Context(), r); out.Result != report.Delivered {
		t.Fatal(out)
	}
	for _, want := range []int{1, 0} {
		if deleted, out := cl.Clear(t.Context(), r.Addr); deleted != want || out.Result != report.Delivered {
			t.Errorf("%d deleted, want %d (%v)", deleted, want, out)
		}
	}
}

func TestParseCategories(t *testing.T) {
	for text, want := range map[string][]int{
		"18,22": {18, 22}, "ssh,brute-force": {18, 22}, "Port-Scan": {14}, "14,14,port-scan": {14},
	} {
		if got, err := abuseipdb.ParseCategories(strings.Split(text, ",")); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"0": "no such category", "24": "no such category", "portscan": "did you mean port-scan", "": "no such category", "22": "goes with another", "vpn-ip": "goes with another",
	} {
		if got, err := abuseipdb.ParseCategories(strings.Split(text, ",")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, err := abuseipdb.ParseCategories(nil); err == nil {
		t.Error("none at all was taken")
	}
	if n := len(abuseipdb.CategoryNames()); n != 23 {
		t.Errorf("%d categories", n)
	}
}
