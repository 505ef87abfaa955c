package double

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"tattled/setting"
)

// help is what / says.
const help = `abuseipdb-double: a local AbuseIPDB

POST /api/v2/report      ip, categories, comment, timestamp; header Key
GET  /api/v2/check       ipAddress, maxAgeInDays; header Key

GET  /double/reports     the accepted reports, oldest first
GET  /double/requests    every request to the API, refused ones included
PUT  /double/scores      {"203.0.113.9": 80}                 what check answers, added to what was set before
PUT  /double/faults      [{"mode": "500", "times": 3}]       misbehave; [] to stop; also "endpoint" and "delay"
GET  /double/faults      the faults in force, and their modes
PUT  /double/clock       {"step": "15m"} or {"now": "2026-01-02T03:04:05Z"}
GET  /double/clock       the double's time
`

// routeControl adds what the real one has not. All of it is synthetic.
func (d *Double) routeControl() {
	d.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, help)
	})
	d.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		say(w, http.StatusNotFound, refuse(http.StatusNotFound, "There is nothing at this path; / lists what there is.", "").body)
	})
	d.mux.HandleFunc("GET /double/reports", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, nonNil(d.Reports())) })
	d.mux.HandleFunc("GET /double/requests", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, nonNil(d.Requests())) })
	d.mux.HandleFunc("PUT /double/scores", d.putScores)
	d.mux.HandleFunc("GET /double/faults", d.getFaults)
	d.mux.HandleFunc("PUT /double/faults", d.putFaults)
	d.mux.HandleFunc("GET /double/clock", d.getClock)
	d.mux.HandleFunc("PUT /double/clock", d.putClock)
}

// nonNil makes an empty list of no list, so that it is [] in JSON and not null.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func say(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // a client that left has no use for it
}

// read decodes the body strictly; a fault is answered, and false comes back.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		wrong(w, err)
		return false
	}
	return true
}

func wrong(w http.ResponseWriter, err error) {
	say(w, http.StatusBadRequest, refuse(http.StatusBadRequest, err.Error(), "").body)
}

func (d *Double) putScores(w http.ResponseWriter, r *http.Request) {
	var scores map[netip.Addr]int
	if !read(w, r, &scores) {
		return
	}
	for addr, score := range scores {
		if score < 0 || score > 100 {
			wrong(w, fmt.Errorf("the score of %s is %d: write 0 to 100", addr, score))
			return
		}
	}
	for addr, score := range scores {
		d.SetScore(addr, score)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *Double) getFaults(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	faults := nonNil(slices.Clone(d.faults))
	d.mu.Unlock()
	say(w, http.StatusOK, map[string]any{"faults": faults, "modes": Modes()})
}

// putFaults takes a list of faults, or one alone.
func (d *Double) putFaults(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	if !read(w, r, &raw) {
		return
	}
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && raw[0] == '{' {
		raw = append(append([]byte("["), raw...), ']')
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	var faults []Fault
	if err := decoder.Decode(&faults); err != nil {
		wrong(w, err)
		return
	}
	for _, f := range faults {
		if err := f.check(); err != nil {
			wrong(w, err)
			return
		}
	}
	d.SetFaults(faults...)
	w.WriteHeader(http.StatusNoContent)
}

func (d *Double) getClock(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	now := d.now()
	d.mu.Unlock()
	say(w, http.StatusOK, map[string]time.Time{"now": now})
}

func (d *Double) putClock(w http.ResponseWriter, r *http.Request) {
	var to struct {
		Step setting.Duration `json:"step"`
		Now  time.Time        `json:"now"`
	}
	if !read(w, r, &to) {
		return
	}
	d.mu.Lock()
	if !to.Now.IsZero() {
		d.offset += to.Now.Sub(d.now())
	}
	d.offset += to.Step.D()
	d.mu.Unlock()
	d.getClock(w, r)
}
