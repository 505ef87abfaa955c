package double

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tattled/setting"
)

// Mode is a way to misbehave.
type Mode string

// The modes. What a mode does instead of, before or after the work is all that it changes; Modes says what that is.
const (
	Pass           Mode = "pass"
	Delay          Mode = "delay"
	DropEarly      Mode = "drop-early"
	Drop           Mode = "drop"
	DropAfter      Mode = "drop-after"
	HalfSaved      Mode = "half-saved"
	Hold           Mode = "hold"
	Truncated      Mode = "truncated"
	WrongLength    Mode = "wrong-length"
	Slow           Mode = "slow"
	Garbage        Mode = "garbage"
	Portal         Mode = "html"
	Redirected     Mode = "302"
	Revoked        Mode = "401"
	Payment        Mode = "402"
	Suspended      Mode = "403"
	Recently       Mode = "403-recently"
	TooLarge       Mode = "413"
	Invalid        Mode = "422"
	RecentlyOf422  Mode = "422-recently"
	Exhausted      Mode = "429"
	RecentlyOf429  Mode = "429-recently"
	TooFast        Mode = "429-fast"
	LateReset      Mode = "late-reset"
	Internal       Mode = "500"
	BadGateway     Mode = "502"
	Maintenance    Mode = "503"
	Answer         Mode = "answer"
	maintenanceFor      = "120" // seconds
	fastFor             = "30"
)

// Described is a mode and what it does.
type Described struct {
	Mode Mode   `json:"mode"`
	What string `json:"what"`
}

// Describe lists every mode. That the real API does these on demand is synthetic throughout; a text or a status that is not known
// of it either is marked.
func Describe() []Described {
	return []Described{
		{Pass, "behave well: to count requests off before the next fault of the list"},
		{Delay, "wait first; if the client leaves meanwhile, nothing is done"},
		{DropEarly, "cut the connection before the request's body is read"},
		{Drop, "read the request, then cut the connection: nothing is done"},
		{DropAfter, "do what was asked, then cut the connection"},
		{HalfSaved, "bulk-report: save every other row, then cut the connection"},
		{Hold, "do what was asked, then wait with the answer"},
		{Truncated, "do what was asked, then send half of the answer as if it were whole"},
		{WrongLength, "do what was asked, then send an answer that is shorter than its Content-Length"},
		{Slow, "do what was asked, then send the answer byte by byte, waiting after each"},
		{Garbage, "200 and bytes that are not JSON"},
		{Portal, "200 and a page of HTML, as of a captive portal"},
		{Redirected, "302 to another host"},
		{Revoked, "401: the key is wrong or revoked"},
		{Payment, "402: the plan does not cover this (text synthetic)"},
		{Suspended, "403: the account must not report (text synthetic)"},
		{Recently, "403 with the text of the 15-minute rule (observed once)"},
		{TooLarge, "413: the request is too large (status and text synthetic)"},
		{Invalid, "422: the data is not valid (text synthetic)"},
		{RecentlyOf422, "422 with the text of the 15-minute rule"},
		{Exhausted, "429: the daily quota of the endpoint is used up"},
		{RecentlyOf429, "429: the 15-minute rule"},
		{TooFast, "429 with a Retry-After of 30 s, not about the day (synthetic)"},
		{LateReset, "429: the daily quota is used up, until a reset nearly a day away (observed right after a reset)"},
		{Internal, "500 and a page of HTML"},
		{BadGateway, "502 and a page of HTML as of a proxy in front"},
		{Maintenance, "503 and a page of HTML, with a Retry-After of 120 s"},
		{Answer, `what "status", "header" and "body" of the fault say`},
	}
}

// Modes lists the names of the modes.
func Modes() []Mode {
	var all []Mode
	for _, d := range Describe() {
		all = append(all, d.Mode)
	}
	return all
}

// Fault is one misbehaviour to inject. A list of them is a script: each request takes the first fault that fits it.
type Fault struct {
	Mode     Mode              `json:"mode"`
	Endpoint string            `json:"endpoint,omitempty"` // "report", "check" and so on; "" for all
	Address  string            `json:"address,omitempty"`  // an address or network: only requests whose ip, ipAddress or network is in it
	Skip     int               `json:"skip,omitempty"`     // how many requests that fit are let pass first
	Times    int               `json:"times,omitempty"`    // how many requests it hits; 0 for all until the faults are replaced
	Delay    setting.Duration  `json:"delay,omitempty"`    // how long delay and hold wait, and slow after each byte
	Status   int               `json:"status,omitempty"`   // of the mode answer, like the next two
	Header   map[string]string `json:"header,omitempty"`
	Body     string            `json:"body,omitempty"`
}

// check returns what is wrong with the fault.
func (f Fault) check() error {
	if !slices.Contains(Modes(), f.Mode) {
		return fmt.Errorf("no such mode: %q (one of %v)", f.Mode, Modes())
	}
	if _, there := find(f.Endpoint); !there && f.Endpoint != "" {
		return fmt.Errorf("no such endpoint: %q (one of %v)", f.Endpoint, Endpoints())
	}
	if _, err := f.network(); err != nil {
		return fmt.Errorf("address %q is neither an address nor a network", f.Address)
	}
	if f.Times < 0 || f.Skip < 0 {
		return fmt.Errorf("times is %d and skip %d: write 0 for always and none, or how many requests", f.Times, f.Skip)
	}
	if answers := f.Mode == Answer; answers != (f.Status != 0) || answers && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("status is %d: it belongs to the mode answer, and is 200 to 599", f.Status)
	}
	return nil
}

// network returns what the fault is about; the zero Prefix if that is everything.
func (f Fault) network() (netip.Prefix, error) {
	if f.Address == "" {
		return netip.Prefix{}, nil
	}
	if addr, err := netip.ParseAddr(f.Address); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	return netip.ParsePrefix(f.Address)
}

// fits tells whether the fault is for a request.
func (f Fault) fits(endpoint string, form url.Values) bool {
	if f.Endpoint != "" && f.Endpoint != endpoint {
		return false
	}
	network, err := f.network()
	if err != nil || !network.IsValid() {
		return err == nil
	}
	for _, name := range []string{"ip", "ipAddress", "network"} {
		text, _, _ := strings.Cut(form.Get(name), "/")
		if addr, valid := parseAddr(text); valid && network.Contains(addr) {
			return true
		}
	}
	return false
}

// takeFault returns the first fault that fits a request, and uses it up.
func (d *Double) takeFault(endpoint string, form url.Values) Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.faults {
		f := &d.faults[i]
		if !f.fits(endpoint, form) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		hit := *f
		if f.Times == 1 {
			d.faults = slices.Delete(d.faults, i, i+1)
		} else if f.Times > 1 {
			f.Times--
		}
		return hit
	}
	return Fault{}
}

// takeEarly takes a DropEarly if that is what comes next for the endpoint; nothing of the request but its path is known then.
func (d *Double) takeEarly(endpoint string) bool {
	d.mu.Lock()
	next := slices.IndexFunc(d.faults, func(f Fault) bool { return f.fits(endpoint, nil) })
	early := next >= 0 && d.faults[next].Mode == DropEarly && d.faults[next].Skip == 0
	d.mu.Unlock()
	return early && d.takeFault(endpoint, nil).Mode == DropEarly
}

// wait waits if the fault is of mode. It returns false if the client left meanwhile.
func (f Fault) wait(r *http.Request, mode Mode) bool {
	if f.Mode != mode {
		return true
	}
	timer := time.NewTimer(f.Delay.D())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// instead returns the answer of a fault that answers in place of the endpoint.
func (f Fault) instead(d *Double, name string) (reply, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var limit int64
	if e, there := find(name); there {
		limit = e.day[d.plan()]
	}
	recently := tooSoon(netip.AddrFrom4([4]byte{192, 0, 2, 1}))
	switch f.Mode {
	case Internal, BadGateway, Garbage, Portal, Answer:
		status := map[Mode]int{Internal: http.StatusInternalServerError, BadGateway: http.StatusBadGateway, Garbage: http.StatusOK, Portal: http.StatusOK, Answer: f.Status}
		return reply{status: status[f.Mode]}, true
	case Maintenance:
		return reply{status: http.StatusServiceUnavailable, header: map[string]string{"Retry-After": maintenanceFor}}, true
	case Redirected:
		return reply{status: http.StatusFound, header: map[string]string{"Location": "https://elsewhere.example.org/api/v2/" + name}}, true
	case Revoked:
		return unauthorized(), true
	case Payment:
		return refuse(http.StatusPaymentRequired, "Your plan does not include this.", ""), true
	case Suspended:
		return refuse(http.StatusForbidden, "Reporting is suspended for your account.", ""), true
	case TooLarge:
		return refuse(http.StatusRequestEntityTooLarge, "The csv may not be greater than 2 megabytes.", "csv"), true
	case Invalid:
		return invalid("The given data was invalid.", "ip"), true
	case Recently:
		return refuse(http.StatusForbidden, recently, "ip"), true
	case RecentlyOf422:
		return invalid(recently, "ip"), true
	case RecentlyOf429:
		return refuse(http.StatusTooManyRequests, recently, "ip"), true
	case TooFast:
		out := refuse(http.StatusTooManyRequests, "Too Many Attempts.", "")
		out.header = map[string]string{"Retry-After": fastFor}
		return out, true
	case Exhausted, LateReset:
		out := d.exhausted(limit)
		if f.Mode == LateReset {
			out.header["Retry-After"] = "86390"
		}
		return out, true
	}
	return reply{}, false
}

// write writes out, in the fault's way.
func (f Fault) write(w http.ResponseWriter, r *http.Request, out reply) {
	switch f.Mode {
	case Internal, BadGateway, Maintenance, Portal:
		for name, value := range out.header {
			w.Header().Set(name, value)
		}
		writePage(w, out.status)
	case Garbage:
		w.Header().Set("Content-Type", "application/octet-stream")
		fmt.Fprint(w, strings.Repeat("\x00\xff<\x1b[31m", 100))
	case Answer:
		for name, value := range f.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(out.status)
		fmt.Fprint(w, f.Body)
	case Truncated, WrongLength:
		text := encode(out.body)
		w.Header().Set("Content-Type", "application/json")
		if f.Mode == WrongLength {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		}
		w.WriteHeader(out.status)
		fmt.Fprintf(w, "%s", text[:len(text)/2])
	case Slow:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(out.status)
		for _, b := range encode(out.body) {
			if _, err := w.Write([]byte{b}); err != nil || http.NewResponseController(w).Flush() != nil || !f.wait(r, Slow) {
				return
			}
		}
	default:
		writeReply(w, r, out)
	}
}
