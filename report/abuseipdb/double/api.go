package double

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// again is how long the same address may not be reported again (documented).
const again = 15 * time.Minute

// reply is an answer before it is written.
type reply struct {
	status int
	header map[string]string
	body   any
}

// problem is one element of an error answer: {"errors":[{"detail","status","source":{"parameter"}}]} (documented).
type problem struct {
	Detail string  `json:"detail"`
	Status int     `json:"status"`
	Source *source `json:"source,omitempty"`
}

type source struct {
	Parameter string `json:"parameter"`
}

// refuse makes an error answer. parameter "" leaves the source out.
func refuse(status int, detail, parameter string) reply {
	p := problem{Detail: detail, Status: status}
	if parameter != "" {
		p.Source = &source{parameter}
	}
	return reply{status: status, body: map[string][]problem{"errors": {p}}}
}

// serveAPI serves everything under /api/v2/: journal, faults, key, quota, endpoint, in this order.
func (d *Double) serveAPI(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	endpoint := strings.TrimPrefix(r.URL.Path, "/api/v2/")
	entry := Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Body: string(body[:min(len(body), maxJournal)]),
		ContentType: r.Header.Get("Content-Type"), Accept: r.Header.Get("Accept"), UserAgent: r.UserAgent(),
	}
	form, errForm := parameters(r, body)
	key := r.Header.Get("Key")
	if key == "" {
		key = form.Get("key") // documented, and discouraged
	}
	entry.Key = d.judgeKey(key)
	fault := d.takeFault(endpoint)
	entry.Fault = fault.Mode
	if fault.Mode == Drop || !fault.wait(r, Delay) {
		d.record(entry)
		panic(http.ErrAbortHandler) // nothing was done
	}
	out, injected := fault.instead(d)
	switch {
	case injected:
	case err != nil:
		out = refuse(http.StatusRequestEntityTooLarge, "The request is too large.", "") // synthetic
	case errForm != nil:
		out = refuse(http.StatusBadRequest, "The request could not be read.", "") // synthetic
	default:
		out = d.answer(r.Method, endpoint, key, entry.Key == "right", form)
	}
	entry.Status = out.status
	d.record(entry)
	if fault.Mode == DropAfter {
		panic(http.ErrAbortHandler) // the report is in: the client must find out by asking again
	}
	fault.wait(r, Hold)
	fault.write(w, r, out)
}

// judgeKey says what a request's key is: any but an empty one is right where none is configured.
func (d *Double) judgeKey(key string) string {
	switch {
	case key == "":
		return "none"
	case d.options.Key != "" && key != d.options.Key:
		return "wrong"
	default:
		return "right"
	}
}

func (d *Double) record(entry Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry.At = d.now()
	d.requests.add(entry)
}

// answer does what was asked.
func (d *Double) answer(method, endpoint, key string, right bool, form url.Values) reply {
	if !right {
		return unauthorized()
	}
	verbs := map[string]string{"report": http.MethodPost, "check": http.MethodGet}
	verb, known := verbs[endpoint]
	switch {
	case !known:
		return refuse(http.StatusNotFound, fmt.Sprintf("The double has no endpoint %q: it has report and check.", endpoint), "") // synthetic
	case verb != method:
		return refuse(http.StatusMethodNotAllowed, fmt.Sprintf("The %s method is not supported for this route.", method), "") // synthetic
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	use := d.use(key, endpoint)
	if use == nil {
		return unauthorized()
	}
	limit := d.limits[endpoint]
	if use.count >= limit {
		return d.exhausted(limit)
	}
	use.count++
	var out reply
	if endpoint == "report" {
		out = d.report(key, form, use)
	} else {
		out = d.check(form)
	}
	// Every answer carries these two (documented).
	out.header = map[string]string{
		"X-RateLimit-Limit":     strconv.FormatInt(limit, 10),
		"X-RateLimit-Remaining": strconv.FormatInt(limit-use.count, 10),
	}
	return out
}

// unauthorized is the answer to a wrong key (text observed by many).
func unauthorized() reply {
	return refuse(http.StatusUnauthorized, "Authentication failed. Your API key is either missing, incorrect, or revoked. "+
		"Note: The APIv2 key differs from the APIv1 key.", "")
}

// use returns what key has used of endpoint today; nil if there are too many keys (synthetic). The lock must be held.
func (d *Double) use(key, endpoint string) *used {
	byEndpoint := d.usage[key]
	if byEndpoint == nil {
		if len(d.usage) >= maxKeys {
			return nil
		}
		byEndpoint = map[string]*used{}
		d.usage[key] = byEndpoint
	}
	today := d.now().In(d.zone).Format(time.DateOnly)
	u := byEndpoint[endpoint]
	if u == nil || u.day != today {
		u = &used{day: today}
		byEndpoint[endpoint] = u
	}
	return u
}

// exhausted is the answer when the day's quota is used up (documented, headers included). The lock must be held.
func (d *Double) exhausted(limit int64) reply {
	out := refuse(http.StatusTooManyRequests,
		fmt.Sprintf("Daily rate limit of %d requests exceeded for this endpoint. See headers for additional details.", limit), "")
	now := d.now().In(d.zone)
	reset := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, d.zone)
	out.header = map[string]string{
		"Retry-After":           strconv.Itoa(int(reset.Sub(now)/time.Second) + 1),
		"X-RateLimit-Limit":     strconv.FormatInt(limit, 10),
		"X-RateLimit-Remaining": "0",
		"X-RateLimit-Reset":     strconv.FormatInt(reset.Unix(), 10),
	}
	return out
}

const badAddress = "The ip address must be a valid IPv4 or IPv6 address (e.g. 8.8.8.8 or 2001:4860:4860::8888)." // observed

// report is POST report. The lock must be held.
func (d *Double) report(key string, form url.Values, use *used) reply {
	text := form.Get("ip")
	if text == "" {
		return refuse(http.StatusUnprocessableEntity, "The ip field is required.", "ip") // text synthetic
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return refuse(http.StatusUnprocessableEntity, badAddress, "ip")
	}
	addr = addr.Unmap() // synthetic
	categories, ok := parseCategories(form["categories"])
	if !ok {
		return refuse(http.StatusUnprocessableEntity, "The categories must be a comma separated list of category ids.", "categories") // text synthetic
	}
	timestamp := form.Get("timestamp")
	if _, err := time.Parse(time.RFC3339, timestamp); timestamp != "" && err != nil {
		// A "+" that was not encoded comes as a space and is refused (observed); the text is synthetic, and so is being as
		// strict as RFC 3339. The reaction to a time in the future or long ago is unknown: it is taken.
		return refuse(http.StatusUnprocessableEntity, "The timestamp is not a valid date.", "timestamp")
	}
	now := d.now()
	last, before := d.last[reported{key, addr}]
	// 127.0.0.2 always simulates the short-term limit (documented). Whether the rule is per key or per account is unknown.
	if addr == netip.AddrFrom4([4]byte{127, 0, 0, 2}) || before && now.Sub(last) < again && now.Sub(last) > -again {
		if d.options.FreeDuplicates {
			use.count--
		}
		// No Retry-After was seen with it (observed).
		return refuse(http.StatusTooManyRequests, fmt.Sprintf("You can only report the same IP address (`%s`) once in 15 minutes.", addr), "ip")
	}
	d.accept(key, Report{
		IP: addr.String(), Categories: categories, Comment: truncate(form.Get("comment"), 1024),
		Timestamp: timestamp, ReceivedAt: now,
	}, addr)
	// Private and loopback addresses are taken (documented by the tests of AbuseIPDB's own client). The same address,
	// comment and categories within 24 hours are merged by the real one (documented); they are kept apart here, because
	// a double has to show what was sent twice.
	return reply{status: http.StatusOK, body: data(map[string]any{"ipAddress": addr.String(), "abuseConfidenceScore": d.scores[addr]})}
}

// accept keeps a report. The lock must be held.
func (d *Double) accept(key string, r Report, addr netip.Addr) {
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
	if len(d.counts) >= d.options.Keep {
		clear(d.counts)
	}
	d.last[reported{key, addr}] = r.ReceivedAt
	d.counts[addr]++
	d.reports.add(r)
}

// check is GET check: the fields are documented, the score is what was set, else 0 (synthetic), and what the real one
// knows of a place or a provider is null. The lock must be held.
func (d *Double) check(form url.Values) reply {
	addr, err := netip.ParseAddr(form.Get("ipAddress"))
	if err != nil || addr.Zone() != "" {
		return refuse(http.StatusUnprocessableEntity, badAddress, "ipAddress")
	}
	addr = addr.Unmap()
	if age := form.Get("maxAgeInDays"); age != "" {
		if days, err := strconv.Atoi(age); err != nil || days < 1 || days > 365 {
			return refuse(http.StatusUnprocessableEntity, "The max age in days must be between 1 and 365.", "maxAgeInDays")
		}
	}
	version := 4
	if addr.Is6() {
		version = 6
	}
	n := d.counts[addr]
	return reply{status: http.StatusOK, body: data(map[string]any{
		"ipAddress": addr.String(), "isPublic": addr.IsGlobalUnicast() && !addr.IsPrivate(), "ipVersion": version,
		"isWhitelisted": nil, "abuseConfidenceScore": d.scores[addr], "countryCode": nil, "usageType": nil, "isp": nil,
		"domain": nil, "hostnames": []string{}, "isTor": false, "totalReports": n, "numDistinctUsers": min(n, 1),
		"lastReportedAt": nil,
	})}
}

func data(fields map[string]any) map[string]any { return map[string]any{"data": fields} }

// parameters reads what was asked from the query and the body: a form (the documentation's curl), JSON (AbuseIPDB's own
// client), or nothing but the query, on a POST as well (the documentation's Python). All documented.
func parameters(r *http.Request, body []byte) (url.Values, error) {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return url.Values{}, err
	}
	if !strings.Contains(r.Header.Get("Content-Type"), "json") {
		more, err := url.ParseQuery(string(body))
		for name, values := range more {
			form[name] = append(form[name], values...)
		}
		return form, err
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		return form, err
	}
	for name, value := range fields {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, v := range list {
			form.Add(name, fmt.Sprint(v))
		}
	}
	return form, nil
}

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
	return all, len(all) <= 30 && !slices.Contains(all, 0)
}

// truncate cuts a comment after limit bytes (documented for bulk-report, observed for report), between characters
// (synthetic).
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// writeReply writes out as JSON in PHP's way, "/" as "\/" (observed); an error to a client that does not accept JSON as
// a page of HTML (documented).
func writeReply(w http.ResponseWriter, r *http.Request, out reply) {
	for name, value := range out.header {
		w.Header().Set(name, value)
	}
	accept := r.Header.Get("Accept")
	if out.status >= 400 && !strings.Contains(accept, "/json") && !strings.Contains(accept, "+json") {
		writePage(w, out.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache, private") // observed
	w.WriteHeader(out.status)
	_, _ = w.Write(encode(out.body)) // a client that left has no use for it
}

func encode(body any) []byte {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // of our own maps and strings
	}
	return []byte(strings.ReplaceAll(string(text), "/", `\/`))
}

func writePage(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	title := html.EscapeString(http.StatusText(status))
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html><head><title>%s</title></head><body><h1>%d %s</h1></body></html>\n", title, status, title)
}
