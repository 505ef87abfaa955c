package double

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// again is how long the same address may not be reported again (documented).
const again = 15 * time.Minute

// maxComment is where comments are cut, in bytes (documented for bulk-report, observed for report).
const maxComment = 1024

// report is POST report. The lock must be held.
func (d *Double) report(c *call) reply {
	text := c.form.Get("ip")
	if text == "" {
		return invalid("The ip field is required.", "ip") // text synthetic
	}
	addr, valid := parseAddr(text)
	if !valid {
		return invalid(badAddress, "ip")
	}
	categories, valid := parseCategories(c.form["categories"])
	if !valid {
		return invalid("The categories must be a comma separated list of category ids.", "categories") // text synthetic
	}
	timestamp := c.form.Get("timestamp")
	if _, err := time.Parse(time.RFC3339, timestamp); timestamp != "" && err != nil {
		// A "+" that was not encoded comes as a space and is refused (observed); the text is synthetic, and so is being as
		// strict as RFC 3339. The reaction to a time in the future or long ago is unknown: it is taken.
		return invalid("The timestamp is not a valid date.", "timestamp")
	}
	if d.recently(c.key, addr) {
		if d.options.FreeDuplicates {
			c.use.Count--
		}
		// No Retry-After was seen with it (observed).
		return refuse(http.StatusTooManyRequests, tooSoon(addr), "ip")
	}
	// Private and loopback addresses are taken (documented by the tests of AbuseIPDB's own client). The same address,
	// comment and categories within 24 hours are merged by the real one (documented); they are kept apart here, because
	// a double has to show what was sent twice.
	d.accept(c.key, addr, Report{Categories: categories, Comment: truncate(c.form.Get("comment"), maxComment), Timestamp: timestamp})
	return ok(struct {
		IP    string `json:"ipAddress"`
		Score int    `json:"abuseConfidenceScore"`
	}{addr.String(), d.known[addr].Score})
}

// tooSoon is what the 15-minute rule says (documented).
func tooSoon(addr netip.Addr) string {
	return fmt.Sprintf("You can only report the same IP address (`%s`) once in 15 minutes.", addr)
}

// recently applies the 15-minute rule. 127.0.0.2 always simulates it (documented). Whether it is per key or per account is
// unknown. The lock must be held.
func (d *Double) recently(key string, addr netip.Addr) bool {
	last, before := d.last[reported{key, addr}]
	age := d.now().Sub(last)
	return addr == netip.AddrFrom4([4]byte{127, 0, 0, 2}) || before && age < again && age > -again
}

// accept keeps a report. The lock must be held.
func (d *Double) accept(key string, addr netip.Addr, r Report) {
	r.IP, r.ReceivedAt = addr.String(), d.now()
	if len(d.last) >= d.options.Keep {
		for k, t := range d.last {
			if r.ReceivedAt.Sub(t) >= again {
				delete(d.last, k)
			}
		}
		if len(d.last) >= d.options.Keep {
			clear(d.last)
		}
	}
	d.last[reported{key, addr}] = r.ReceivedAt
	d.reports.add(stored{r, key})
}

// clearAddress is DELETE clear-address: it deletes the reports that the same account made (documented; here: the same key).
// The 15-minute rule goes on (synthetic). The lock must be held.
func (d *Double) clearAddress(c *call) reply {
	addr, valid := parseAddr(c.form.Get("ipAddress"))
	if !valid {
		return invalid(badAddress, "ipAddress")
	}
	all := slices.Collect(d.reports.each())
	kept := slices.DeleteFunc(slices.Clone(all), func(r stored) bool { return r.IP == addr.String() && r.Reporter == c.key })
	d.reports.fill(kept)
	return ok(map[string]int{"numReportsDeleted": len(all) - len(kept)})
}

// about returns the reports about an address that came after a time, newest first. The lock must be held.
func (d *Double) about(addr netip.Addr, since time.Time) []stored {
	var all []stored
	name := addr.String()
	for r := range d.reports.each() {
		if r.IP == name && !r.ReceivedAt.Before(since) {
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b stored) int { return b.ReceivedAt.Compare(a.ReceivedAt) })
	return all
}

// reportRow is a report as check and reports show it (documented).
type reportRow struct {
	ReportedAt  string  `json:"reportedAt"`
	Comment     string  `json:"comment"`
	Categories  []int   `json:"categories"`
	ReporterID  int     `json:"reporterId"`
	CountryCode *string `json:"reporterCountryCode"`
	CountryName *string `json:"reporterCountryName"`
}

// row shows a report. The number of its reporter is made of the key, the reporter's country is not known (both synthetic).
func (r stored) row() reportRow {
	id, _ := strconv.ParseUint(r.Reporter[:min(7, len(r.Reporter))], 16, 31)
	return reportRow{ReportedAt: stamp(r.ReceivedAt), Comment: r.Comment, Categories: r.Categories, ReporterID: int(id)}
}

func rows(all []stored) []reportRow {
	out := []reportRow{}
	for _, r := range all {
		out = append(out, r.row())
	}
	return out
}

// stamp writes a time as the API does (documented).
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05+00:00") }

// parseCategories reads comma-separated or repeated numbers: 1 to 30 of them (documented), each 1 to 23 (the categories
// are documented, that others are refused is synthetic).
func parseCategories(values []string) ([]int, bool) {
	var all []int
	for text := range strings.SplitSeq(strings.Join(values, ","), ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > 23 {
			return nil, false
		}
		all = append(all, n)
	}
	return all, len(all) <= 30
}

// truncate cuts a comment after limit bytes, between characters (synthetic).
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// number reads a parameter that is a number within bounds; a missing one is the default.
func number(text string, otherwise, least, most int) (int, bool) {
	n, err := strconv.Atoi(cmp.Or(text, strconv.Itoa(otherwise)))
	return n, err == nil && n >= least && n <= most
}
