package double

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"tattled/setting"
)

// help is what / says.
const help = `abuseipdb-double: a local AbuseIPDB

POST   /api/v2/report         ip, categories, comment, timestamp; header Key, as for all of these
POST   /api/v2/bulk-report    a CSV file as the part "csv" of a multipart form
GET    /api/v2/check          ipAddress, maxAgeInDays, verbose
GET    /api/v2/reports        ipAddress, maxAgeInDays, page, perPage
GET    /api/v2/check-block    network, maxAgeInDays
GET    /api/v2/blacklist      confidenceMinimum, limit, plaintext, onlyCountries, exceptCountries, ipVersion
DELETE /api/v2/clear-address  ipAddress

GET  /double/reports     the accepted reports, oldest first, without what clear-address deleted
GET  /double/requests    every request to the API, refused ones included, with the first 2 KiB of its body
GET  /double/files       the newest 8 bulk files, whole
PUT  /double/scores      {"203.0.113.9": 80}                 what check answers, added to what was set before
PUT  /double/addresses   {"203.0.113.9": {"score": 80, "country": "DE", "usage_type": "Library"}}
                         also "isp", "domain", "hostnames", "tor" and "whitelisted"
PUT  /double/faults      [{"mode": "500", "times": 3}]       misbehave; [] to stop; also "endpoint", "address", "skip" and "delay"
GET  /double/faults      the faults in force, and their modes
PUT  /double/clock       {"step": "15m"} or {"now": "2026-01-02T03:04:05Z"}
GET  /double/clock       the double's time
GET  /double/quota       what each endpoint allows and what was used of it today
GET  /double/behaviours  what it does, each marked as documented, observed or synthetic
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
	d.mux.HandleFunc("GET /double/files", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, nonNil(d.Files())) })
	d.mux.HandleFunc("GET /double/quota", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, d.quotas()) })
	d.mux.HandleFunc("GET /double/behaviours", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, Behaviours()) })
	d.mux.HandleFunc("PUT /double/scores", d.putScores)
	d.mux.HandleFunc("PUT /double/addresses", d.putAddresses)
	d.mux.HandleFunc("GET /double/faults", d.getFaults)
	d.mux.HandleFunc("PUT /double/faults", d.putFaults)
	d.mux.HandleFunc("GET /double/clock", d.getClock)
	d.mux.HandleFunc("PUT /double/clock", d.putClock)
}

// usage is what one endpoint allows, and what all keys together used of it today.
type usage struct {
	Limit int64 `json:"limit"`
	Used  int64 `json:"used"`
}

func (d *Double) quotas() map[string]usage {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]usage{}
	today := d.now().In(d.zone).Format(time.DateOnly)
	for _, e := range endpoints() {
		u := usage{Limit: e.day[d.plan()]}
		for _, byEndpoint := range d.usage {
			if one := byEndpoint[e.name]; one != nil && one.Day == today {
				u.Used += one.Count
			}
		}
		all[e.name] = u
	}
	return all
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

// decode decodes the body strictly; a fault is answered, and false comes back.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
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
	if !decode(w, r, &scores) {
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

func (d *Double) putAddresses(w http.ResponseWriter, r *http.Request) {
	var all map[netip.Addr]Facts
	if !decode(w, r, &all) {
		return
	}
	for addr, facts := range all {
		if facts.Score < 0 || facts.Score > 100 || len(facts.Country) != 0 && len(facts.Country) != 2 {
			wrong(w, fmt.Errorf("%s: the score is %d and the country %q: write 0 to 100, and two letters", addr, facts.Score, facts.Country))
			return
		}
	}
	for addr, facts := range all {
		d.SetFacts(addr, facts)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *Double) getFaults(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	faults := nonNil(slices.Clone(d.faults))
	d.mu.Unlock()
	say(w, http.StatusOK, map[string]any{"faults": faults, "modes": Describe()})
}

// ReadFaults reads a script of faults: a list of them in JSON, or one alone.
func ReadFaults(text []byte) ([]Fault, error) {
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] == '{' {
		text = slices.Concat([]byte("["), text, []byte("]"))
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var faults []Fault
	if err := decoder.Decode(&faults); err != nil {
		return nil, err
	}
	for n, f := range faults {
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("fault %d: %w", n+1, err)
		}
	}
	return faults, nil
}

func (d *Double) putFaults(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		wrong(w, err)
		return
	}
	faults, err := ReadFaults(text)
	if err != nil {
		wrong(w, err)
		return
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
	if !decode(w, r, &to) {
		return
	}
	d.mu.Lock()
	if !to.Now.IsZero() {
		d.offset += to.Now.Sub(d.now())
	}
	d.offset += to.Step.D()
	d.changed = true
	d.mu.Unlock()
	d.getClock(w, r)
}
