package abuseipdb

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"

	"tattled/report"
)

// Clear has AbuseIPDB delete the reports about addr that this account made, and returns how many there were. The outcome is Delivered if
// it did, else it says why not. There are few such requests a day (5 on the free plan), and none is retried.
func (c *Client) Clear(ctx context.Context, addr netip.Addr) (deleted int, out report.Outcome) {
	if c.DryRun() {
		return 0, report.Outcome{Result: report.DryRun, Detail: "no API key is configured"}
	}
	e := &endpoint{name: "clear-address"}
	answer := c.ask(ctx, e, http.MethodDelete, url.Values{"ipAddress": {address(addr)}})
	if out = answer.outcome(e); out.Result != report.Delivered {
		return 0, out
	}
	var body struct {
		Data struct{ NumReportsDeleted *int }
	}
	if json.Unmarshal(answer.body, &body) != nil || body.Data.NumReportsDeleted == nil {
		return 0, report.Outcome{Result: report.Later, Unanswered: true, Detail: "the answer does not say how many reports were deleted"}
	}
	return *body.Data.NumReportsDeleted, out
}
