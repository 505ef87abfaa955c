package abuseipdb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tattled/report"
)

// answer is what came back for one request: either err, or a status with what belongs to it.
type answer struct {
	err    error
	sent   bool // with err: the request was on its way
	status int
	header http.Header
	body   []byte
	key    string // to keep it out of what is shown
	asked  time.Time
}

// The bounds of a pause. A server that names a later time is not believed: the quota is a daily one.
const (
	maxDaily  = 25 * time.Hour
	maxShort  = 15 * time.Minute
	lateAfter = 86340 * time.Second
)

// recently is the text of the refusal of an address that was reported already: "You can only report the same IP address
// (`127.0.0.2`) once in 15 minutes." It was seen with the statuses 403, 422 and 429.
var recently = regexp.MustCompile(`once in \d+ minutes`)

// daily begins the text of an exhausted quota, "Daily rate limit of 1000 requests exceeded for this endpoint".
const daily = "Daily rate limit"

// outcome classifies the answer by status and, where the status is not enough, by text. e is the endpoint that gave it.
func (a answer) outcome(e *endpoint) report.Outcome {
	if a.err != nil {
		return report.Outcome{Result: report.Later, Unanswered: a.sent, Detail: a.clean("no answer: " + reason(a.err))}
	}
	detail, typed := a.detail()
	say := func(result report.Result, until time.Time) report.Outcome {
		return report.Outcome{Result: result, Until: until, Detail: a.clean(fmt.Sprintf("status %d: %s", a.status, detail)), Remedy: a.remedy(result)}
	}
	switch {
	case a.status == http.StatusOK && a.json():
		// A body that was cut short does not unmake a success.
		return report.Outcome{Result: report.Delivered}
	case a.status == http.StatusOK:
		// A page that says 200 to everything (a portal, the wrong host) has not taken a report.
		return report.Outcome{Result: report.Later, Detail: "status 200, but not JSON", Remedy: wrongURL}
	case a.duplicate(detail):
		return say(report.Duplicate, time.Time{})
	case a.status == http.StatusTooManyRequests:
		return say(a.limited(e))
	case a.status == http.StatusUnprocessableEntity:
		return say(report.Rejected, time.Time{})
	case a.status == http.StatusUnauthorized, a.status == http.StatusPaymentRequired, a.status == http.StatusForbidden,
		a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed, a.status == http.StatusGone,
		a.status >= 300 && a.status < 400:
		// The key, the plan, the account or the URL is wrong, for every report alike: somebody must look.
		return say(report.Paused, time.Time{})
	case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
		return say(report.Paused, a.reopens(maxShort))
	case a.status >= 400 && a.status < 500 && a.status != http.StatusRequestTimeout && typed:
		return say(report.Rejected, time.Time{})
	default:
		return say(report.Later, time.Time{})
	}
}

// wrongURL is the remedy for answers that the API does not give.
const wrongURL = "report.abuseipdb.url must be the API's address, " + DefaultURL + ", and nothing on the way may answer in its place"

// tooFew is the remedy for a quota that is used up.
const tooFew = "nothing is lost: what waits goes by bulk files, else after the reset. If that is too late every day, let fewer policies report, or get a larger plan"

// remedy says what can be done about an answer, "" where only waiting helps or nothing needs to be done. What waits is kept all the while.
func (a answer) remedy(result report.Result) string {
	if result != report.Paused {
		return ""
	}
	switch {
	case a.status == http.StatusUnauthorized:
		return "the key is wrong or was revoked: make one at https://www.abuseipdb.com/account/api, write it alone into report.abuseipdb.key_file and reload"
	case a.status == http.StatusPaymentRequired:
		return "see at https://www.abuseipdb.com/account which plan the account has, and whether it is paid"
	case a.status == http.StatusForbidden:
		return "log in at https://www.abuseipdb.com/account: is its mail address verified, and may it report?"
	case a.status == http.StatusTooManyRequests && a.spent():
		return tooFew
	case a.status < 500 && a.status != http.StatusTooManyRequests:
		return wrongURL
	}
	return ""
}

// spent tells whether the answer is about a quota that is used up.
func (a answer) spent() bool {
	detail, _ := a.detail()
	return strings.Contains(detail, daily) || a.header.Get("X-RateLimit-Remaining") == "0"
}

// json tells whether the answer was meant to be JSON, be it whole or not.
func (a answer) json() bool {
	kind := a.header.Get("Content-Type")
	return strings.Contains(kind, "json") || kind == "" && bytes.HasPrefix(a.body, []byte("{"))
}

// duplicate tells whether the address was reported within the last 15 minutes.
func (a answer) duplicate(detail string) bool {
	switch a.status {
	case http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests:
		return recently.MatchString(detail)
	}
	return false
}

// limited judges a 429 that is not about one address: the daily quota closes the endpoint until it is reset, anything
// else for as long as the server says.
func (a answer) limited(e *endpoint) (report.Result, time.Time) {
	if !a.spent() {
		return report.Paused, a.reopens(maxShort)
	}
	if e.lateReset(a) {
		return report.Paused, a.asked.Add(10 * time.Second)
	}
	until := a.reopens(maxDaily)
	if until.IsZero() {
		until = a.asked.Add(time.Hour)
	}
	return report.Paused, until
}

// lateReset tells whether the quota should have been reset just now: a wait of nearly a whole day right after the reset
// was seen to be the server's being late (cowrie waits 10 s and tries once more). It says so once in ten minutes.
func (e *endpoint) lateReset(a answer) bool {
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || time.Duration(seconds)*time.Second <= lateAfter {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.asked.Sub(e.late) < 10*time.Minute {
		return false
	}
	e.late = a.asked
	return true
}

// reopens returns when the server wants to be asked again, by Retry-After (seconds or a date), else by
// X-RateLimit-Reset (seconds since 1970); at most limit from now; zero if it does not say.
func (a answer) reopens(limit time.Duration) time.Time {
	var until time.Time
	after := a.header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
		until = a.asked.Add(time.Duration(seconds) * time.Second)
	} else if date, err := http.ParseTime(after); err == nil {
		until = date
	} else if epoch, err := strconv.ParseInt(a.header.Get("X-RateLimit-Reset"), 10, 64); err == nil && epoch > 0 && epoch < 1<<40 {
		until = time.Unix(epoch, 0)
	}
	switch {
	case until.IsZero():
		return until
	case until.After(a.asked.Add(limit)):
		return a.asked.Add(limit)
	case until.Before(a.asked.Add(time.Second)):
		return a.asked.Add(time.Second)
	default:
		return until
	}
}

// detail returns what the server said is wrong, and whether it said so in its own form:
// {"errors":[{"detail":"...","status":422}]}.
func (a answer) detail() (text string, typed bool) {
	var body struct {
		Errors []struct {
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(a.body, &body) == nil && len(body.Errors) > 0 && body.Errors[0].Detail != "" {
		return body.Errors[0].Detail, true
	}
	return http.StatusText(a.status), false
}

// score returns the confidence score of a successful answer.
func (a answer) score() (int, bool) {
	var body struct {
		Data struct {
			Score *int `json:"abuseConfidenceScore"`
		} `json:"data"`
	}
	if json.Unmarshal(a.body, &body) != nil || body.Data.Score == nil || *body.Data.Score < 0 || *body.Data.Score > 100 {
		return 0, false
	}
	return *body.Data.Score, true
}

// clean makes a detail of text: the key cut out, should a server or proxy echo it, and harmless to show.
func (a answer) clean(text string) string {
	if a.key != "" {
		text = strings.ReplaceAll(text, a.key, "<secret>")
	}
	return report.Harmless(text, report.MaxDetail)
}

// reason returns err without the URL, which the operator knows.
func reason(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}
