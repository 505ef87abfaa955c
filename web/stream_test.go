package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tattled/event"
)

// A client that comes back gets exactly what it missed, from the ring, and then what is new.
func TestStreamResumes(t *testing.T) {
	r := start(t, peopled(100), nil, quick())
	c := r.listen("/events", "90")
	if got := c.resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	c.expectSeqs(91, 100)
	w := newWorld()
	w.seq = 100
	r.publish(w.events(3, base)...)
	c.expectSeqs(101, 103)

	// The page says where it stands in another way, for its first connection; the header counts more.
	first := r.listen("/events?after=101", "")
	first.expectSeqs(102, 103)
	again := r.listen("/events?after=1", "102")
	again.expectSeqs(103, 103)
	if r.store.reads != 0 {
		t.Errorf("the store was read %d times for what the ring has", r.store.reads)
	}
}

// What is older than the ring comes from the store, without a gap and without a double where the two meet.
func TestStreamResumesAcrossStoreAndRing(t *testing.T) {
	r := start(t, peopled(ringSize+2500), nil, quick())
	c := r.listen("/events?limit=10000", "500")
	c.expectSeqs(501, ringSize+2500)
	if r.store.reads == 0 {
		t.Error("the store was not read")
	}
}

// What a client missed is bounded; it is told how many events it does without.
func TestStreamSkips(t *testing.T) {
	r := start(t, peopled(3000), nil, quick())
	c := r.listen("/events", "10")
	if m := c.expect("skipped"); m.data != `{"skipped":1990}` || m.id != "2000" {
		t.Errorf("got %+v", m)
	}
	c.expectSeqs(2001, 3000)

	few := r.listen("/events?limit=5", "10")
	if m := few.expect("skipped"); m.data != `{"skipped":2985}` {
		t.Errorf("got %+v", m)
	}
	few.expectSeqs(2996, 3000)
}

// Events that retention dropped are told as skipped too.
func TestStreamAfterRetention(t *testing.T) {
	f := peopled(200)
	f.events = f.events[150:]
	r := start(t, f, nil, quick())
	c := r.listen("/events", "100")
	if m := c.expect("skipped"); m.data != `{"skipped":50}` {
		t.Errorf("got %+v", m)
	}
	c.expectSeqs(151, 200)
}

// A client that knows events which do not exist (the state file was replaced) is told to begin anew.
func TestStreamResets(t *testing.T) {
	r := start(t, peopled(5), nil, quick())
	c := r.listen("/events", "4711")
	if m := c.expect("reset"); m.id != "0" {
		t.Errorf("got %+v", m)
	}
	c.expectSeqs(1, 5)
}

// A client without a word of where it stands begins with what comes next; it gets the status at once.
func TestStreamBeginsNow(t *testing.T) {
	r := start(t, peopled(50), nil, quick())
	c := r.listen("/events", "")
	m, ok := c.next()
	if !ok || m.event != "status" || m.id != "" || !strings.Contains(m.data, `"figures":[`) {
		t.Fatalf("first message %+v", m)
	}
	w := newWorld()
	w.seq = 50
	r.publish(w.next(base))
	c.expectSeqs(51, 51)
}

// Under a flood, an open page gets the newest of each moment and the number of the others.
func TestStreamUnderFlood(t *testing.T) {
	r := start(t, peopled(0), nil, quick())
	c := r.listen("/events?limit=200", "")
	c.next() // the status: the client is in
	w := newWorld()
	for range 20 {
		r.publish(w.events(5000, base)...)
	}
	var sent, skipped, last uint64
	for last < 100_000 {
		m, ok := c.next()
		if !ok {
			t.Fatal("the stream ended")
		}
		var gap struct{ Skipped uint64 }
		var err error
		switch m.event {
		case "event":
			sent++
			last, err = strconv.ParseUint(m.id, 10, 64)
		case "skipped":
			err = json.Unmarshal([]byte(m.data), &gap)
			skipped += gap.Skipped
		}
		if err != nil {
			t.Fatalf("%v: %+v", err, m)
		}
	}
	if sent+skipped != 100_000 || sent < 200 {
		t.Errorf("%d sent and %d skipped of 100,000", sent, skipped)
	}
}

// There are at most 64 streams; the next client is told to come back later, and may when one has left.
func TestStreamsAreBounded(t *testing.T) {
	r := start(t, peopled(1), nil, quick())
	var clients []*sse
	for range maxClients {
		c := r.listen("/events", "")
		c.next()
		clients = append(clients, c)
	}
	resp, body := r.get("/events")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "10" {
		t.Errorf("got %s, Retry-After %q: %s", resp.Status, resp.Header.Get("Retry-After"), body)
	}
	clients[0].stop()
	until(t, "a client left", func() bool { return r.Feed().Clients() == maxClients-1 })
	if c := r.listen("/events", "0"); c.resp.StatusCode != http.StatusOK {
		t.Errorf("after one left: %s", c.resp.Status)
	}
	if n := r.Feed().Dropped(); n != 0 {
		t.Errorf("%d counted as slow", n)
	}
}

func TestStreamRefuses(t *testing.T) {
	r := start(t, peopled(1), nil, quick())
	for _, c := range []struct{ path, id string }{
		{"/events", "x"}, {"/events", "-1"}, {"/events", "99999999999999999999"}, {"/events?after=x", ""}, {"/events?limit=0", ""}, {"/events?limit=10001", ""},
	} {
		resp, _ := r.get(c.path, "Last-Event-ID", c.id)
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%+v: %s", c, resp.Status)
		}
	}
	req, _ := http.NewRequest(http.MethodHead, r.url+"/events", nil)
	resp, err := r.client.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("HEAD: %v %v", resp, err)
	}
	resp.Body.Close()
	if n := r.Feed().Clients(); n != 0 {
		t.Errorf("%d clients", n)
	}
}

// small is a listener whose connections buffer next to nothing, so that a client that does not read is felt soon.
type small struct{ net.Listener }

func (l small) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetWriteBuffer(4096)
	}
	return conn, err
}

// A client that stops reading is cut when a write takes too long. Meanwhile Publish goes on, and others get all events.
func TestSlowClientIsCut(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pace := quick()
	pace.write = 300 * time.Millisecond
	r := start(t, peopled(0), func(_ *Config, d *Deps) { d.Listener = small{inner} }, pace)

	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	until(t, "the slow client is in", func() bool { return r.Feed().Clients() == 1 })
	honest := r.listen("/events?after=0&limit=10000", "")

	w := newWorld()
	const all = 4000
	for range all / 50 {
		begin := time.Now()
		r.publish(w.events(50, base)...)
		if took := time.Since(begin); took > pace.write {
			t.Errorf("Publish took %v", took)
		}
	}
	honest.expectSeqs(1, all)
	until(t, "the slow client is out", func() bool { return r.Feed().Clients() == 1 && r.Feed().Dropped() == 1 })
}

// When nothing happens, a comment every 15 seconds keeps proxies from closing the connection.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, peopled(3), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 62*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		s.serveStream(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", nil))
		if got := strings.Count(w.Body.String(), ":\n\n"); got != 4 {
			t.Errorf("%d heartbeats in 62 s:\n%s", got, w.Body)
		}
		if got := strings.Count(w.Body.String(), "event: status"); got != 1 {
			t.Errorf("%d status messages although nothing changed", got)
		}
	})
}

// The status is sent again when it changed, and not more often than every two seconds.
func TestStatusFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var records uint64
		s := newServer(t, peopled(3), func(_ *Config, d *Deps) {
			d.Health = func() Health {
				records++
				return Health{Live: true, Ready: true, Sources: []Source{{Name: "journal", Records: records}}}
			}
		})
		s.now = time.Now
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		s.serveStream(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", nil))
		if got := strings.Count(w.Body.String(), "event: status"); got != 6 {
			t.Errorf("%d status messages in 11 s", got)
		}
	})
}

// A store that cannot be read ends the stream; the client will come back.
func TestStreamWithBrokenStore(t *testing.T) {
	f := peopled(10)
	r := start(t, f, nil, quick())
	f.mu.Lock()
	f.fail = errBroken
	f.mu.Unlock()
	c := r.listen("/events", "1")
	if m, ok := c.next(); ok {
		t.Errorf("got %+v", m)
	}
	if n := r.Feed().Dropped(); n != 0 {
		t.Errorf("%d counted as slow", n)
	}
}

// Stopping ends open streams and requests at once; nothing is left behind (TestMain looks for goroutines).
func TestStopWithOpenStreams(t *testing.T) {
	r := start(t, peopled(10), nil, usualPace())
	var clients []*sse
	for range 8 {
		c := r.listen("/events", "0")
		c.expectSeqs(1, 10)
		clients = append(clients, c)
	}
	begin := time.Now()
	r.stop()
	if took := time.Since(begin); took > stopTimeout {
		t.Errorf("the stop took %v", took)
	}
	for _, c := range clients {
		if m, ok := c.next(); ok && m.event != "status" {
			t.Errorf("after the stop: %+v", m)
		}
	}
	r.Feed().Publish([]event.Event{newWorld().next(base)}) // the committer may still do so
}

// until waits for a condition that must come true.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("gave up waiting for: %s", what)
		case <-tick.C:
		}
	}
}
