package double

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tattled/setting"
)

// Mode is a way to misbehave.
type Mode string

// The modes. What a mode does instead of, before or after the work is all that it changes.
const (
	Delay      Mode = "delay"        // wait first; if the client leaves meanwhile, nothing is done
	Drop       Mode = "drop"         // cut the connection, nothing is done
	DropAfter  Mode = "drop-after"   // do what was asked, then cut the connection
	Hold       Mode = "hold"         // do what was asked, then wait with the answer
	Truncated  Mode = "truncated"    // do what was asked, then send half of the answer as if it were whole
	Slow       Mode = "slow"         // do what was asked, then send the answer byte by byte, waiting after each
	Garbage    Mode = "garbage"      // 200 and bytes that are no JSON, nothing is done
	Internal   Mode = "500"          // 500 and a page of HTML, nothing is done
	BadGateway Mode = "502"          // 502 and a page of HTML as of a proxy in front, nothing is done
	Revoked    Mode = "401"          // the key is wrong
	Invalid    Mode = "422"          // the report is not valid (text synthetic)
	Exhausted  Mode = "429"          // the daily quota is used up
	LateReset  Mode = "late-reset"   // the daily quota is used up, and a reset nearly a day away (observed right after a reset)
	Recently   Mode = "403-recently" // the 15-minute rule's text with status 403 (observed once)
)

// Modes lists every mode.
func Modes() []Mode {
	return []Mode{Delay, Drop, DropAfter, Hold, Truncated, Slow, Garbage, Internal, BadGateway, Revoked, Invalid, Exhausted, LateReset, Recently}
}

// Fault is one misbehaviour to inject. All of them are synthetic in that the real API does not do them on demand.
type Fault struct {
	Mode     Mode             `json:"mode"`
	Endpoint string           `json:"endpoint,omitempty"` // "report" or "check"; "" for both
	Times    int              `json:"times,omitempty"`    // how many requests it hits; 0 for all until the faults are replaced
	Delay    setting.Duration `json:"delay,omitempty"`    // how long delay and hold wait, and slow after each byte
}

// check returns what is wrong with the fault.
func (f Fault) check() error {
	if !slices.Contains(Modes(), f.Mode) {
		return fmt.Errorf("no such mode: %q (one of %v)", f.Mode, Modes())
	}
	if f.Times < 0 {
		return fmt.Errorf("times is %d: write 0 for always, or how many requests are hit", f.Times)
	}
	return nil
}

// takeFault returns the first fault that hits a request to endpoint, and uses it up.
func (d *Double) takeFault(endpoint string) Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, f := range d.faults {
		if f.Endpoint != "" && f.Endpoint != endpoint {
			continue
		}
		if f.Times == 1 {
			d.faults = slices.Delete(d.faults, i, i+1)
		} else if f.Times > 1 {
			d.faults[i].Times--
		}
		return f
	}
	return Fault{}
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
func (f Fault) instead(d *Double) (reply, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit := d.limits["report"]
	switch f.Mode {
	case Internal:
		return reply{status: http.StatusInternalServerError}, true
	case BadGateway:
		return reply{status: http.StatusBadGateway}, true
	case Garbage:
		return reply{status: http.StatusOK}, true
	case Revoked:
		return unauthorized(), true
	case Invalid:
		return refuse(http.StatusUnprocessableEntity, "The given data was invalid.", "ip"), true
	case Exhausted:
		return d.exhausted(limit), true
	case LateReset:
		out := d.exhausted(limit)
		out.header["Retry-After"] = "86390"
		return out, true
	case Recently:
		return refuse(http.StatusForbidden, "You can only report the same IP address (`192.0.2.1`) once in 15 minutes.", "ip"), true
	}
	return reply{}, false
}

// write writes out, in the fault's way.
func (f Fault) write(w http.ResponseWriter, r *http.Request, out reply) {
	switch f.Mode {
	case Internal, BadGateway:
		writePage(w, out.status)
	case Garbage:
		w.Header().Set("Content-Type", "application/octet-stream")
		fmt.Fprint(w, strings.Repeat("\x00\xff<\x1b[31m", 100))
	case Truncated:
		text := encode(out.body)
		w.Header().Set("Content-Type", "application/json")
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
