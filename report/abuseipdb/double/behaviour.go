package double

// Mark says how sure a behaviour is.
type Mark string

// The marks.
const (
	Documented Mark = "documented" // AbuseIPDB says so: docs.abuseipdb.com, its bulk-report and policy pages, its own client and its tests
	Observed   Mark = "observed"   // others recorded it of the real API
	Synthetic  Mark = "synthetic"  // a guess that had to be made; nothing may be concluded from it
)

// Behaviour is one thing that the double does.
type Behaviour struct {
	Name string `json:"name"`
	Mark Mark   `json:"mark"`
	What string `json:"what"`
}

// Behaviours lists what the double does. A test shows each of them.
func Behaviours() []Behaviour {
	return []Behaviour{
		{"key-header", Documented, "the key comes in the header Key"},
		{"key-parameter", Documented, "or as the parameter key"},
		{"key-wrong", Observed, "401 and its text for a missing, wrong or revoked key"},
		{"key-too-many", Synthetic, "401 for the 1,001st key"},
		{"no-endpoint", Synthetic, "404 for a path that is not an endpoint, 405 for a wrong method"},
		{"accept", Documented, "errors are HTML for a client that does not accept application/json"},
		{"error-form", Documented, `errors are {"errors":[{"detail","status","source":{"parameter"}}]}, source not always`},
		{"slashes", Observed, `a slash comes as \/`},
		{"forms", Documented, "parameters come as form, query or JSON, with every method"},
		{"plain-http", Documented, "plain HTTP is answered with 302 to HTTPS (--redirect)"},
		{"quotas", Documented, "requests a day by endpoint and plan"},
		{"quota-headers", Documented, "X-RateLimit-Limit and X-RateLimit-Remaining on every answer"},
		{"quota-used-up", Documented, "429, its text, Retry-After and X-RateLimit-Reset"},
		{"reset-utc", Observed, "quotas begin again at 00:00 UTC"},
		{"reset-eastern", Documented, "with --eastern at 05:00 UTC, as in the documentation's sample; in summer as well, which is synthetic"},
		{"quota-counts", Synthetic, "a request with a right key counts, also one that is refused as invalid"},
		{"report", Documented, "report stores and answers address and score"},
		{"report-address", Synthetic, "report: 422 without an address, its text; that an IPv4-mapped address is the IPv4 one"},
		{"address-invalid", Observed, "the text of 422 for an address that is not one"},
		{"report-categories", Synthetic, "report: 422 for categories other than 1 to 23, and for more than 30"},
		{"report-timestamp", Synthetic, "report: 422 for a timestamp that is not RFC 3339; any time is taken"},
		{"report-private", Documented, "private and loopback addresses are taken"},
		{"fifteen-minutes", Documented, "429 and its text for an address that was reported within 15 minutes; always for 127.0.0.2"},
		{"fifteen-minutes-key", Synthetic, "that this goes by key, not by account"},
		{"fifteen-minutes-cost", Observed, "such a refusal counts against the quota (not with --free-duplicates)"},
		{"fifteen-minutes-wait", Observed, "such a refusal has no Retry-After"},
		{"comment-cut", Observed, "report cuts a comment after 1,024 bytes"},
		{"not-merged", Synthetic, "the same report within a day is kept twice; the real one merges them"},
		{"check", Documented, "check: fields, maxAgeInDays, country name and reports with verbose"},
		{"check-score", Synthetic, "the score is what was set, else 0"},
		{"check-age", Documented, "422 and its text for maxAgeInDays other than 1 to 365"},
		{"check-reserved", Observed, "a reserved address is not public, its usage type is Reserved"},
		{"reports", Documented, "reports: pages of 1 to 100, 25 by default"},
		{"reports-order", Synthetic, "reports: newest first; the form of links; the wording of 422"},
		{"blacklist", Documented, "blacklist: by score and last report, 100 and 10,000 by default, as text with X-Generated-At"},
		{"blacklist-plan", Documented, "without a subscription confidenceMinimum is silently 100"},
		{"blacklist-countries", Synthetic, "countries are silently ignored then; what a limit beyond the plan's does; the wording of 422"},
		{"check-block", Documented, "check-block: fields; host bits are allowed"},
		{"check-block-plan", Documented, "402 beyond the network and age of the plan"},
		{"check-block-text", Synthetic, "the text of 402; plans of IPv6 networks; address spaces other than Loopback; the order"},
		{"bulk", Documented, "bulk-report: headings, columns, savedReports and invalidReports"},
		{"bulk-dialect", Documented, `a quote within quotes is written \", a backslash does not escape itself`},
		{"bulk-strict", Synthetic, "422 for a file with any other quoting, other headings, or a row without 4 columns"},
		{"bulk-bounds", Documented, "less than 2 MB and at most 10,000 lines with the heading"},
		{"bulk-bounds-status", Synthetic, "413 and 422 beyond them; that 2 MB are 2,000,000 bytes"},
		{"bulk-rows", Documented, "Duplicate IP, Invalid IP and Invalid Category"},
		{"bulk-duplicate", Synthetic, "Duplicate IP for an address twice in a file, and for one reported within 15 minutes"},
		{"bulk-date", Synthetic, "Invalid Date, and which dates are valid; that the heading is row 1"},
		{"clear-address", Documented, "clear-address deletes the own reports about an address and counts them"},
		{"clear-address-rule", Synthetic, "the 15-minute rule goes on after that"},
	}
}
