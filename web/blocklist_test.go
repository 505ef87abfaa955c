package web

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tattled/event"
	"tattled/setting"
	"tattled/store"
)

// fakeGate refuses networks that overlap with those that it names, for their reason.
type fakeGate map[netip.Prefix]string

func (g fakeGate) RefuseNetwork(p netip.Prefix) (reason, because string) {
	for network, reason := range g {
		if network.Overlaps(p) {
			return reason, "it is " + reason
		}
	}
	return "", ""
}

func (g fakeGate) RefuseEvent(e *event.Event) (reason, because string) {
	if e.Proto == event.UDP {
		return "udp", "a sender address is easily forged with udp"
	}
	return g.RefuseNetwork(netip.PrefixFrom(e.Addr, e.Addr.BitLen()))
}

func (g fakeGate) Reports(destination string) bool { return destination == "abuseipdb" }

// reported makes an item: a report about addr that was judged so long ago.
func reported(addr string, ago time.Duration, change func(i *store.Item)) store.Item {
	at := base.Add(-ago)
	i := store.Item{
		ID: addr + ago.String(), State: store.Delivered, Created: at,
		Report: event.Report{
			Destination: "abuseipdb", Policy: "ssh-bruteforce", Addr: netip.MustParseAddr(addr), Judged: at, Kind: event.AuthFailure, Service: "sshd",
			First: at.Add(-time.Minute), Last: at, Count: 5, Place: event.Place{Country: "NL", ASN: 64500},
		},
	}
	if change != nil {
		change(&i)
	}
	return i
}

// blockWorld is an outbox with one of each sort. The documentation addresses are ordinary ones here.
func blockWorld() (*fakeStore, fakeGate) {
	day := 24 * time.Hour
	alert := func(policy string) func(i *store.Item) {
		return func(i *store.Item) { i.Report.Destination, i.Report.Policy = "mail", policy }
	}
	f := &fakeStore{items: []store.Item{
		reported("192.0.2.1", time.Hour, nil),
		reported("192.0.2.2", 2*time.Hour, func(i *store.Item) { i.Report.Policy, i.Report.Count = "web-probing", 40 }),
		reported("192.0.2.3", 2*time.Hour, func(i *store.Item) { i.State = store.Dismissed }),
		reported("192.0.2.4", 3*time.Hour, func(i *store.Item) { i.State = store.DryRun }),
		reported("2001:db8:1:1::1", 3*time.Hour, nil),
		reported("2001:db8:1:1::2", 4*time.Hour, nil),
		reported("2001:db8:1:2::1", 4*time.Hour, nil), // somebody of ours is in the same /64
		reported("198.51.100.1", 5*time.Hour, nil),    // trusted now
		reported("192.0.2.20", 6*time.Hour, alert("odd-country")),
		reported("192.0.2.21", 6*time.Hour, alert("odd-country")),
		reported("64:ff9b::c000:205", 7*time.Hour, nil), // 192.0.2.5 by NAT64
		reported("192.0.2.6", 25*time.Hour, nil),        // once, and a day is over
		reported("192.0.2.7", 30*time.Hour, nil),        // twice: it stays two days
		reported("192.0.2.7", 3*day, nil),
		reported("192.0.2.8", 9*day, nil), // four times: eight days are over
		reported("192.0.2.8", 10*day, nil),
		reported("192.0.2.8", 11*day, nil),
		reported("192.0.2.8", 12*day, nil),
		reported("192.0.2.9", 20*day, nil), // eight times: 128 days, bounded to 30
		reported("192.0.2.9", 21*day, nil),
		reported("192.0.2.9", 22*day, nil),
		reported("192.0.2.9", 23*day, nil),
		reported("192.0.2.9", 24*day, nil),
		reported("192.0.2.9", 25*day, nil),
		reported("192.0.2.9", 26*day, nil),
		reported("192.0.2.9", 27*day, nil),
		reported("192.0.2.10", 31*day, nil),
	}}
	f.windows = map[netip.Addr][]store.Window{
		netip.MustParseAddr("192.0.2.20"): {{Destination: "mail", Policy: "odd-country", At: base}},
		netip.MustParseAddr("192.0.2.21"): {{Destination: "mail", Policy: "odd-country", At: base, Unproven: true}},
	}
	return f, fakeGate{netip.MustParsePrefix("198.51.100.0/24"): "trusted", netip.MustParsePrefix("2001:db8:1:2::ffff/128"): "own"}
}

func TestBlocklist(t *testing.T) {
	f, gate := blockWorld()
	r := start(t, f, func(_ *Config, d *Deps) { d.Gate = gate }, usualPace())
	usual := []string{"192.0.2.1", "192.0.2.2", "192.0.2.4", "192.0.2.5", "192.0.2.7", "192.0.2.9", "2001:db8:1:1::/64", "2001:db8:1:2::1"}
	for query, want := range map[string][]string{
		"":                                 usual,
		"?since=24h&format=plain":          usual,
		"?since=26h":                       {"192.0.2.1", "192.0.2.2", "192.0.2.4", "192.0.2.5", "192.0.2.6", "192.0.2.7", "192.0.2.9", "2001:db8:1:1::/64", "2001:db8:1:2::1"},
		"?since=90m&policy=ssh-bruteforce": {"192.0.2.1"},
		"?policy=web-probing":              {"192.0.2.2"},
		"?policy=odd-country":              {"192.0.2.20"}, // the other one may be forged
		"?policy=nosuch":                   nil,
		"?min_count=10":                    {"192.0.2.2", "192.0.2.7", "192.0.2.9", "2001:db8:1:1::/64"},
		"?min_count=41":                    nil,
	} {
		a, body := r.get("/api/v1/feed" + query)
		if got := strings.Fields(body); a.StatusCode != http.StatusOK || !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("%s: %s\n got %v\nwant %v", query, a.Status, got, want)
		}
	}
	gate[netip.MustParsePrefix("192.0.2.1/32")] = "trusted"
	if _, body := r.get("/api/v1/feed"); strings.HasPrefix(body, "192.0.2.1\n") {
		t.Error("the gate was not asked when the feed was served")
	}
	for _, query := range []string{"?format=<b>", "?since=0s", "?since=<b>", "?since=31d", "?min_count=0", "?min_count=<b>", "?nosuch=1"} {
		if a, body := r.get("/api/v1/feed" + strings.ReplaceAll(query, "<b>", "%3Cb%3E")); a.StatusCode != http.StatusBadRequest || strings.Contains(body, "<b>") {
			t.Errorf("%s: %s %s", query, a.Status, body)
		}
	}
}

// A client that has the feed does not get it again before something in it changes, in any form.
func TestBlocklistTag(t *testing.T) {
	f, gate := blockWorld()
	r := start(t, f, func(_ *Config, d *Deps) { d.Gate = gate }, usualPace())
	tags := map[string]bool{}
	for _, format := range FeedFormats() {
		path := "/api/v1/feed?format=" + format
		a, body := r.get(path)
		tag := a.Header.Get("ETag")
		if a.StatusCode != http.StatusOK || tag == "" || tags[tag] || body == "" {
			t.Errorf("%s: %s, %q", format, a.Status, tag)
		}
		tags[tag] = true
		for _, sent := range []string{tag, strings.TrimPrefix(tag, "W/"), `"x", ` + tag, "*"} {
			if a, body := r.get(path, "If-None-Match", sent); a.StatusCode != http.StatusNotModified || body != "" || a.Header.Get("ETag") != tag {
				t.Errorf("%s: If-None-Match %s: %s %q", format, sent, a.Status, body)
			}
		}
		if a, _ := r.get(path, "If-None-Match", `"x"`); a.StatusCode != http.StatusOK {
			t.Errorf("%s: another tag: %s", format, a.Status)
		}
	}
	f.mu.Lock()
	f.items = append([]store.Item{reported("192.0.2.77", time.Minute, nil)}, f.items...)
	f.mu.Unlock()
	for tag := range tags {
		if a, _ := r.get("/api/v1/feed", "If-None-Match", tag); a.StatusCode != http.StatusOK {
			t.Errorf("after a change: %s", a.Status)
		}
	}
}

// Each form as it is written, for the programs that read it.
func TestBlocklistForms(t *testing.T) {
	f, gate := blockWorld()
	r := start(t, f, func(_ *Config, d *Deps) { d.Gate = gate }, usualPace())
	for _, format := range FeedFormats() {
		_, body := r.get("/api/v1/feed?format=" + format)
		golden(t, "feed-"+format+".txt", body)
	}
	var answer FeedAnswer
	_, body := r.get("/api/v1/feed?format=json")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Entries) != 8 {
		t.Errorf("%d entries, %v", len(answer.Entries), err)
	}
}

// Beyond loopback nobody gets the feed without the token; on the control socket nobody is asked.
func TestFeedToken(t *testing.T) {
	const token = "0123456789abcdef"
	for _, c := range []struct {
		local   bool
		token   string
		path    string
		headers []string
		want    int
	}{
		{true, "", "", nil, 200},
		{false, "", "", nil, 403},
		{false, "", "?token=", nil, 403},
		{true, token, "", nil, 401},
		{false, token, "", nil, 401},
		{false, token, "?token=wrong", nil, 401},
		{false, token, "?token=" + token, nil, 200},
		{false, token, "", []string{"Authorization", "Bearer " + token}, 200},
		{false, token, "?token=" + token, []string{"Authorization", "Bearer wrong"}, 401},
		{false, token, "", []string{"Authorization", "Basic " + token}, 401},
	} {
		f, gate := blockWorld()
		r := start(t, f, func(cfg *Config, d *Deps) {
			d.Gate = gate
			if c.token != "" {
				d.FeedToken = func() setting.Secret { return setting.NewSecret(c.token) }
			}
			if !c.local {
				cfg.Listen, cfg.AllowUnauthenticated = "0.0.0.0:0", true
			}
		}, usualPace())
		r.url = fmt.Sprintf("http://127.0.0.1:%d", r.Addr().(*net.TCPAddr).Port)
		if a, body := r.get("/api/v1/feed"+c.path, c.headers...); a.StatusCode != c.want || c.want != 200 && strings.Contains(body, "192.0.2.1") {
			t.Errorf("%+v: %s", c, a.Status)
		}
		control := serveControl(t, r.Server, socketPath(t), Hands{})
		if a, body := control.do(http.MethodGet, "/api/v1/feed", nil); a.StatusCode != http.StatusOK || !strings.HasPrefix(body, "192.0.2.1\n") {
			t.Errorf("on the control socket: %s", a.Status)
		}
		r.stop()
	}
}

// The whole story of an address: what the gate says of it and of its events, its score, and what became of its reports.
func TestStory(t *testing.T) {
	f, gate := blockWorld()
	at := base.Add(-time.Hour)
	f.add(event.Event{Seq: 1, Time: at, Received: at, Kind: event.FirewallBlock, Service: "netfilter", Proto: event.UDP, Addr: netip.MustParseAddr("192.0.2.1"), Line: "a\x1b[31mb"})
	f.add(event.Event{Seq: 2, Time: at, Received: at, Kind: event.AuthFailure, Service: "sshd", Proto: event.TCP, Addr: netip.MustParseAddr("192.0.2.1")})
	f.scores = map[netip.Addr]store.Score{netip.MustParseAddr("192.0.2.1"): {Value: 42, MaxAge: 90 * 24 * time.Hour, At: at}}
	r := start(t, f, func(_ *Config, d *Deps) { d.Gate = gate }, usualPace())
	c := serveControl(t, r.Server, socketPath(t), Hands{})
	var s StoryAnswer
	_, body := c.do(http.MethodGet, "/api/v1/addresses/192.0.2.1", nil)
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Events) != 2 || s.Events[0].Refused != "udp" || s.Events[1].Refused != "" || len(s.Items) != 1 || s.Items[0].State != "delivered" || s.Score == nil || s.Score.Score != 42 ||
		s.Score.MaxAgeDays != 90 || s.Refused != "" || strings.Contains(body, "\x1b") {
		t.Error(body)
	}
	_, body = c.do(http.MethodGet, "/api/v1/addresses/198.51.100.1", nil) // evicted, but its report is there
	var gone StoryAnswer
	if err := json.Unmarshal([]byte(body), &gone); err != nil || gone.Refused != "trusted" || len(gone.Items) != 1 || gone.Network != "198.51.100.1" {
		t.Errorf("%v %s", err, body)
	}
	if a, _ := c.do(http.MethodGet, "/api/v1/addresses/203.0.113.250", nil); a.StatusCode != http.StatusNotFound {
		t.Error(a.Status)
	}
}
