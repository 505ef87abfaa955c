package web

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"tattled/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must come.
const patience = 20 * time.Second

// rig is a server that runs on a real socket, and a client of it.
type rig struct {
	*Server
	t      *testing.T
	store  *fakeStore
	url    string
	client *http.Client
	cancel context.CancelFunc
	ended  chan error
}

// newServer makes a server that does not run.
func newServer(t testing.TB, f *fakeStore, change func(*Config, *Deps)) *Server {
	t.Helper()
	cfg := Config{Listen: "127.0.0.1:0"}
	deps := Deps{Store: f, Gatherer: prometheus.NewRegistry(), Health: fairHealth, Version: "1.2.3"}
	if change != nil {
		change(&cfg, &deps)
	}
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return base }
	t.Cleanup(func() { s.listener.Close() })
	return s
}

// start makes a server that runs until the test's end or stop. change may be nil.
func start(t *testing.T, f *fakeStore, change func(*Config, *Deps), pace pace) *rig {
	t.Helper()
	s := newServer(t, f, change)
	s.pace = pace
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{Server: s, t: t, store: f, url: "http://" + s.Addr().String(), cancel: cancel, ended: make(chan error, 1)}
	r.client = &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	go func() { r.ended <- s.Run(ctx) }()
	t.Cleanup(r.stop)
	return r
}

// stop ends the server and waits until it is gone. It may be called again.
func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
		r.ended <- nil
	case <-time.After(patience):
		r.t.Error("Run did not return")
	}
	r.client.CloseIdleConnections()
}

// quick is a pace for tests that wait for events.
func quick() pace {
	p := usualPace()
	p.events = time.Millisecond
	return p
}

// publish commits events and tells the feed.
func (r *rig) publish(events ...event.Event) {
	r.store.add(events...)
	r.Feed().Publish(events)
}

// answer is an HTTP response whose body was read.
type answer struct {
	Status     string
	StatusCode int
	Proto      string
	ProtoMajor int
	Header     http.Header
}

// get asks for a path and returns the answer and its body.
func (r *rig) get(path string, headers ...string) (answer, string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{resp.Status, resp.StatusCode, resp.Proto, resp.ProtoMajor, resp.Header}, string(body)
}

// message is one message of an event stream.
type message struct{ event, id, data string }

// sse reads an event stream.
type sse struct {
	t    *testing.T
	resp *http.Response
	scan *bufio.Scanner
	stop context.CancelFunc
}

// listen opens an event stream. lastID may be empty.
func (r *rig) listen(path, lastID string) *sse {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	stream := newSSE(r.t, resp)
	stream.stop = cancel
	return stream
}

func newSSE(t *testing.T, resp *http.Response) *sse {
	scan := bufio.NewScanner(resp.Body)
	scan.Buffer(nil, 1<<20)
	return &sse{t: t, resp: resp, scan: scan}
}

// next returns the next message, or false at the stream's end. Comments and retry fields are passed over.
func (s *sse) next() (m message, ok bool) {
	for s.scan.Scan() {
		name, value, _ := strings.Cut(s.scan.Text(), ": ")
		switch name {
		case "event":
			m.event = value
		case "id":
			m.id = value
		case "data":
			m.data = value
		case "":
			if m != (message{}) {
				return m, true
			}
		}
	}
	return m, false
}

// expect returns the next message of the given sort, passing over status messages.
func (s *sse) expect(sort string) message {
	s.t.Helper()
	for {
		m, ok := s.next()
		if !ok {
			s.t.Fatalf("the stream ended; wanted %q", sort)
		}
		if m.event == sort {
			return m
		}
		if m.event != "status" {
			s.t.Fatalf("got %+v, wanted %q", m, sort)
		}
	}
}

// expectSeqs reads events with the seqs from first to last.
func (s *sse) expectSeqs(first, last uint64) {
	s.t.Helper()
	for want := first; want <= last; want++ {
		m := s.expect("event")
		var e Event
		if err := json.Unmarshal([]byte(m.data), &e); err != nil {
			s.t.Fatal(err)
		}
		if e.Seq != want || m.id != strconv.FormatUint(want, 10) {
			s.t.Fatalf("event %d with id %s, wanted %d", e.Seq, m.id, want)
		}
	}
}
