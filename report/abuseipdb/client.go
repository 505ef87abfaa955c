// Package abuseipdb talks to AbuseIPDB's API v2: it reports addresses (it is the Sender "abuseipdb") and asks for their
// scores. It decides nothing about who may be reported: policy's gate did, and the Courier asks it again. It makes one
// request a call; pace, back-off and retries are the Courier's. double is an AbuseIPDB of our own for trying and testing.
//
// The facts about the API, here and in double, come from AbuseIPDB's documentation (docs.abuseipdb.com), its own client
// (github.com/AbuseIPDB/laravel) and what users recorded. Where they are silent, the code says what it assumes.
package abuseipdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tattled/event"
	"tattled/report"
	"tattled/setting"
)

// Destination is the name of this Sender.
const Destination = "abuseipdb"

// maxAnswer bounds what is read of an answer, in bytes after decompression. The answers that matter have a few hundred.
const maxAnswer = 64 << 10

// oldest is how old an attack may be when it is reported. The reporting policy says 60 days.
const oldest = 59 * 24 * time.Hour

// Client is the API's client. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	agent   string
	timeout time.Duration
	http    *http.Client
	key     atomic.Pointer[setting.Secret]
	report  endpoint
	check   endpoint
	bulk    endpoint

	maxRows atomic.Int64 // of a bulk file
	reset   atomic.Int64 // when in the day quotas are reset, in seconds of the UTC day, as the API last said; 0 before it did
}

// endpoint is what the API said about one endpoint's quota.
type endpoint struct {
	name string

	mu        sync.Mutex
	known     bool
	limit     int64
	remaining int64
	noted     time.Time // when the two above were said
	resets    time.Time // when they are void at the latest, as far as the API said
	spent     time.Time // when an answer said that nothing is left, and was not the refusal that says until when
	late      time.Time // when a reset that was overdue was last waited for, see lateReset
}

// New returns a client for c, which has passed its Check. Without a key it is a dry run; what is certainly not a key is an error. agent is the User-Agent:
// "tattled/1.2". A nil transport means the usual one; a test may pass its own.
func New(c Config, key setting.Secret, agent string, transport http.RoundTripper) (*Client, error) {
	c = c.WithDefaults()
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	u, err := base(c.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if transport == nil {
		transport = newTransport(c.Timeout.D())
	}
	cl := &Client{base: u, agent: agent, timeout: c.Timeout.D()}
	cl.report.name, cl.check.name, cl.bulk.name = "report", "check", "bulk-report"
	cl.maxRows.Store(maxRows)
	// A redirect is never followed: the key would go along, and a POST would come out as a GET. The API itself redirects
	// plain http to https, which is a wrong setting here.
	cl.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	cl.SetKey(key)
	return cl, nil
}

func newTransport(timeout time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Control: report.DialControl}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    timeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    2,
		MaxConnsPerHost:        4,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: maxAnswer,
	}
}

// SetKey swaps the key, for a reload. Requests under way end with the old one.
func (c *Client) SetKey(key setting.Secret) {
	was := c.key.Swap(&key)
	if was != nil && was.Reveal() == key.Reveal() {
		return
	}
	for _, e := range []*endpoint{&c.report, &c.check, &c.bulk} { // another key has quotas of its own
		e.mu.Lock()
		e.known, e.spent = false, time.Time{}
		e.mu.Unlock()
	}
}

// DryRun tells whether there is no key, so that nothing is sent.
func (c *Client) DryRun() bool { return c.key.Load().IsZero() }

// Scope says, without giving the key away, which key and server a closed quota is about: 32 bits of a hash of both. The
// Courier keeps it with the pause.
func (c *Client) Scope() string {
	sum := sha256.Sum256([]byte(c.base.String() + "\x00" + c.key.Load().Reveal()))
	return hex.EncodeToString(sum[:4])
}

// OddKey says what is unusual about a key, "" if nothing is. It is a warning only: the API documents no form, but every
// key seen has 80 lower-case letters and digits.
func OddKey(key setting.Secret) string {
	text := key.Reveal()
	if text == "" {
		return ""
	}
	if len(text) != 80 {
		return fmt.Sprintf("the AbuseIPDB key has %d characters, keys usually have 80", len(text))
	}
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return "the AbuseIPDB key has characters other than lower-case letters and digits"
	}
	return ""
}

// checkKey refuses what is certainly not a key alone, without showing it.
func checkKey(key setting.Secret) error {
	text := key.Reveal()
	name, _, assigned := strings.Cut(text, "=")
	switch {
	case strings.ContainsAny(text, "\"'`"):
		return errors.New("the AbuseIPDB key has quotes: write the key alone, without them")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return errors.New("the AbuseIPDB key has a space or a character that is not ASCII: write the key alone, on one line")
	case assigned && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-") == "", strings.Contains(text, ":"):
		return errors.New("the AbuseIPDB key is written after a name: write the key alone, without the name")
	}
	return nil
}

// Quota is how many requests of one endpoint are left today, as the API last said.
type Quota struct {
	Endpoint         string
	Limit, Remaining int64
}

// Quota returns what is known: an endpoint appears after its first answer.
func (c *Client) Quota() []Quota {
	var all []Quota
	for _, e := range []*endpoint{&c.report, &c.check, &c.bulk} {
		e.mu.Lock()
		if e.known {
			all = append(all, Quota{e.name, e.limit, e.remaining})
		}
		e.mu.Unlock()
	}
	return all
}

// Destination returns "abuseipdb".
func (c *Client) Destination() string { return Destination }

// duplicateWindow is for how long AbuseIPDB refuses an address that the same account reported. It says so in the refusal.
const duplicateWindow = 15 * time.Minute

// DuplicateWindow implements report.DuplicateWindow.
func (c *Client) DuplicateWindow() time.Duration { return duplicateWindow }

// Send reports r. See report.Sender.
func (c *Client) Send(ctx context.Context, r *event.Report) report.Outcome {
	if out := Admissible(r, time.Now()); out.Result != 0 {
		return out
	}
	form := url.Values{
		"ip":         {address(r.Addr)},
		"categories": {categories(r)},
		"comment":    {Comment(r)},
		"timestamp":  {timestamp(r)},
	}
	if c.DryRun() {
		return report.Outcome{Result: report.DryRun, Detail: "no API key is configured"}
	}
	if out, spent := c.spent(&c.report, time.Now()); spent {
		return out
	}
	answer := c.ask(ctx, &c.report, http.MethodPost, form)
	out := answer.outcome(&c.report)
	if out.Result == report.Delivered {
		if score, ok := answer.score(); ok {
			out.Detail = fmt.Sprintf("the score is now %d", score)
		}
	}
	return out
}

// Admissible refuses what must not even be asked: the zero Outcome lets it pass. The age is measured against now, but never against a now that is more
// than 30 days behind the judgement: a clock that jumped years ahead must not throw the whole queue away.
func Admissible(r *event.Report, now time.Time) report.Outcome {
	if !r.Addr.IsValid() {
		return report.Outcome{Result: report.Rejected, Detail: "the report has no address"}
	}
	if latest := r.Judged.Add(30 * 24 * time.Hour); now.After(latest) {
		now = latest
	}
	if !r.First.IsZero() && now.Sub(r.First) > oldest {
		return report.Outcome{Result: report.Rejected, Detail: "the attack is more than 59 days old"}
	}
	return report.Outcome{}
}

// Check asks for addr's confidence score, counting reports of at most maxAge (rounded up to days, 1 to 365). The outcome
// is Delivered when score holds; otherwise it says why not, in the words of a Sender: DryRun means that there is no key,
// Rejected that the score cannot be known.
func (c *Client) Check(ctx context.Context, addr netip.Addr, maxAge time.Duration) (score int, out report.Outcome) {
	if c.DryRun() {
		return 0, report.Outcome{Result: report.DryRun, Detail: "no API key is configured"}
	}
	if out, spent := c.spent(&c.check, time.Now()); spent {
		return 0, out
	}
	const day = 24 * time.Hour
	days := min(max((maxAge+day-1)/day, 1), 365)
	answer := c.ask(ctx, &c.check, http.MethodGet, url.Values{
		"ipAddress":    {address(addr)},
		"maxAgeInDays": {strconv.Itoa(int(days))},
	})
	out = answer.outcome(&c.check)
	if out.Result != report.Delivered {
		return 0, out
	}
	score, ok := answer.score()
	if !ok {
		return 0, report.Outcome{Result: report.Later, Detail: "the answer to the check holds no score"}
	}
	return score, out
}

// address returns addr in the one text form that everybody gives it: IPv4-mapped addresses as IPv4, no zone.
func address(addr netip.Addr) string { return addr.Unmap().WithZone("").String() }

// ask makes one request of parameters and reads its answer. What goes wrong on the way is in the answer.
func (c *Client) ask(ctx context.Context, e *endpoint, method string, form url.Values) answer {
	r := request{method: method, timeout: c.timeout, most: maxAnswer}
	if method == http.MethodGet {
		r.query = form.Encode()
	} else {
		r.body, r.kind = []byte(form.Encode()), "application/x-www-form-urlencoded"
	}
	return c.do(ctx, e, r)
}

// request is one request before it is made.
type request struct {
	method, query string
	body          []byte
	kind          string // of body
	timeout       time.Duration
	most          int64 // bytes of the answer that are read
	// whole says that the server makes nothing of a body that did not arrive whole, so that the request counts as sent only then.
	whole bool
}

// do makes a request and reads its answer.
func (c *Client) do(ctx context.Context, e *endpoint, r request) answer {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	key := c.key.Load().Reveal()
	target := c.base.JoinPath(e.name)
	target.RawQuery = r.query
	var sent atomic.Bool // the transport writes in a goroutine of its own
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { sent.Store(!r.whole || sent.Load()) },
		WroteRequest: func(info httptrace.WroteRequestInfo) { sent.Store(sent.Load() || info.Err == nil) },
	})
	fail := func(err error) answer { return answer{err: err, sent: sent.Load(), key: key, asked: time.Now()} }
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Key", key)
	req.Header.Set("Accept", "application/json") // without it, errors come as HTML
	req.Header.Set("User-Agent", c.agent)
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	// The status decides; a body that is cut short costs no more than its text.
	text, _ := io.ReadAll(io.LimitReader(resp.Body, r.most))
	a := answer{status: resp.StatusCode, header: resp.Header, body: text, key: key, asked: time.Now()}
	e.note(a)
	if epoch, err := strconv.ParseInt(a.header.Get("X-RateLimit-Reset"), 10, 64); err == nil && epoch > 0 {
		c.reset.Store(epoch % secondsOfDay)
	}
	return a
}

const secondsOfDay = 24 * 60 * 60

// spent says that nothing is left of an endpoint's quota, so that no request needs to be made to find that out.
func (c *Client) spent(e *endpoint, now time.Time) (report.Outcome, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.spent.IsZero() || !now.Before(c.resetOf(e)) {
		e.spent = time.Time{}
		return report.Outcome{}, false
	}
	return report.Outcome{
		Result: report.Paused, Until: c.resetOf(e), Detail: fmt.Sprintf("the day's quota of %d requests (%s) is used up", e.limit, e.name), Remedy: tooFew,
	}, true
}

// resetOf returns when an endpoint's quota is reset, zero if that is not known. The API says so only when it refuses a request. Where
// nothing is left it is taken to be the time of the day that the API named last, else midnight UTC, and a second more, because clocks
// differ; if that is too early, a refusal tells. The lock of e must be held.
func (c *Client) resetOf(e *endpoint) time.Time {
	if e.spent.IsZero() {
		return e.resets
	}
	at := c.reset.Load()
	return time.Unix((e.spent.Unix()-at)/secondsOfDay*secondsOfDay+secondsOfDay+at+1, 0)
}

// note keeps the quota that an answer tells of.
func (e *endpoint) note(a answer) {
	limit, errLimit := strconv.ParseInt(a.header.Get("X-RateLimit-Limit"), 10, 64)
	remaining, errRemaining := strconv.ParseInt(a.header.Get("X-RateLimit-Remaining"), 10, 64)
	if errLimit != nil || errRemaining != nil || limit < 0 || remaining < 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known, e.limit, e.remaining, e.noted = true, limit, remaining, a.asked
	e.resets, e.spent = a.reopens(maxDaily), time.Time{}
	if detail, _ := a.detail(); remaining == 0 && (a.status != http.StatusTooManyRequests || recently.MatchString(detail)) {
		e.spent = a.asked
	}
}

// left returns how many requests of the day are left of an endpoint, -1 if that is not known: before its first answer and after the reset. When
// that is, a quota that is used up tells, here that of report. Else an answer holds for an hour.
func (c *Client) left(e *endpoint, now time.Time) int64 {
	c.report.mu.Lock()
	reset := c.resetOf(&c.report)
	c.report.mu.Unlock()
	since := now.Add(-time.Hour)
	switch {
	case now.Before(reset):
		since = reset.Add(-24 * time.Hour)
	case reset.After(since):
		since = reset
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.known || e.noted.Before(since) {
		return -1
	}
	return e.remaining
}
