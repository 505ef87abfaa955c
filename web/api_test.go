package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tattled/store"

	"tattled/event"
)

// The answers have the names and forms that programs rely on.
func TestGoldenAPI(t *testing.T) {
	r := start(t, peopled(30), nil, usualPace())
	for name, path := range map[string]string{
		"events.json":  "/api/v1/events?after=27",
		"address.json": "/api/v1/addresses/203.0.113.15",
		"top.json":     "/api/v1/top?limit=3",
		"summary.json": "/api/v1/summary",
		"outbox.json":  "/api/v1/outbox?limit=6",
		"health.json":  "/healthz",
		"sources.json": "/api/v1/sources",
	} {
		resp, body := r.get(path)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s, %s", path, resp.Status, resp.Header.Get("Content-Type"))
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, []byte(body), "", "  "); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		golden(t, name, indented.String())
	}
}

// Reading on with after=next gives every event once; without after, it is the newest ones.
func TestEventsByPage(t *testing.T) {
	r := start(t, peopled(2345), nil, usualPace())
	var after, read uint64
	for {
		var answer EventsAnswer
		_, body := r.get(fmt.Sprintf("/api/v1/events?limit=1000&after=%d", after))
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}
		if answer.LastSeq != 2345 {
			t.Errorf("last_seq %d", answer.LastSeq)
		}
		for _, e := range answer.Events {
			if read++; e.Seq != read {
				t.Fatalf("event %d after %d", e.Seq, read-1)
			}
		}
		if len(answer.Events) == 0 {
			break
		}
		after = answer.Next
	}
	if read != 2345 || after != 2345 {
		t.Errorf("%d read, the last one %d", read, after)
	}
	var answer EventsAnswer
	_, body := r.get("/api/v1/events?limit=2")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Events) != 2 || answer.Events[0].Seq != 2344 {
		t.Errorf("the newest two: %v\n%s", err, body)
	}
}

// People read the answers with curl: what a remedy has to be typed is there as it is typed.
func TestJSONIsForPeople(t *testing.T) {
	const remedy = `chown root:tattled /k && chmod 640 /k, see <https://example.org/a?b&c>`
	r := start(t, peopled(3), func(_ *Config, d *Deps) {
		d.Health = func() Health {
			h := fairHealth()
			h.Problems = []event.Problem{{What: "w", Remedy: remedy, Since: base}}
			h.Sources[0].Name = "a<b>&c"
			return h
		}
	}, usualPace())
	for path, want := range map[string]string{"/healthz": remedy, "/readyz": remedy, "/api/v1/summary": remedy, "/api/v1/sources": `"a<b>&c"`} {
		resp, body := r.get(path)
		if !strings.Contains(body, want) || strings.Contains(body, `\u00`) || !strings.HasSuffix(body, "}\n") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s", path, body)
		}
	}
	if _, body := r.get("/"); strings.Contains(body, "see <https") || !strings.Contains(body, "see &lt;https") {
		t.Error("the page has markup of a remedy")
	}
}

// What is asked wrongly is answered with a problem document that does not repeat the question.
func TestProblems(t *testing.T) {
	r := start(t, peopled(3), nil, usualPace())
	for path, status := range map[string]int{
		"/api/v1/events?limit=0":           http.StatusBadRequest,
		"/api/v1/events?limit=1001":        http.StatusBadRequest,
		"/api/v1/events?limit=-1":          http.StatusBadRequest,
		"/api/v1/events?limit=<script>":    http.StatusBadRequest,
		"/api/v1/events?after=1e3":         http.StatusBadRequest,
		"/api/v1/top?limit=101":            http.StatusBadRequest,
		"/api/v1/outbox?limit=501":         http.StatusBadRequest,
		"/api/v1/addresses/example":        http.StatusBadRequest,
		"/api/v1/addresses/192.0.2.250":    http.StatusNotFound,
		"/api/v1/addresses/fe80::1%25eth0": http.StatusNotFound,
		"/api/v1/sources?up=true":          http.StatusBadRequest,
		"/api/v1/events?sort=ban":          http.StatusBadRequest,
		"/api/v1/summary?range=1h":         http.StatusBadRequest,
		"/api/v1/top?by=address":           http.StatusBadRequest,
		"/api/v1/outbox?<script>=1":        http.StatusBadRequest,
		"/api/v1/addresses/192.0.2.1?x":    http.StatusBadRequest,
		"/api/v1/":                         http.StatusNotFound,
		"/api/v2/events":                   http.StatusNotFound,
	} {
		resp, body := r.get(path)
		var p problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Errorf("%s: %v: %s", path, err, body)
		}
		if resp.StatusCode != status || p.Status != status || p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" {
			t.Errorf("%s: %s, %+v", path, resp.Status, p)
		}
		if resp.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(body, "script") {
			t.Errorf("%s: %s\n%s", path, resp.Header.Get("Content-Type"), body)
		}
	}
}

// A store that cannot be read is the daemon's fault, is told in its log, and says nothing of it to the client.
func TestBrokenStore(t *testing.T) {
	f := peopled(3)
	r := start(t, f, nil, usualPace())
	f.mu.Lock()
	f.fail = errBroken
	f.mu.Unlock()
	for _, path := range []string{"/", "/addresses/203.0.113.0", "/api/v1/events?after=0", "/api/v1/addresses/203.0.113.0", "/api/v1/outbox"} {
		resp, body := r.get(path)
		if resp.StatusCode != http.StatusInternalServerError || strings.Contains(body, errBroken.Error()) {
			t.Errorf("%s: %s\n%s", path, resp.Status, body)
		}
	}
}

func TestHealth(t *testing.T) {
	var health Health
	problem := []event.Problem{{What: "journal is not read", Cause: "no\x1b file", Remedy: "see the group", Since: base}}
	const told = `{"what":"journal is not read","cause":"no\\x1b file","remedy":"see the group","since":"2026-11-22T14:30:00Z"}`
	r := start(t, peopled(0), func(_ *Config, d *Deps) { d.Health = func() Health { return health } }, usualPace())
	for _, c := range []struct {
		health      Health
		live, ready int
		status      string
	}{
		{Health{Live: true, Ready: true}, 200, 200, `{"status":"ok","problems":[]}`},
		{Health{Live: true, Ready: true, Problems: problem}, 200, 200, `{"status":"ok","problems":[` + told + `]}`},
		{Health{Live: true, Problems: problem}, 200, 503, `{"status":"ok","problems":[` + told + `]}`},
		{Health{Ready: true, Problems: problem}, 503, 200, `{"status":"failing","problems":[` + told + `]}`},
	} {
		health = c.health
		resp, body := r.get("/healthz")
		if resp.StatusCode != c.live || strings.TrimSpace(body) != c.status {
			t.Errorf("%+v: healthz %s %s", c.health, resp.Status, body)
		}
		if resp, _ := r.get("/readyz"); resp.StatusCode != c.ready {
			t.Errorf("%+v: readyz %s", c.health, resp.Status)
		}
	}
}

// Prometheus gets OpenMetrics, others the text format.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "tattled_store_commits_total", Help: "Commits."})
	registry.MustRegister(counter)
	counter.Add(7)
	r := start(t, peopled(0), func(_ *Config, d *Deps) { d.Gatherer = registry }, usualPace())
	resp, body := r.get("/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text") || !strings.Contains(body, "tattled_store_commits_total 7.0\n") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("%v\n%s", resp.Header, body)
	}
	if resp, body = r.get("/metrics"); !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || !strings.Contains(body, "tattled_store_commits_total 7\n") {
		t.Errorf("%v\n%s", resp.Header, body)
	}
	if !strings.Contains(body, "promhttp_metric_handler_errors_total") {
		t.Errorf("the handler's own errors are not counted:\n%s", body)
	}
}

// An address keeps its network, its tellings and only the events that are still there.
func TestAddressOfNetwork(t *testing.T) {
	f := peopled(30)
	r := start(t, f, nil, usualPace())
	_, body := r.get("/api/v1/addresses/::ffff:203.0.113.15")
	var mapped AddressAnswer
	if err := json.Unmarshal([]byte(body), &mapped); err != nil || mapped.Network != "203.0.113.15" || len(mapped.Recent) == 0 {
		t.Errorf("mapped: %v\n%s", err, body)
	}
	f.mu.Lock()
	f.items = []store.Item{}
	f.mu.Unlock()
	if _, body := r.get("/api/v1/outbox"); !strings.HasPrefix(body, `{"items":[],`) {
		t.Errorf("an empty outbox: %s", body)
	}
}
